package durablesql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql"
	"flow.internal/capdo/durable/durabletest"
)

// withDB runs fn inside a fresh object that has a table t(id, s unique).
func withDB(t *testing.T, fn func(ctx context.Context, state *durable.State, db *sql.DB)) {
	t.Helper()
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		db := durablesql.Open(state)
		mustExec(t, db, "create table t (id integer primary key, s text unique)")
		fn(ctx, state, db)
	})
}

// execer is a *sql.DB or a *sql.Tx.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func mustExec(t *testing.T, db execer, query string, args ...any) (id, changes int64) {
	t.Helper()
	r, err := db.ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	id, err = r.LastInsertId()
	changes, err2 := r.RowsAffected()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return id, changes
}

func count(t *testing.T, db execer, ctx context.Context) (n int) {
	t.Helper()
	if err := db.QueryRowContext(ctx, "select count(*) from t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func wantRows(t *testing.T, db execer, ctx context.Context, want int) {
	t.Helper()
	if n := count(t, db, ctx); n != want {
		t.Errorf("%d rows, want %d", n, want)
	}
}

func TestCreateReadUpdateDelete(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		for _, c := range []struct {
			query       string
			args        []any
			id, changes int64
		}{
			{"insert into t values (?, ?)", []any{7, "a"}, 7, 1},
			{"insert into t(s) values (?), (?)", []any{"b", "c"}, 9, 2},
			{"insert or ignore into t values (7, 'x')", nil, 9, 0},
			{"update t set s = s || '!' where id > ?", []any{7}, 9, 2},
			{"create table other (x)", nil, 9, 0}, // changes() still returns the count of the previous statement
			{"update t set s = s where id > 100", nil, 9, 0},
			{"insert into t(id) values (?)", []any{int64(math.MaxInt64)}, math.MaxInt64, 1},
			{"delete from t where id = ?", []any{int64(math.MaxInt64)}, math.MaxInt64, 1},
			{"delete from t where id = 7", nil, math.MaxInt64, 1},
			{"insert into t(s) values ('d') returning id", nil, 10, 1},
		} {
			if id, changes := mustExec(t, db, c.query, c.args...); id != c.id || changes != c.changes {
				t.Errorf("%s: id %d, %d changes, want %d, %d", c.query, id, changes, c.id, c.changes)
			}
		}
		rows, err := db.QueryContext(ctx, "select id, s from t order by id")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		got := ""
		for rows.Next() {
			var id int
			var s string
			if err := rows.Scan(&id, &s); err != nil {
				t.Fatal(err)
			}
			got += s
		}
		if got != "b!c!d" || rows.Err() != nil {
			t.Errorf("%s, %v", got, rows.Err())
		}
		if err := db.QueryRowContext(ctx, "select id from t where id = 7").Scan(new(int)); err != sql.ErrNoRows {
			t.Errorf("a deleted row: %v", err)
		}
	})
}

func TestPreparedStatementsRunManyTimes(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		insert, err := db.PrepareContext(ctx, "insert into t values (?, ?)")
		if err != nil {
			t.Fatal(err)
		}
		defer insert.Close()
		for i, s := range []string{"a", "b", "c"} {
			if _, err := insert.ExecContext(ctx, i, s); err != nil {
				t.Fatal(err)
			}
		}
		find, err := db.PrepareContext(ctx, "select id from t where s = ?")
		if err != nil {
			t.Fatal(err)
		}
		defer find.Close()
		var id int
		if err := find.QueryRowContext(ctx, "c").Scan(&id); err != nil || id != 2 {
			t.Errorf("%d, %v", id, err)
		}
		if _, err := insert.ExecContext(ctx, 1); err == nil || !strings.Contains(err.Error(), "parameter") {
			t.Errorf("a missing argument: %v", err)
		}
	})
}

type (
	userID int64
	level  string
)

