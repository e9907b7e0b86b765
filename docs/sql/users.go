// Package users is the example of docs/sql.md.
package users

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql"
)

//go:embed migrations/*.sql
var files embed.FS

// Users is a Durable Object with a table of users.
type Users struct{ db *sql.DB }

// NewUsers is the constructor.
func NewUsers(_ context.Context, state *durable.State, _ *durable.Env) (*Users, error) {
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	if err := durablesql.Migrate(state, migrations); err != nil {
		return nil, err
	}
	return &Users{durablesql.Open(state)}, nil
}

// ErrTaken means that another user has the name.
var ErrTaken = errors.New("the name is taken")

// Add adds a user, and returns the id.
func (u *Users) Add(ctx context.Context, name string) (id int64, err error) {
	err = u.db.QueryRowContext(ctx, "INSERT INTO users (name) VALUES (?) RETURNING id", name).Scan(&id)
	if errors.Is(err, durable.ErrConstraint) {
		return 0, ErrTaken
	}
	return id, err
}

// Swap exchanges the names of two users.
func (u *Users) Swap(ctx context.Context, a, b int64) error {
	tx, err := u.db.BeginTx(ctx, nil) // the handler's context
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var nameA, nameB string
	if err := tx.QueryRowContext(ctx, "SELECT a.name, b.name FROM users a, users b WHERE a.id = ? AND b.id = ?", a, b).Scan(&nameA, &nameB); err != nil {
		return err
	}
	for _, s := range []struct {
		id   int64
		name string
	}{{a, ""}, {b, nameA}, {a, nameB}} {
		if _, err := tx.ExecContext(ctx, "UPDATE users SET name = ? WHERE id = ?", s.name, s.id); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Since returns the number of users added since then, and the time of the last
// one.
func (u *Users) Since(ctx context.Context, then time.Time) (n int, last sql.NullTime, err error) {
	err = u.db.QueryRowContext(ctx, "SELECT count(*), max(created_at) FROM users WHERE created_at >= ?", then).Scan(&n, &last)
	return n, last, err
}
