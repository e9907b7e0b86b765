package durable_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

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
