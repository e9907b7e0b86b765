package durable

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestBindRefusesWhatWouldChange(t *testing.T) {
	for name, v := range map[string]any{
		"NaN":                           math.NaN(),
		"NaN in 32 bits":                float32(math.NaN()),
		"an unsigned integer too large": uint64(1 << 63),
		"microseconds":                  time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		"the year 10000":                time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"a year before 0":               time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		"a year that UTC has":           time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600)),
		"another type":                  struct{}{},
		"a named type":                  time.Second,
		"a list":                        []string{"a"},
	} {
		if got, _, err := bind(v); !errors.Is(err, ErrValue) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestBindEnforcesTheLimits(t *testing.T) {
	for name, bind := range map[string]func() error{
		"a string":  func() error { _, _, err := bind(strings.Repeat("x", MaxSQLValueSize+1)); return err },
		"bytes":     func() error { _, _, err := bind(make([]byte, MaxSQLValueSize+1)); return err },
		"arguments": func() error { _, _, err := bindAll(make([]any, MaxSQLParameters+1)); return err },
	} {
		var e *LimitError
		if err := bind(); !errors.As(err, &e) || e.Actual != e.Max+1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := bind(make([]byte, MaxSQLValueSize)); err != nil {
		t.Errorf("the largest: %v", err)
	}
	if _, _, err := bindAll(make([]any, MaxSQLParameters)); err != nil {
		t.Errorf("the most: %v", err)
	}
}

func TestIntegersBindAsNumbersWhileTheseAreExact(t *testing.T) {
	for v, want := range map[any]any{
		5: int64(5), int8(-5): int64(-5), uint16(5): int64(5), int64(1<<53 - 1): int64(1<<53 - 1), -int64(1<<53 - 1): -int64(1<<53 - 1),
		int64(1 << 53): "9007199254740992", int64(math.MaxInt64): "9223372036854775807", int64(math.MinInt64): "-9223372036854775808",
		uint64(math.MaxInt64): "9223372036854775807", true: 1, false: 0,
	} {
		if got, isInteger, err := bind(v); got != want || !isInteger || err != nil {
			t.Errorf("%T %v: %#v, %v, %v, want %#v", v, v, got, isInteger, err, want)
		}
	}
}

func TestScanNeverChangesAValue(t *testing.T) {
	inexact := []any{float64(1 << 53), float64(-1 << 53), 1e16, float64(math.MaxInt64)}
	for name, c := range map[string]struct {
		dest   any
		values []any
	}{
		"int64":     {new(int64), append(inexact, 0.5, 1e300, math.Inf(1), nil, "x", "1.0", "01", "+1", "-0", " 1", "", "9223372036854775808", []byte("1"), true)},
		"int":       {new(int), append(inexact, nil, 0.5)},
		"int8":      {new(int8), []any{128.0, -129.0, "128", nil}},
		"uint8":     {new(uint8), []any{256.0, -1.0, nil}},
		"uint64":    {new(uint64), append(inexact, -1.0, "-1", nil)},
		"bool":      {new(bool), []any{2.0, -1.0, 0.5, "true", nil}},
		"float64":   {new(float64), []any{"1", nil, []byte("1")}},
		"float32":   {new(float32), []any{0.1, 1e300, nil}},
		"string":    {new(string), []any{1.0, []byte("a"), nil}},
		"[]byte":    {new([]byte), []any{1.0, "a"}},
		"time.Time": {new(time.Time), []any{1.0, "now", "2026-01-02T", nil}},
		"any":       {new(any), inexact},
		"*int64":    {new(*int64), append(inexact, 0.5)},
		"a struct":  {&struct{}{}, []any{1.0, nil}},
	} {
		for _, v := range c.values {
			if err := scan(c.dest, v); !errors.Is(err, ErrValue) {
				t.Errorf("%#v was scanned into %s, %v", v, name, err)
			}
		}
	}
}

func TestScanErrorsNameTheColumnAndTheWayOut(t *testing.T) {
	c := &Cursor{columns: []string{"id"}, row: []any{float64(1 << 60)}}
	var n int64
	if err := c.Scan(&n); !errors.Is(err, ErrValue) || !strings.Contains(err.Error(), `"id"`) || !strings.Contains(err.Error(), "CAST(… AS TEXT)") {
		t.Errorf("%v", err)
	}
	if err := c.Scan(&n, &n); !errors.Is(err, ErrValue) || err.Error() != "durable: Scan into 2 values of a row with 1 columns" {
		t.Errorf("%v", err)
	}
	if err := (&Cursor{}).Scan(); err != errNoRow {
		t.Errorf("without a row: %v", err)
	}
}

func TestTimesAreReadAsSQLiteWritesThem(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-01-02T03:04:05.678Z":      time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
		"2026-01-02T03:04:05Z":          time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04:05.678+01:00": time.Date(2026, 1, 2, 2, 4, 5, 678e6, time.UTC),
		"2026-01-02 03:04:05":           time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02 03:04:05.678":       time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
		"2026-01-02":                    time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
	} {
		var got time.Time
		if err := scan(&got, text); err != nil || !got.Equal(want) {
			t.Errorf("%s became %v, %v", text, got, err)
		}
	}
}

func TestScannedBytesAreACopy(t *testing.T) {
	batch := []byte("abc")
	var got []byte
	if err := scan(&got, batch[:1]); err != nil {
		t.Fatal(err)
	}
	if got[0] = 'x'; string(batch) != "abc" || cap(got) > 64 {
		t.Errorf("%s, capacity %d", batch, cap(got))
	}
}

// scanner is what package database/sql calls one.
type scanner struct{ v any }

func (s *scanner) Scan(v any) error { s.v = v; return nil }

func TestScannersGetWhatDatabaseSQLGivesThem(t *testing.T) {
	for v, want := range map[any]any{5.0: int64(5), 0.5: 0.5, "a": "a", nil: nil, 1e300: 1e300} {
		var s scanner
		if err := scan(&s, v); err != nil || s.v != want {
			t.Errorf("%#v arrives as %#v, %v", v, s.v, err)
		}
	}
	if err := scan(&scanner{}, float64(1<<53)); !errors.Is(err, ErrValue) {
		t.Errorf("an inexact integer: %v", err)
	}
}

type (
	userID   int64
	nickname string
)

type audit struct{ Created time.Time }

type user struct {
	ID       userID
	Name     string    `sql:"full_name"`
	Nick     *nickname // may be NULL
	Avatar   []byte
	Wrapped  scanner
	Internal string `sql:"-"`
	hidden   string
	audit
	*extra
}

type extra struct{ Extra int }

func row(columns string, values ...any) *Cursor {
	return &Cursor{columns: strings.Fields(columns), rows: []any{values}}
}

func TestScanStructFindsFieldsByTagThenByName(t *testing.T) {
	c := row("id FULL_NAME nick avatar created wrapped", 7.0, "Ada", "ada", []byte{1}, "2026-01-02 03:04:05", 1.0)
	u := user{Internal: "kept", hidden: "kept"}
	if !c.Next() {
		t.Fatal("no row")
	}
	if err := c.ScanStruct(&u); err != nil {
		t.Fatal(err)
	}
	if u.ID != 7 || u.Name != "Ada" || *u.Nick != "ada" || len(u.Avatar) != 1 || u.Created.Hour() != 3 || u.Wrapped.v != int64(1) || u.Internal+u.hidden != "keptkept" {
		t.Errorf("%+v", u)
	}
	c.row = []any{7.0, "Ada", nil, nil, "2026-01-02 03:04:05", nil}
	if err := c.ScanStruct(&u); err != nil || u.Nick != nil || u.Avatar != nil {
		t.Errorf("NULLs: %+v, %v", u, err)
	}
}

func TestScanStructRefusesColumnsThatHaveNoPlace(t *testing.T) {
	for name, c := range map[string]*Cursor{
		"no field":                      row("nope", 1.0),
		"excluded by its tag":           row("internal", "x"),
		"not exported":                  row("hidden", "x"),
		"known by its tag only":         row("name", "x"),
		"two columns of one name":       row("id ID", 1.0, 2.0),
		"a value that does not fit":     row("id", 0.5),
		"NULL for a value":              row("id", nil),
		"in an embedded pointer of nil": row("extra", 1.0),
	} {
		if _, err := One[user](c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := row("id", 1.0).ScanStruct(&user{}); err != errNoRow {
		t.Errorf("without a row: %v", err)
	}
}

func TestAllAndOneTakeSingleValuesToo(t *testing.T) {
	if v, err := One[userID](row("c", 5.0)); v != 5 || err != nil {
		t.Errorf("a named integer: %v, %v", v, err)
	}
	if v, err := One[*string](row("c", nil)); v != nil || err != nil {
		t.Errorf("NULL: %v, %v", v, err)
	}
	if v, err := One[time.Time](row("c", "2026-01-02")); v.Year() != 2026 || err != nil {
		t.Errorf("a time: %v, %v", v, err)
	}
	if v, err := One[any](row("c", "x")); v != "x" || err != nil {
		t.Errorf("any: %v, %v", v, err)
	}
	if v, err := One[scanner](row("c", 5.0)); v.v != int64(5) || err != nil {
		t.Errorf("a Scanner: %v, %v", v, err)
	}
	if v, err := One[int](row("a b", 5.0, 6.0)); v != 0 || !errors.Is(err, ErrValue) {
		t.Errorf("two columns: %v, %v", v, err)
	}
	if _, err := One[int](&Cursor{}); err != ErrNoRows {
		t.Errorf("no row: %v", err)
	}
	if _, err := One[int](&Cursor{columns: []string{"c"}, rows: []any{[]any{1.0}, []any{2.0}}}); err != ErrManyRows {
		t.Errorf("two rows: %v", err)
	}
	broken := errors.New("broken")
	if _, err := One[int](&Cursor{columns: []string{"c"}, rows: []any{[]any{1.0}}, err: broken}); err != broken {
		t.Errorf("an error after the row: %v", err)
	}
	var got []int
	for v, err := range All[int](&Cursor{columns: []string{"c"}, rows: []any{[]any{1.0}, []any{2.0}, []any{0.5}, []any{3.0}}}) {
		if err != nil {
			v = -1
		}
		got = append(got, v)
	}
	if len(got) != 3 || got[1] != 2 || got[2] != -1 {
		t.Errorf("all: %v", got)
	}
}
