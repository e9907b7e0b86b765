package users

import (
	"context"
	_ "embed"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql"
	"flow.internal/capdo/durable/durabletest"
)

func TestUsers(t *testing.T) {
	stub := durabletest.New(t, durabletest.SQLite)
	for range 2 { // the second time there is nothing to migrate
		durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
			if _, err := NewUsers(ctx, state, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		u, err := NewUsers(ctx, state, nil)
		if err != nil {
			t.Fatal(err)
		}
		ada, err1 := u.Add(ctx, "Ada")
		bob, err2 := u.Add(ctx, "Bob")
		if err1 != nil || err2 != nil || ada != 1 || bob != 2 {
			t.Fatal(ada, bob, err1, err2)
		}
		if _, err := u.Add(ctx, "Ada"); err != ErrTaken {
			t.Errorf("a name twice: %v", err)
		}
		if err := u.Swap(ctx, ada, bob); err != nil {
			t.Error(err)
		}
		var name string
		var renames int
		if err := u.db.QueryRowContext(ctx, "SELECT name, (SELECT count(*) FROM renames) FROM users WHERE id = 1").Scan(&name, &renames); err != nil || name != "Bob" || renames != 3 {
			t.Errorf("%s, %d renames, %v", name, renames, err)
		}
		if n, last, err := u.Since(ctx, time.Now().Add(-time.Minute)); n != 2 || !last.Valid || time.Since(last.Time).Abs() > time.Minute || err != nil {
			t.Errorf("%d, %v, %v", n, last, err)
		}
		if n, last, err := u.Since(ctx, time.Now().Add(time.Minute)); n != 0 || last.Valid || err != nil {
			t.Errorf("later: %d, %v, %v", n, last, err)
		}
	})
}

//go:embed convert.sql
var convert string

func TestOldTimesAreConverted(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		db := durablesql.Open(state)
		for _, query := range []string{
			"CREATE TABLE t (at DATETIME); INSERT INTO t VALUES ('2026-01-02T03:04:10.000Z'), ('2026-01-02T03:04:10.120Z'), ('2026-01-02 03:04:10'), (NULL)",
			convert,
		} {
			if _, err := db.ExecContext(ctx, query); err != nil {
				t.Fatal(err)
			}
		}
		var got string
		err := db.QueryRowContext(ctx, "SELECT group_concat(at) FROM t").Scan(&got)
		if got != "2026-01-02 03:04:10,2026-01-02 03:04:10.12,2026-01-02 03:04:10" || err != nil {
			t.Errorf("%s, %v", got, err)
		}
	})
}
