package durablesql_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql"
	"flow.internal/capdo/durable/durabletest"
)

func begin(t *testing.T, db *sql.DB, ctx context.Context) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestATransactionCommitsOrRollsBack(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		tx := begin(t, db, ctx)
		if id, changes := mustExec(t, tx, "insert into t values (1, 'a')"); id != 1 || changes != 1 {
			t.Errorf("id %d, %d changes", id, changes)
		}
		wantRows(t, tx, ctx, 1)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		wantRows(t, db, ctx, 1)
		tx = begin(t, db, ctx)
		mustExec(t, tx, "delete from t")
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		wantRows(t, db, ctx, 1)
		if err := tx.Commit(); err != sql.ErrTxDone {
			t.Errorf("once more: %v", err)
		}
	})
}

func TestATransactionMayWait(t *testing.T) {
	withDB(t, func(ctx context.Context, state *durable.State, db *sql.DB) {
		tx := begin(t, db, ctx)
		mustExec(t, tx, "insert into t values (1, 'a')")
		if err := state.Storage().Sync(ctx); err != nil {
			t.Error(err)
		}
		mustExec(t, tx, "insert into t values (2, 'b')")
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		wantRows(t, db, ctx, 0)
	})
}

func TestAPanicRollsBackWithTheDeferredRollback(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("no panic")
				}
			}()
			tx := begin(t, db, ctx)
			defer tx.Rollback()
			mustExec(t, tx, "insert into t values (1, 'a')")
			panic("boom")
		}()
		wantRows(t, db, ctx, 0)
	})
}

func TestStatementsOutsideATransactionAreRefused(t *testing.T) {
	withDB(t, func(ctx context.Context, state *durable.State, db *sql.DB) {
		again := durablesql.Open(state)
		insert, err := db.PrepareContext(ctx, "insert into t values (2, 'b')")
		if err != nil {
			t.Fatal(err)
		}
		tx := begin(t, db, ctx)
		mustExec(t, tx, "insert into t values (1, 'a')")
		for name, run := range map[string]func() error{
			"a statement":                     func() error { _, err := db.ExecContext(ctx, "insert into t values (2, 'b')"); return err },
			"a statement without the context": func() error { _, err := db.Exec("insert into t values (2, 'b')"); return err },
			"a query":                         func() error { _, err := db.QueryContext(ctx, "select 1"); return err },
			"a prepared statement":            func() error { _, err := insert.ExecContext(ctx); return err },
			"another transaction":             func() error { _, err := db.BeginTx(ctx, nil); return err },
			"a transaction on another DB":     func() error { _, err := again.BeginTx(ctx, nil); return err },
			"without the context":             func() error { _, err := db.Begin(); return err },
			"with a derived context":          func() error { _, err := db.BeginTx(context.WithoutCancel(ctx), nil); return err },
			"a statement on another DB":       func() error { _, err := again.ExecContext(ctx, "delete from t"); return err },
		} {
			if err := run(); !errors.Is(err, durablesql.ErrTransactionOpen) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := tx.StmtContext(ctx, insert).ExecContext(ctx); err != nil {
			t.Errorf("the prepared statement in the transaction: %v", err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		wantRows(t, again, ctx, 2)
	})
}

func TestAnotherEventWaitsForTheTransaction(t *testing.T) {
	stub := durabletest.New(t, durabletest.SQLite)
	visit := func(fn func(context.Context, *durable.State)) { durabletest.Run(t, stub, fn) }
	visit(func(first context.Context, state *durable.State) {
		visit(func(second context.Context, _ *durable.State) {
			visit(func(third context.Context, _ *durable.State) {
				db := durablesql.Open(state)
				mustExec(t, db, "create table t (id integer primary key, s text)")
				othersWait(t, state, db, first, second, third)
			})
		})
	})
}

func othersWait(t *testing.T, state *durable.State, db *sql.DB, first, second, third context.Context) {
	tx := begin(t, db, first)
	mustExec(t, tx, "insert into t values (1, 'a')")
	seen, begun, gaveUp := make(chan int, 1), make(chan error, 1), make(chan error, 1)
	go func() { seen <- count(t, db, second) }()
	go func() {
		tx, err := db.BeginTx(third, nil)
		if err == nil {
			err = tx.Commit()
		}
		begun <- err
	}()
	ended, end := context.WithCancel(second)
	go func() {
		_, err := db.ExecContext(ended, "delete from t")
		gaveUp <- err
	}()
	if err := state.Storage().Sync(first); err != nil { // lets the others run
		t.Error(err)
	}
	end()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("a transaction whose context ended: %v", err)
	}
	if len(seen)+len(begun) > 0 {
		t.Error("the others did not wait")
	}
	mustExec(t, tx, "insert into t values (2, 'b')")
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if n := <-seen; n != 0 {
		t.Errorf("it sees %d rows that were rolled back", n)
	}
	if err := <-begun; err != nil {
		t.Error(err)
	}
}

func TestOpenTransactionIsRolledBack(t *testing.T) {
	stub := durabletest.New(t, durabletest.SQLite)
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		db := durablesql.Open(state)
		mustExec(t, db, "create table t (id integer primary key)")
		tx := begin(t, db, ctx)
		mustExec(t, tx, "insert into t values (1)")
	})
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) { // would wait for 30 s if the transaction were open
		db := durablesql.Open(state)
		wantRows(t, db, ctx, 0)
		tx := begin(t, db, ctx)
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	})
}