func TestValuesOfNamedTypesAndNullsComeBack(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		in := []any{userID(5), level("high"), sql.NullString{}, sql.NullInt64{Int64: 6, Valid: true}, true, 0.5, []byte{1, 0}, uint32(7), (*string)(nil), 1e6, 8.0}
		var (
			id      userID
			l       level
			none    sql.NullString
			six     sql.Null[int64]
			yes     bool
			half    float32
			b       []byte
			seven   uint8
			null    *string
			million int
			eight   any
		)
		out := []any{&id, &l, &none, &six, &yes, &half, &b, &seven, &null, &million, &eight}
		if err := db.QueryRowContext(ctx, "select ?"+strings.Repeat(", ?", len(in)-1), in...).Scan(out...); err != nil {
			t.Fatal(err)
		}
		if id != 5 || l != "high" || none.Valid || six.V != 6 || !yes || half != 0.5 || string(b) != "\x01\x00" || seven != 7 || null != nil || million != 1e6 || eight != int64(8) {
			t.Error(id, l, none, six, yes, half, b, seven, null, million, eight)
		}
	})
}

func TestIntegersThatArriveInexactAreRefused(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		const n = 1<<62 + 1
		mustExec(t, db, "insert into t values (?, 'a')", int64(n))
		for _, dest := range []any{new(int64), new(string), new([]byte), new(sql.NullInt64), new(sql.NullString), new(bool), new(uint64), new(sql.RawBytes), new(time.Time)} {
			rows, err := db.QueryContext(ctx, "select id from t")
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			if err := rows.Scan(dest); err == nil || !strings.Contains(err.Error(), "InexactNumber") {
				t.Errorf("into a %T: %v", dest, err)
			}
			rows.Close()
		}
		var f float64
		var v any
		var i int64
		if err := db.QueryRowContext(ctx, "select id, id, cast(id as text) from t").Scan(&f, &v, &i); err != nil || f != n || i != n {
			t.Errorf("%v, %d, %v", f, i, err)
		}
		if x, ok := v.(durablesql.InexactNumber); !ok || x.Float64() != n {
			t.Errorf("scanned into an any: %#v", v)
		}
		if _, err := db.ExecContext(ctx, "select ?", v); err == nil {
			t.Error("it was bound twice")
		}
		if err := db.QueryRowContext(ctx, "select ?", 1e17).Scan(&f); err != nil || f != 1e17 {
			t.Errorf("a REAL: %v, %v", f, err)
		}
	})
}

func TestTimesAreTimesInColumnsDeclaredSo(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 120e6, time.UTC)
	withDB(t, func(ctx context.Context, state *durable.State, db *sql.DB) {
		if err := state.Storage().KV().Put("k", "v"); err != nil { // creates a table that SQL may not read
			t.Fatal(err)
		}
		mustExec(t, db, "create table a (at DateTime default current_timestamp, day date, note text, both datetime, id integer); create table b (both text)")
		mustExec(t, db, "insert into a values (?1, '2026-01-02', ?1, ?1, 1)", at)
		mustExec(t, db, "insert into a(id) values (2)")
		var (
			got, day, now time.Time
			note, both    string
			null          sql.NullTime
		)
		if err := db.QueryRowContext(ctx, "select at, day, note, both from a where id = 1").Scan(&got, &day, &note, &both); err != nil {
			t.Fatal(err)
		}
		if got != at || day != at.Truncate(24*time.Hour) {
			t.Errorf("%v became %v, %v", at, got, day)
		}
		if note != "2026-01-02 03:04:05.12" || both != note {
			t.Errorf("text became %s, %s", note, both)
		}
		if err := db.QueryRowContext(ctx, "select at, day from a where id = 2").Scan(&now, &null); err != nil || time.Since(now).Abs() > time.Minute || null.Valid {
			t.Errorf("%v, %v, %v", now, null, err)
		}
		if err := db.QueryRowContext(ctx, "select note from a where id = 1").Scan(&got); err == nil {
			t.Error("text was scanned into a time")
		}
		if err := db.QueryRowContext(ctx, "select at from a where at > ? and at <= ?", at.Add(-1), at).Scan(&got); err != nil || got != at {
			t.Errorf("compared with times with nanoseconds: %v, %v", got, err)
		}
	})
}

