package durable

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable/internal/sqltext"
)

func TestBindRefusesWhatWouldChange(t *testing.T) {
	for name, v := range map[string]any{
		"NaN":                                    math.NaN(),
		"NaN in 32 bits":                         float32(math.NaN()),
		"an unsigned integer too large":          uint64(1 << 63),
		"the year 10000":                         time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		"a year before 0":                        time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC),
		"a year that is valid only in UTC":       time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600)),
		"another type":                           struct{}{},
		"a named struct":                         time.Location{},
		"a pointer to a struct":                  new(struct{}),
		"nil of a pointer to a struct":           (*struct{})(nil),
		"a list":                                 []string{"a"},
		"an array":                               [2]byte{},
		"a map":                                  map[string]int{},
		"a function":                             func() {},
		"text that is not UTF-8":                 "a\xff",
		"text of a named type that is not UTF-8": nickname("a\xff"),
		"a pointer to text that is not UTF-8":    new("a\xff"),
	} {
		if got, _, err := bind(v); !errors.Is(err, ErrValue) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// valuer implements the interface of package database/sql/driver, and so does
// amount.
type valuer struct{ v any }

func (v valuer) Value() (driver.Value, error) { return v.v, nil }

type amount int

func (a *amount) Value() (driver.Value, error) { return int64(*a) * 100, nil }

type failing struct{}

func (failing) Value() (driver.Value, error) { return nil, errFailing }

var errFailing = errors.New("no value")

func TestBindTakesWhatDatabaseSQLTakes(t *testing.T) {
	at, five, name := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), amount(5), "Ada"
	pname := &name
	cases := []struct{ in, want any }{
		{sql.NullString{}, nil}, {sql.NullString{String: "a", Valid: true}, "a"}, {sql.NullInt64{Int64: 5, Valid: true}, int64(5)},
		{sql.NullTime{Time: at, Valid: true}, "2026-01-02 03:04:05.000006"}, {sql.Null[bool]{V: true, Valid: true}, 1},
		{(*sql.NullString)(nil), nil}, {&sql.NullInt64{Int64: 5, Valid: true}, int64(5)}, {userID(7), int64(7)}, {nickname("x"), "x"},
		{json.RawMessage("{}"), errValuer}, {time.Second, errValuer}, {spoken(5), int64(5)}, {new(spoken(5)), int64(5)}, {five, int64(5)}, {&five, errValuer},
		{valuer{[]byte{1}}, errValuer}, {failing{}, errValuer}, {(*amount)(nil), errValuer},
		{new(userID(7)), int64(7)}, {(*userID)(nil), nil}, {&pname, "Ada"}, {(**string)(nil), nil}, {new(*string), nil}, {(*time.Time)(nil), nil},
		{&at, "2026-01-02 03:04:05.000006"}, {new(any(5)), int64(5)}, {new(any), nil},
	}
	for _, c := range cases {
		wantBound(t, c.in, c.want)
	}
	sqltext.CallValuer = askValuer // as if durablesql were linked
	defer func() { sqltext.CallValuer = nil }()
	for _, c := range cases {
		if c.want != errValuer {
			wantBound(t, c.in, c.want)
		}
	}
	wantBound(t, json.RawMessage("{}"), []byte("{}"))
	wantBound(t, time.Second, int64(1e9))
	wantBound(t, &five, int64(500))
	wantBound(t, valuer{[]byte{1}}, []byte{1})
	wantBound(t, valuer{at}, "2026-01-02 03:04:05.000006")
	wantBound(t, valuer{nil}, nil)
	wantBound(t, failing{}, errFailing)
	wantBound(t, valuer{struct{}{}}, ErrValue)
	wantBound(t, valuer{valuer{1}}, ErrValue)
	wantBound(t, valuer{math.NaN()}, ErrValue)
}

func wantBound(t *testing.T, in, want any) {
	t.Helper()
	got, _, err := bind(in)
	if failure, isError := want.(error); isError {
		if !errors.Is(err, failure) {
			t.Errorf("%T %v: %v, %v", in, in, got, err)
		}
	} else if !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("%T %v became %#v, %v, want %#v", in, in, got, err, want)
	}
}

func askValuer(v any) (any, bool, error) {
	valuer, ok := v.(driver.Valuer)
	if d := reflect.ValueOf(v); !ok || d.Kind() == reflect.Pointer && d.IsNil() {
		return nil, ok, nil
	}
	value, err := valuer.Value()
	return value, true, err
}

// spoken has a method, but is not a Valuer.
type spoken int

func (spoken) String() string { return "five" }

