package durable_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// numbers is a query with one column n, from 1 to a parameter.
const numbers = "with recursive r(n) as (select 1 union all select n + 1 from r where n < ?) select n from r"

func TestSQLAMillionRowsStreamThrough(t *testing.T) {
	const rows = 1_000_000
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		var before, m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		peak := uint64(0)
		c := mustExec(t, db, numbers, rows)
		var n, sum int64
		for i := int64(1); c.Next(); i++ {
			if err := c.Scan(&n); err != nil || n != i {
				t.Fatalf("row %d is %d, %v", i, n, err)
			}
			sum += n
			if i%50_000 == 0 {
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
		if c.Err() != nil || n != rows || sum != rows*(rows+1)/2 {
			t.Errorf("%d rows, sum %d, %v", n, sum, c.Err())
		}
		runtime.ReadMemStats(&m)
		t.Logf("heap: %d KiB before, %d KiB at most; memory taken from the system: %d KiB before, %d KiB after", before.HeapAlloc>>10, peak>>10, before.Sys>>10, m.Sys>>10)
		if m.Sys > before.Sys+8<<20 {
			t.Errorf("memory grew from %d to %d bytes", before.Sys, m.Sys)
		}
	})
}

func TestSQLBigRowsAreNotReadAhead(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, "create table t (b)")
		for range 40 {
			mustExec(t, db, "insert into t values (zeroblob(2 * 1024 * 1024))")
		}
		var before, m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		c := mustExec(t, db, "select b from t")
		n := 0
		for ; c.Next(); n++ {
			var b []byte
			if err := c.Scan(&b); err != nil || len(b) != 2<<20 {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			if c.RowsRead() > n+2 {
				t.Fatalf("at row %d %d were read", n, c.RowsRead())
			}
		}
		runtime.ReadMemStats(&m)
		t.Logf("memory taken from the system: %d KiB before, %d KiB after", before.Sys>>10, m.Sys>>10)
		if n != 40 || c.Err() != nil || m.Sys > before.Sys+24<<20 {
			t.Errorf("%d rows, %v; memory grew from %d to %d bytes", n, c.Err(), before.Sys, m.Sys)
		}
	})
}

func TestSQLRowsBeforeAnErrorArrive(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		const fails = "with recursive r(n) as (select 1 union all select n + 1 from r where n < 300) select case n when ? then abs(-9223372036854775807 - n / n) else n end from r"
		for _, at := range []int{3, 128, 129, 130, 131, 200} { // workerd reads one row ahead, and loses it
			c := mustExec(t, db, fails, at)
			var got []int
			for c.Next() {
				if c.Err() != nil {
					t.Errorf("the error of row %d came with row %d", at, len(got)+1)
				}
				var n int
				if err := c.Scan(&n); err != nil {
					t.Fatal(err)
				}
				got = append(got, n)
			}
			var e *durable.SQLError
			if len(got) != at-2 || !errors.As(c.Err(), &e) || e.Message != "integer overflow" {
				t.Errorf("%d rows before row %d, then %v", len(got), at, c.Err())
			}
			if c.Next() {
				t.Error("the cursor continues")
			}
		}
		for _, at := range []int{1, 2} {
			if _, err := db.Exec(fails, at); err == nil {
				t.Errorf("an error in row %d differs from Exec's error", at)
			}
		}
		var seen []int
		for n, err := range durable.All[int](mustExec(t, db, fails, 4)) {
			if err != nil {
				n = -1
			}
			seen = append(seen, n)
		}
		if !slices.Equal(seen, []int{1, 2, -1}) {
			t.Errorf("All: %v", seen)
		}
	})
}

func TestSQLIterationsEndEarly(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		c := mustExec(t, db, numbers, 1000)
		for n, err := range durable.All[int](c) {
			if err != nil {
				t.Fatal(err)
			}
			if n == 200 {
				break
			}
		}
		if c.Next() || c.Err() != nil {
			t.Errorf("the cursor continues after All, %v", c.Err())
		}
		c = mustExec(t, db, numbers, 1000)
		c.Next()
		c.Close()
		c.Close()
		var n int
		if c.Next() || c.Err() != nil || c.Scan(&n) == nil {
			t.Errorf("the cursor continues after Close, %v", c.Err())
		}
	})
}

