package durablesql_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	sq "github.com/Masterminds/squirrel"
)

// What follows is as sqlc generates it.

type DBTX interface {
	ExecContext(context.Context, string, ...interface{}) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...interface{}) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...interface{}) *sql.Row
}

func New(db DBTX) *Queries { return &Queries{db: db} }

type Queries struct{ db DBTX }

func (q *Queries) WithTx(tx *sql.Tx) *Queries { return &Queries{db: tx} }

type Author struct {
	ID        int64
	Name      string
	Bio       sql.NullString
	Active    bool
	Rating    float64
	CreatedAt time.Time
}

const createAuthor = `-- name: CreateAuthor :one
INSERT INTO authors (
  name, bio, active, rating, created_at
) VALUES (
  ?, ?, ?, ?, ?
)
RETURNING id, name, bio, active, rating, created_at
`

type CreateAuthorParams struct {
	Name      string
	Bio       sql.NullString
	Active    bool
	Rating    float64
	CreatedAt time.Time
}

func (q *Queries) CreateAuthor(ctx context.Context, arg CreateAuthorParams) (Author, error) {
	row := q.db.QueryRowContext(ctx, createAuthor, arg.Name, arg.Bio, arg.Active, arg.Rating, arg.CreatedAt)
	var i Author
	err := row.Scan(&i.ID, &i.Name, &i.Bio, &i.Active, &i.Rating, &i.CreatedAt)
	return i, err
}

const listAuthors = `-- name: ListAuthors :many
SELECT id, name, bio, active, rating, created_at FROM authors
WHERE active = ?1 AND id IN (?2, ?3)
ORDER BY name
`

type ListAuthorsParams struct {
	Active bool
	ID     int64
	ID_2   int64
}

func (q *Queries) ListAuthors(ctx context.Context, arg ListAuthorsParams) ([]Author, error) {
	rows, err := q.db.QueryContext(ctx, listAuthors, arg.Active, arg.ID, arg.ID_2)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []Author
	for rows.Next() {
		var i Author
		if err := rows.Scan(&i.ID, &i.Name, &i.Bio, &i.Active, &i.Rating, &i.CreatedAt); err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return items, nil
}

const deleteAuthor = `-- name: DeleteAuthor :execrows
DELETE FROM authors
WHERE id = ?
`

func (q *Queries) DeleteAuthor(ctx context.Context, id int64) (int64, error) {
	result, err := q.db.ExecContext(ctx, deleteAuthor, id)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Thus far.

const authors = `CREATE TABLE authors (
	id         INTEGER PRIMARY KEY,
	name       TEXT NOT NULL UNIQUE,
	bio        TEXT,
	active     BOOLEAN NOT NULL,
	rating     REAL NOT NULL,
	created_at DATETIME NOT NULL
)`

func TestCodeThatSqlcGeneratesWorksUnchanged(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		mustExec(t, db, authors)
		q := New(db)
		want := Author{1, "Ada", sql.NullString{String: "first", Valid: true}, true, 5, time.Now().UTC().Round(0)}
		got, err := q.CreateAuthor(ctx, CreateAuthorParams{want.Name, want.Bio, want.Active, want.Rating, want.CreatedAt})
		if err != nil || got != want {
			t.Errorf("created %+v, %v, want %+v", got, err, want)
		}
		tx := begin(t, db, ctx)
		if _, err := q.WithTx(tx).CreateAuthor(ctx, CreateAuthorParams{Name: "Bob", Active: true, CreatedAt: want.CreatedAt}); err != nil {
			t.Fatal(err)
		}
		if n, err := q.WithTx(tx).DeleteAuthor(ctx, 99); n != 0 || err != nil {
			t.Errorf("deleted %d, %v", n, err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		list, err := q.ListAuthors(ctx, ListAuthorsParams{true, 1, 2})
		if err != nil || len(list) != 2 || list[0] != want || list[1].Name != "Bob" || list[1].Bio.Valid {
			t.Errorf("%+v, %v", list, err)
		}
		if n, err := q.DeleteAuthor(ctx, 1); n != 1 || err != nil {
			t.Errorf("deleted %d, %v", n, err)
		}
	})
}

func TestAQueryBuilderWorks(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		mustExec(t, db, authors)
		at := time.Now()
		insert := sq.Insert("authors").Columns("name", "active", "rating", "created_at")
		for i := range 5 {
			insert = insert.Values(fmt.Sprint("author ", i), i%2 == 0, i, at)
		}
		result, err := insert.RunWith(db).ExecContext(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := result.RowsAffected(); n != 5 || err != nil {
			t.Errorf("%d inserted, %v", n, err)
		}
		cached := sq.NewStmtCache(db)
		defer cached.Clear()
		var names []string
		for range 2 {
			rows, err := sq.Select("name").From("authors").Where(sq.And{sq.Eq{"active": true, "id": []int{1, 3, 4}}, sq.Lt{"created_at": at.Add(time.Hour)}}).
				OrderBy("id DESC").Limit(10).RunWith(cached).QueryContext(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var name string
				if err := rows.Scan(&name); err != nil {
					t.Fatal(err)
				}
				names = append(names, name)
			}
			if err := rows.Close(); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(names, []string{"author 2", "author 0", "author 2", "author 0"}) {
			t.Errorf("%q", names)
		}
		tx := begin(t, db, ctx)
		if _, err := sq.Update("authors").Set("rating", sq.Expr("rating + ?", 1)).Where("id = ?", 1).RunWith(tx).ExecContext(ctx); err != nil {
			t.Error(err)
		}
		var rating float64
		if err := sq.Select("rating").From("authors").Where(sq.Eq{"id": 1}).RunWith(tx).QueryRowContext(ctx).Scan(&rating); err != nil || rating != 1 {
			t.Errorf("%v, %v", rating, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	})
}