func TestTransactionSyncIncludesTheDB(t *testing.T) {
	withDB(t, func(ctx context.Context, state *durable.State, db *sql.DB) {
		refused := errors.New("refused")
		for _, want := range []error{nil, refused} {
			err := state.Storage().TransactionSync(func() error {
				mustExec(t, db, "insert into t(s) values (?)", want == nil)
				if n := count(t, db, ctx); n == 0 {
					t.Error("no rows within")
				}
				return want
			})
			if err != want {
				t.Errorf("%v, want %v", err, want)
			}
		}
		wantRows(t, db, ctx, 1)
	})
}

// A transaction that ended must be over, in whichever way it ended.
func TestATransactionThatEndsIsWaitedFor(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, tx *sql.Tx, cancel func()){
		"its context is canceled": func(_ *testing.T, _ *sql.Tx, cancel func()) { cancel() },
		"canceled, then Commit": func(t *testing.T, tx *sql.Tx, cancel func()) {
			cancel()
			if err := tx.Commit(); !errors.Is(err, context.Canceled) && err != sql.ErrTxDone {
				t.Errorf("Commit: %v", err)
			}
		},
		"canceled, then Rollback": func(t *testing.T, tx *sql.Tx, cancel func()) {
			cancel()
			if err := tx.Rollback(); err != nil && err != sql.ErrTxDone {
				t.Errorf("Rollback: %v", err)
			}
		},
		"canceled while rows are open": func(t *testing.T, tx *sql.Tx, cancel func()) {
			rows, err := tx.QueryContext(t.Context(), "select id from t")
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			cancel()
			tx.Commit()
		},
		"in another goroutine": func(t *testing.T, tx *sql.Tx, cancel func()) {
			begun := make(chan bool)
			go func() { close(begun); tx.Rollback(); cancel() }()
			<-begun
		},
	} {
		t.Run(name, func(t *testing.T) {
			withDB(t, func(ctx context.Context, state *durable.State, db *sql.DB) {
				short, cancel := context.WithCancel(ctx)
				defer cancel()
				tx := begin(t, db, short)
				mustExec(t, tx, "insert into t values (1, 'a')")
				end(t, tx, cancel)
				for range 2 {
					wantRows(t, db, ctx, 0)
				}
				mustExec(t, db, "insert into t values (2, 'b')")
				if _, err := tx.ExecContext(ctx, "insert into t values (3, 'c')"); err != sql.ErrTxDone {
					t.Errorf("afterwards: %v", err)
				}
				again := begin(t, db, ctx)
				mustExec(t, again, "insert into t values (4, 'd')")
				if err := again.Commit(); err != nil {
					t.Error(err)
				}
				wantRows(t, db, ctx, 2)
			})
		})
	}
}

// A transaction without the handler's context belongs to no known handler:
// waiting for it might never end.
func TestTransactionWithoutHandlersContext(t *testing.T) {
	withDB(t, func(ctx context.Context, state *durable.State, db *sql.DB) {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		for name, run := range map[string]func() error{
			"a statement": func() error { _, err := db.ExecContext(ctx, "insert into t values (1, 'a')"); return err },
			"a query":     func() error { return db.QueryRowContext(ctx, "select 1").Scan(new(int)) },
			"another":     func() error { _, err := db.BeginTx(ctx, nil); return err },
			"on a Conn": func() error {
				conn, err := db.Conn(ctx)
				if err != nil {
					return err
				}
				defer conn.Close()
				_, err = conn.ExecContext(ctx, "insert into t values (1, 'a')")
				return err
			},
		} {
			if err := run(); !errors.Is(err, durablesql.ErrTransactionOpen) {
				t.Errorf("%s: %v", name, err)
			}
		}
		mustExec(t, tx, "insert into t values (2, 'b')")
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		wantRows(t, db, ctx, 1)
	})
}

// Libraries make nested transactions with SAVEPOINT and ROLLBACK TO. Some of
// them ignore the errors of these statements.
func TestPartialRollbackPreventsCommit(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		for _, c := range []struct {
			statements []string
			want       error
			rows       int
		}{
			{[]string{"savepoint a", "insert into t(s) values ('a')", "release a"}, nil, 1},
			{[]string{"savepoint a", "insert into t(s) values ('b')", " /* x */ rollback to a; -- x"}, durablesql.ErrPartialRollback, 1},
			{[]string{"insert into t(s) values ('c')", "rollback"}, durablesql.ErrPartialRollback, 1},
			{[]string{"insert or rollback into t(s) values ('d')"}, nil, 2},
		} {
			tx := begin(t, db, ctx)
			for _, s := range c.statements {
				tx.ExecContext(ctx, s)
			}
			if err := tx.Commit(); err != c.want {
				t.Errorf("%q: %v", c.statements, err)
			}
			if n := count(t, db, ctx); n != c.rows {
				t.Errorf("%q: %d rows, want %d", c.statements, n, c.rows)
			}
		}
	})
}
