package durable_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"flow.internal/capdo/durable"
)

func TestSQLCommentsAndEmptyStatementsAreNothing(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, "create table t (x); -- a table")
		rows := 0
		for _, c := range []struct {
			query string
			args  []any
		}{
			{"insert into t values (1); -- one row", nil},
			{"insert into t values (?); -- one row", []any{1}},
			{"insert into t values (?) -- one row", []any{"x"}},
			{"insert into t values (1); /* one row */ ; \n;", nil},
			{";; insert into t values (?);; /* ; */ ;", []any{1}},
			{"-- first\n/* then */ insert into t values (1)\f;\v\r\n", nil},
			{"insert into t values (1); /* does not end", nil},
			{"select 1;; ; insert into t values (?);", []any{1}},
		} {
			mustExec(t, db, c.query, c.args...)
			rows++
			if n := one[int](t, db, "select count(*) from t"); n != rows {
				t.Fatalf("%q: %d rows, want %d", c.query, n, rows)
			}
		}
		for _, query := range []string{"", " ", ";", " -- nothing", "/* nothing", ";;\n/* ; */;"} {
			c := mustExec(t, db, query)
			if c.Next() || c.Err() != nil || len(c.ColumnNames()) != 0 {
				t.Errorf("%q has a row, %v", query, c.Err())
			}
			c.Close()
			if _, err := db.Exec(query, 1); !errors.Is(err, durable.ErrValue) {
				t.Errorf("%q with an argument: %v", query, err)
			}
		}
		var e *durable.SQLError
		if _, err := db.Exec("; select 1, nope; -- x"); !errors.As(err, &e) || e.Offset != 12 {
			t.Errorf("the offset is %v", err)
		}
		if got := one[string](t, db, "select '; -- ' || ?; -- x", ";"); got != "; -- ;" {
			t.Errorf("%q", got)
		}
	})
}