func TestErrorsAreThoseOfPackageDurable(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		mustExec(t, db, "insert into t values (1, 'a')")
		_, err := db.ExecContext(ctx, "insert into t values (2, 'a')")
		var e *durable.SQLError
		if !errors.Is(err, durable.ErrConstraint) || !errors.As(err, &e) || e.Constraint != durable.ConstraintUnique {
			t.Errorf("%v", err)
		}
		if _, err := db.ExecContext(ctx, "select ?", strings.Repeat("x", durable.MaxSQLValueSize+1)); !errors.Is(err, durable.ErrLimit) {
			t.Errorf("%.100v", err)
		}
		if _, err := db.QueryContext(ctx, "select * from nope"); !errors.As(err, &e) || e.Code != "SQLITE_ERROR" {
			t.Errorf("%v", err)
		}
	})
}

func TestWhatCannotWorkIsRefusedWithAReason(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		ended, end := context.WithCancel(ctx)
		end()
		for name, c := range map[string]struct {
			run    func() error
			reason string
		}{
			"an argument with an unknown name": {func() error { _, err := db.ExecContext(ctx, "select :a", sql.Named("b", 1)); return err }, `"b"`},
			"a parameter without an argument":  {func() error { _, err := db.ExecContext(ctx, "select :a, @b", sql.Named("a", 1)); return err }, "@b"},
			"one argument too many":            {func() error { _, err := db.ExecContext(ctx, "select :a", sql.Named("a", 1), 2); return err }, "argument 2"},
			"BEGIN":                            {func() error { _, err := db.ExecContext(ctx, "begin"); return err }, "transaction"},
			"read-only":                        {func() error { _, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}); return err }, "read-only"},
			"isolation":                        {func() error { _, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}); return err }, "Read Committed"},
			"an ended context": {func() error {
				conn, err := db.Conn(ctx)
				if err != nil {
					return err
				}
				defer conn.Close()
				_, err = conn.ExecContext(ended, "insert into t values (1, 'a')")
				return err
			}, "context canceled"},
		} {
			if err := c.run(); err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%s: %v", name, err)
			}
		}
		wantRows(t, db, ctx, 0)
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	})
}

func TestRowsStreamWhileOthersAreWritten(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		mustExec(t, db, "insert into t with recursive r(n) as (select 1 union all select n + 1 from r where n < 1000) select n, n from r")
		rows, err := db.QueryContext(ctx, "select id from t")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			var id int
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, "update t set s = s || '!' where id = ?", id)
		}
		if n != 1000 || rows.Err() != nil {
			t.Errorf("%d rows, %v", n, rows.Err())
		}
	})
}

// cents is stored as text.
type cents int

func (c cents) Value() (driver.Value, error) { return "€" + string(rune('0'+int(c))), nil }

// If this package is linked, package durable binds Valuers too.
func TestPackageDurableBindsValuers(t *testing.T) {
	withDB(t, func(_ context.Context, state *durable.State, _ *sql.DB) {
		for _, c := range []struct {
			arg  any
			want string
		}{
			{cents(5), "€5"}, {new(cents(6)), "€6"}, {(*cents)(nil), "none"}, {time.Second, "1000000000"}, {sql.NullString{}, "none"},
		} {
			cursor, err := state.Storage().SQL().Exec("select coalesce(cast(? as text), 'none')", c.arg)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := durable.One[string](cursor); got != c.want || err != nil {
				t.Errorf("%T: %q, %v", c.arg, got, err)
			}
		}
	})
}
