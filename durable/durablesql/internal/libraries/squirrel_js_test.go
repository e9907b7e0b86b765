package libraries

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

func TestSquirrel(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		_, err := db.ExecContext(ctx, authorsSchema)
		must(t, err)
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
		tx, err := db.BeginTx(ctx, nil)
		must(t, err)
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
