package libraries

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"github.com/jmoiron/sqlx"
)

func TestSqlx(t *testing.T) {
	type person struct {
		ID      int64
		Name    string
		Email   sql.NullString
		Created time.Time `db:"created_at"`
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	withDB(t, func(ctx context.Context, _ *durable.State, std *sql.DB) {
		db := sqlx.NewDb(std, "sqlite3")
		db.MustExecContext(ctx, `CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, email TEXT, created_at DATETIME);
			CREATE INDEX names ON person (name); -- both`)
		people := []person{{1, "Ada", sql.NullString{String: "a@b.c", Valid: true}, at}, {2, "Bob", sql.NullString{}, at.Add(time.Hour)}}
		_, err := db.NamedExecContext(ctx, "INSERT INTO person (id, name, email, created_at) VALUES (:id, :name, :email, :created_at)", people)
		must(t, err)
		var got []person
		must(t, db.SelectContext(ctx, &got, "SELECT * FROM person ORDER BY id"))
		if len(got) != 2 || got[0] != people[0] || got[1] != people[1] {
			t.Errorf("%+v", got)
		}
		query, args, err := sqlx.In("SELECT name FROM person WHERE id IN (?) AND created_at > ? ORDER BY id", []int{1, 2, 3}, at)
		must(t, err)
		var names []string
		must(t, db.SelectContext(ctx, &names, db.Rebind(query), args...))
		if len(names) != 1 || names[0] != "Bob" {
			t.Errorf("%q", names)
		}
		var one person
		if err := db.GetContext(ctx, &one, "SELECT * FROM person WHERE id = 9"); err != sql.ErrNoRows {
			t.Error(err)
		}
		tx, err := db.BeginTxx(ctx, nil)
		must(t, err)
		stmt, err := tx.PrepareNamedContext(ctx, "UPDATE person SET name = :n WHERE id = :id")
		must(t, err)
		_, err = stmt.ExecContext(ctx, map[string]any{"n": "Eve", "id": 2})
		must(t, err)
		must(t, tx.Commit())
		rows, err := db.QueryxContext(ctx, "SELECT id, name, max(created_at) AS latest FROM person WHERE id = 2")
		must(t, err)
		defer rows.Close()
		for rows.Next() {
			m := map[string]any{}
			must(t, rows.MapScan(m))
			if m["id"] != int64(2) || m["name"] != "Eve" || m["latest"] != at.Add(time.Hour) {
				t.Errorf("%v", m)
			}
		}
	})
}