func TestSQLOfSeveralStatementsAllOrNoneWrite(t *testing.T) {
	withSQL(t, func(ctx context.Context, state *durable.State, db *durable.SQL) {
		mustExec(t, db, "create table t (x integer unique); create table c (x references t(x))")
		for _, c := range []struct {
			query string
			args  []any
		}{
			{"insert into t values (1); insert into nope values (2); insert into t values (3)", nil},
			{"insert into t values (1); insert into t values (1)", nil},
			{"insert into t values (1); select abs(-9223372036854775807 - x) from t", nil}, // fails while the first row is read
			{"insert into t values (1); insert into t values (?)", nil},
			{"insert into t values (1); insert into t values (?)", []any{1, 2}},
			{"insert into t values (?); insert into t values (?)", []any{1}},
			{"create table u (x); insert into t values (1); begin", nil},
			{"insert into t values (1); vacuum", nil},
			{"insert into t values (1); pragma defer_foreign_keys = on; insert into c values (7); select nope", nil},
			{"insert into t values (1); selec", nil},
		} {
			if _, err := db.Exec(c.query, c.args...); err == nil {
				t.Errorf("%s: no error", c.query)
			}
			if n := one[int](t, db, "select (select count(*) from t) + (select count(*) from c) + (select count(*) from sqlite_master where name = 'u')"); n != 0 {
				t.Errorf("%s: %d rows", c.query, n)
			}
		}
		fails := "insert into t values (2); insert into nope values (3)"
		if err := state.Storage().TransactionSync(func() error {
			mustExec(t, db, "insert into t values (1)")
			if _, err := db.Exec(fails); err == nil {
				t.Error("no error")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		err := state.Storage().Transaction(ctx, func(*durable.Transaction) error {
			if _, err := db.Exec(fails); err == nil {
				t.Error("no error")
			}
			mustExec(t, db, "insert into t values (4); insert into t values (5)")
			return nil
		})
		if got := one[string](t, db, "select group_concat(x) from t"); got != "1,4,5" || err != nil {
			t.Errorf("in transactions: %s, %v", got, err)
		}
	})
}

func TestSQLOfSeveralStatementsRunsAgain(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, "create table t (x); create trigger g after insert on t begin delete from t where x < new.x; select 1; end; create index i on t (x)")
		for i := range 300 { // also statements that return rows, which plain workerd would refuse
			got := one[int](t, db, "select x from t; insert into t values (1) returning x; with recursive r(n) as (select 1 union all select n + 1 from r where n < 300) select n from r; select count(*) + ? from t", 0)
			if got != i+1 {
				t.Fatalf("%d rows, want %d", got, i+1)
			}
		}
		for _, query := range []string{"select ?; select ?", "select :a; select 1"} {
			if _, err := db.Exec(query, 1); !errors.Is(err, durable.ErrValue) || !strings.Contains(err.Error(), "only the last statement") {
				t.Errorf("%s: %v", query, err)
			}
		}
		long := strings.Repeat("insert into t values ('"+strings.Repeat("x", 1000)+"'); ", 150) // the limit is per statement
		mustExec(t, db, long)
		if n := one[int](t, db, "select count(*) from t where x like 'x%'"); n != 150 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestSQLDeferredForeignKeysHoldOverStatements(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, `create table t (x integer primary key); create table c (x references t(x) deferrable initially deferred);
			insert into c values (1); insert into t values (1)`)
		if n := one[int](t, db, "select count(*) from c"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestSQLQueriesThatSQLiteWouldCutAreRefused(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		for _, query := range []string{"select 'a\xff'", "select 1 \x00", "select 'a\x00b'", "select 1 -- \xc3"} {
			if _, err := db.Exec(query); !errors.Is(err, durable.ErrValue) {
				t.Errorf("%q: %v", query, err)
			}
		}
		for _, arg := range []any{"a\xff", new("a\xff"), level("a\xff")} {
			if _, err := db.Exec("select ?", arg); !errors.Is(err, durable.ErrValue) || !strings.Contains(err.Error(), "[]byte") {
				t.Errorf("%q: %v", arg, err)
			}
		}
	})
}

type level string

func TestSQLErrorsQuoteUsersWhichDecidesNothing(t *testing.T) {
	const schema = `create virtual table f using fts5(a); insert into f values ('x'); create table t (x);
		create trigger g before insert on t begin select raise(abort, 'Network connection lost.'); end`
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, schema)
		for _, text := range []string{"Durable Object is overloaded", "Network connection lost.", "SQL is not enabled", "x caused object to be reset", "Invalid Durable Object ID"} {
			for _, query := range []string{"select * from f where f match '\"' || ? || '\":x'", "select json_extract('{}', ?)"} {
				_, err := db.Exec(query, text)
				wantSQLiteError(t, err, text)
			}
			c := mustExec(t, db, "select json_extract('{}', case n when 200 then ? else '$' end) from (with recursive r(n) as (select 1 union all select n + 1 from r where n < 300) select n from r)", text)
			for c.Next() {
			}
			wantSQLiteError(t, c.Err(), text)
		}
		_, err := db.Exec("insert into t values (1)")
		wantSQLiteError(t, err, "Network connection lost.")
		wantKind(t, err, durable.ErrConstraint, "lost")
	})
}

func wantSQLiteError(t *testing.T, err error, text string) {
	t.Helper()
	var e *durable.SQLError
	if !errors.As(err, &e) || !strings.Contains(e.Message, text) {
		t.Errorf("%#v", err)
	}
	for _, kind := range []error{durable.ErrOverloaded, durable.ErrDisconnected, durable.ErrObjectReset, durable.ErrStorage, durable.ErrNoSQL, durable.ErrInvalidID} {
		if errors.Is(err, kind) {
			t.Errorf("%q is %q", err, kind)
		}
	}
	if durable.Overloaded(err) || durable.Retryable(err) {
		t.Errorf("%q is retryable", err)
	}
}
