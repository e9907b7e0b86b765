package libraries

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql/internal/libraries/authors"
)

//go:embed authors/schema.sql
var authorsSchema string

// The code that sqlc generated from authors/query.sql is used unchanged.
func TestSqlc(t *testing.T) {
	born := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		_, err := db.ExecContext(ctx, authorsSchema)
		must(t, err)
		q := authors.New(db)
		want := authors.Author{ID: 1, Name: "Ada", Bio: sql.NullString{String: "first", Valid: true}, Active: true, Rating: 5, CreatedAt: born}
		got, err := q.CreateAuthor(ctx, authors.CreateAuthorParams{Name: want.Name, Bio: want.Bio, Active: true, Rating: 5, CreatedAt: born})
		if err != nil || got != want {
			t.Errorf("created %+v, %v, want %+v", got, err, want)
		}
		_, err = q.CreateAuthor(ctx, authors.CreateAuthorParams{Name: "Ada"})
		if !errors.Is(err, durable.ErrConstraint) {
			t.Errorf("a name twice: %v", err)
		}
		tx, err := db.BeginTx(ctx, nil)
		must(t, err)
		_, err = q.WithTx(tx).CreateAuthor(ctx, authors.CreateAuthorParams{Name: "Bob", Active: true, CreatedAt: born.Add(time.Hour)})
		must(t, err)
		must(t, q.WithTx(tx).RenameAuthor(ctx, authors.RenameAuthorParams{NewName: "Eve", ID: 2}))
		must(t, tx.Commit())
		list, err := q.ListAuthors(ctx, authors.ListAuthorsParams{Active: true, Ids: []int64{1, 2, 3}})
		if err != nil || len(list) != 2 || list[0] != want || list[1].Name != "Eve" || list[1].Bio.Valid {
			t.Errorf("%+v, %v", list, err)
		}
		n, err := q.CountSince(ctx, born.Add(1))
		if n != 1 || err != nil {
			t.Errorf("%d since, %v", n, err)
		}
		if n, err := q.DeleteAuthor(ctx, 1); n != 1 || err != nil {
			t.Errorf("deleted %d, %v", n, err)
		}
		if _, err := q.GetAuthor(ctx, "Ada"); err != sql.ErrNoRows {
			t.Errorf("a deleted author: %v", err)
		}
	})
}