func TestSQLCursorsCountRows(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, "create table t (n integer, u integer unique)")
		c := mustExec(t, db, "insert into t select value, value from json_each('[1,2,3]') returning n as a, u")
		if got := c.ColumnNames(); !slices.Equal(got, []string{"a", "u"}) || c.RowsWritten() != 6 {
			t.Errorf("columns %v, %d written", got, c.RowsWritten())
		}
		c = mustExec(t, db, "select n from t")
		if c.RowsRead() != 3 || c.RowsWritten() != 0 {
			t.Errorf("%d read, %d written", c.RowsRead(), c.RowsWritten())
		}
		before, err := db.DatabaseSize()
		if err != nil || before == 0 || before%4096 != 0 {
			t.Errorf("%d bytes, %v", before, err)
		}
		mustExec(t, db, "insert into t(n) values (zeroblob(100000))")
		if after, err := db.DatabaseSize(); after < before+90_000 || err != nil {
			t.Errorf("%d bytes, then %d, %v", before, after, err)
		}
	})
}

// What workerd does with an open cursor when another statement runs. The doc
// comment of Cursor says the same.
func TestSQLOpenCursorSeesWrites(t *testing.T) {
	fill := func(t *testing.T, db *durable.SQL) {
		mustExec(t, db, "drop table if exists t")
		mustExec(t, db, "create table t (n integer primary key, x)")
		mustExec(t, db, "insert into t with recursive r(n) as (select 1 union all select n + 1 from r where n < 1000) select n, 'old' from r")
	}
	withSQL(t, func(ctx context.Context, state *durable.State, db *durable.SQL) {
		for _, c := range []struct {
			statement string
			rows      int
			last      string
		}{
			{"select 1", 1000, "old"},
			{"select n, x from t", 1000, "old"}, // the same query again
			{"delete from t where n in (1, 500)", 999, "old"},
			{"delete from t", 129, "old"}, // 128 rows had arrived, and workerd reads one row ahead
			{"insert into t values (2000, 'new')", 1001, "new"},
			{"update t set x = 'new'", 1000, "new"},
			{"alter table t add column z", 1000, "old"},
			{"create index i on t(x)", 1000, "old"},
		} {
			fill(t, db)
			cursor := mustExec(t, db, "select n, x from t order by n")
			cursor.Next()
			for other := mustExec(t, db, c.statement); other.Next(); {
			}
			rows, last := 1, ""
			for ; cursor.Next(); rows++ {
				var n int
				if err := cursor.Scan(&n, &last); err != nil {
					t.Fatal(err)
				}
			}
			if rows != c.rows || last != c.last || cursor.Err() != nil {
				t.Errorf("%s: %d rows, the last %s, %v, want %d, %s", c.statement, rows, last, cursor.Err(), c.rows, c.last)
			}
		}

		fill(t, db)
		cursor := mustExec(t, db, "select n from t")
		var e *durable.SQLError
		if _, err := db.Exec("drop table t"); !errors.As(err, &e) || e.Code != "SQLITE_LOCKED" {
			t.Errorf("DROP TABLE under a cursor: %v", err)
		}
		for cursor.Next() {
		}
		mustExec(t, db, "drop table t")

		fill(t, db)
		refused := errors.New("refused")
		cursor = mustExec(t, db, "select n from t")
		if err := state.Storage().TransactionSync(func() error { mustExec(t, db, "update t set x = 1"); return refused }); err != refused {
			t.Fatal(err)
		}
		for cursor.Next() {
		}
		if !errors.As(cursor.Err(), &e) || e.Extended != "SQLITE_ABORT_ROLLBACK" {
			t.Errorf("a rollback under a cursor: %v", cursor.Err())
		}

		cursor = mustExec(t, db, "select n from t")
		if err := state.Storage().DeleteAll(ctx, nil); err != nil {
			t.Fatal(err)
		}
		for cursor.Next() {
		}
		if cursor.Err() == nil {
			t.Error("DeleteAll under a cursor did not fail")
		}
	})
}