func TestBoundTimesSortAndHaveOneText(t *testing.T) {
	last := ""
	for _, c := range []struct {
		t    time.Time
		want string
	}{
		{time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), "0000-01-01 00:00:00"},
		{time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)), "2026-01-02 02:04:05"},
		{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "2026-01-02 03:04:05"},
		{time.Date(2026, 1, 2, 3, 4, 5, 1, time.UTC), "2026-01-02 03:04:05.000000001"},
		{time.Date(2026, 1, 2, 3, 4, 5, 99e6, time.UTC), "2026-01-02 03:04:05.099"},
		{time.Date(2026, 1, 2, 3, 4, 5, 100e6, time.UTC), "2026-01-02 03:04:05.1"},
		{time.Date(2026, 1, 2, 3, 4, 5, 120e6, time.UTC), "2026-01-02 03:04:05.12"},
		{time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC), "2026-01-02 03:04:06"},
		{time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), "9999-12-31 23:59:59.999999999"},
	} {
		got, _, err := bind(c.t)
		if got != c.want || err != nil || c.want <= last {
			t.Errorf("%v became %v, %v after %s", c.t, got, err, last)
		}
		last = c.want
		var back time.Time
		if err := scan(&back, c.want); err != nil || !back.Equal(c.t) || back.Location() != time.UTC {
			t.Errorf("%s came back as %v, %v", c.want, back, err)
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

// checkKindOf checks that T, a type derived from it, and pointers to both are
// bound and scanned in the same way.
func checkKindOf[T, Named any](t *testing.T, value T, bound any) {
	t.Helper()
	back := func(dest any) {
		t.Helper()
		in := bound
		switch n := bound.(type) { // JavaScript has one type for numbers
		case int64:
			in = float64(n)
		case int:
			in = float64(n)
		}
		if err := scan(dest, in); err != nil {
			t.Errorf("%T: %v", dest, err)
		}
	}
	var plain T
	var named Named
	var pointer **T
	back(&plain)
	back(&named)
	back(&pointer)
	for _, got := range []any{plain, named, **pointer} {
		if v, _, err := bind(got); !reflect.DeepEqual(v, bound) || err != nil {
			t.Errorf("%T: %#v, %v; want %#v", got, v, err, bound)
		}
	}
	if !reflect.DeepEqual(plain, value) {
		t.Errorf("%T: %v came back as %v", value, value, plain)
	}
	if err := scan(&pointer, nil); pointer != nil || err != nil {
		t.Errorf("%T: NULL became %v, %v", pointer, pointer, err)
	}
}

func TestEveryKindIsBoundAndScanned(t *testing.T) {
	type (
		flag   bool
		text   string
		raw    []byte
		i      int
		i8     int8
		i16    int16
		i32    int32
		i64    int64
		u      uint
		u8     uint8
		u16    uint16
		u32    uint32
		u64    uint64
		single float32
		double float64
	)
	checkKindOf[bool, flag](t, true, 1)
	checkKindOf[string, text](t, "a", "a")
	checkKindOf[[]byte, raw](t, []byte("a"), []byte("a"))
	checkKindOf[int, i](t, -1, int64(-1))
	checkKindOf[int8, i8](t, -128, int64(-128))
	checkKindOf[int16, i16](t, 1<<15-1, int64(1<<15-1))
	checkKindOf[int32, i32](t, -1<<31, int64(-1<<31))
	checkKindOf[int64, i64](t, 1<<63-1, "9223372036854775807")
	checkKindOf[uint, u](t, 1, int64(1))
	checkKindOf[uint8, u8](t, 255, int64(255))
	checkKindOf[uint16, u16](t, 1<<16-1, int64(1<<16-1))
	checkKindOf[uint32, u32](t, 1<<32-1, int64(1<<32-1))
	checkKindOf[uint64, u64](t, 1<<63-1, "9223372036854775807")
	checkKindOf[float32, single](t, 0.5, 0.5)
	checkKindOf[float64, double](t, 0.1, 0.1)
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
		"2026-01-02T03:04:05":           time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02 03:04":              time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
		"2026-01-02T03:04Z":             time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),

		"2026-01-02 03:04:05.123456789+01:00":     time.Date(2026, 1, 2, 2, 4, 5, 123456789, time.UTC), // the form of other Go drivers
		"2026-01-02 03:04:05.123456789 +0100 CET": time.Date(2026, 1, 2, 2, 4, 5, 123456789, time.UTC),
		"2026-01-02 03:04:05.123456789Z":          time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC),
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

// scanner implements the interface of package database/sql.
type scanner struct{ v any }

func (s *scanner) Scan(v any) error { s.v = v; return nil }

func TestScannersGetWhatDatabaseSQLGivesThem(t *testing.T) {
	for v, want := range map[any]any{5.0: int64(5), 0.0: int64(0), 0.5: 0.5, "a": "a", nil: nil, 1e300: 1e300} {
		var s scanner
		if err := scan(&s, v); err != nil || s.v != want {
			t.Errorf("%#v arrives as %#v, %v", v, s.v, err)
		}
	}
	var zero scanner
	if err := scan(&zero, math.Copysign(0, -1)); err != nil || zero.v != 0.0 || !math.Signbit(zero.v.(float64)) {
		t.Errorf("-0 arrives as %#v, %v", zero.v, err)
	}
	if err := scan(&scanner{}, float64(1<<53)); !errors.Is(err, ErrValue) {
		t.Errorf("an inexact integer: %v", err)
	}
}

func TestScannersOfTimesGetOneOfText(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, dest := range []any{new(sql.NullTime), new(sql.Null[time.Time])} {
		for v, want := range map[any]any{"2026-01-02 03:04:05": at, nil: nil} {
			if err := scan(dest, v); err != nil {
				t.Errorf("%v into %T: %v", v, dest, err)
			} else if got, _ := dest.(driver.Valuer).Value(); got != want {
				t.Errorf("%v into %T became %v", v, dest, got)
			}
		}
		if err := scan(dest, "soon"); err == nil {
			t.Errorf("text was scanned into %T", dest)
		}
	}
	var s sql.NullString
	if err := scan(&s, "2026-01-02"); err != nil || s.String != "2026-01-02" {
		t.Errorf("%v, %v", s, err)
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
		"no field":                       row("nope", 1.0),
		"excluded by its tag":            row("internal", "x"),
		"not exported":                   row("hidden", "x"),
		"known by its tag only":          row("name", "x"),
		"two columns with the same name": row("id ID", 1.0, 2.0),
		"a value that does not fit":      row("id", 0.5),
		"NULL for a value":               row("id", nil),
		"in an embedded pointer of nil":  row("extra", 1.0),
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