// The garbage collector frees cursors that were not closed. Close must free
// them at once.
func TestSQLClosedCursorsHoldNothingInJavaScript(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, "select 1")
		before := durable.FreeReference(db)
		for range 100 {
			mustExec(t, db, numbers, 1000).Close()
			for range durable.All[int](mustExec(t, db, numbers, 1000)) {
				break
			}
			if _, err := durable.One[int](mustExec(t, db, numbers, 1000)); err != durable.ErrManyRows {
				t.Fatal(err)
			}
			for c := mustExec(t, db, numbers, 129); c.Next(); {
			}
		}
		if after := durable.FreeReference(db); after != before {
			t.Errorf("the next reference was %d, and is %d", before, after)
		}
	})
}

// row has a field for each of SQLite's types.
type row struct {
	i int64
	s string
	r float64
	b []byte
	n any
}

func rowOf(i int) row {
	return row{int64(i), fmt.Sprint("row ", i), float64(i) / 2, []byte{byte(i)}, nil}
}

// workerd returns rows in batches of 128.
func TestRowsCrossInBatchesUnchanged(t *testing.T) {
	for n, read := range map[int]int{0: 1, 1: 1, 3: 3, 127: 127, 128: 128, 129: 129, 1000: 1000} {
		inside(t, durabletest.SQLite, func(_ context.Context, s *durable.Storage) {
			fill(t, s.SQL(), n)
			c, err := s.SQL().Exec("SELECT i, s, r, b, n FROM t ORDER BY i")
			if err != nil {
				t.Fatal(err)
			}
			if got := readRows(t, c); got != n || c.Err() != nil {
				t.Errorf("%d rows instead of %d, %v", got, n, c.Err())
			}
			if columns := c.ColumnNames(); !slices.Equal(columns, []string{"i", "s", "r", "b", "n"}) || c.RowsRead() != read {
				t.Errorf("columns %v, %d rows read of %d", columns, c.RowsRead(), n)
			}
		})
	}
}

func fill(t *testing.T, db *durable.SQL, n int) {
	t.Helper()
	if _, err := db.Exec("CREATE TABLE t (i INTEGER PRIMARY KEY, s TEXT, r REAL, b BLOB, n TEXT)"); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		r := rowOf(i)
		c, err := db.Exec("INSERT INTO t VALUES (?, ?, ?, ?, ?)", r.i, r.s, r.r, r.b, r.n)
		if err != nil || c.RowsWritten() != 1 {
			t.Fatalf("row %d: %v", i, err)
		}
	}
}

func readRows(t *testing.T, c *durable.Cursor) (n int) {
	t.Helper()
	for ; c.Next(); n++ {
		var r row
		if err := c.Scan(&r.i, &r.s, &r.r, &r.b, &r.n); err != nil {
			t.Fatal(err)
		}
		want := rowOf(n)
		if r.i != want.i || r.s != want.s || r.r != want.r || !slices.Equal(r.b, want.b) || r.n != nil {
			t.Errorf("row %d is %v", n, r)
		}
	}
	return n
}

func TestErrorOfSQLiteIsReturnedAndTheObjectGoesOn(t *testing.T) {
	inside(t, durabletest.SQLite, func(_ context.Context, s *durable.Storage) {
		fill(t, s.SQL(), 1)
		_, err := s.SQL().Exec("INSERT INTO t (i) VALUES (0)")
		var e *durable.Error
		if !errors.As(err, &e) || errors.Is(err, durable.ErrNoSQL) {
			t.Errorf("%#v", err)
		}
		if _, err := s.SQL().Exec("INSERT INTO t (i) VALUES (1)"); err != nil {
			t.Error(err)
		}
	})
}
