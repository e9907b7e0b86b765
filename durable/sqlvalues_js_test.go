package durable_test

import (
	"context"
	"database/sql"
	"math"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// withSQL runs fn inside a fresh object.
func withSQL(t *testing.T, fn func(ctx context.Context, state *durable.State, db *durable.SQL)) {
	t.Helper()
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		fn(ctx, state, state.Storage().SQL())
	})
}

func mustExec(t *testing.T, db *durable.SQL, query string, args ...any) *durable.Cursor {
	t.Helper()
	c, err := db.Exec(query, args...)
	if err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
	return c
}

// one returns the value of a query's only row and only column.
func one[T any](t *testing.T, db *durable.SQL, query string, args ...any) T {
	t.Helper()
	v, err := durable.One[T](mustExec(t, db, query, args...))
	if err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
	return v
}

func TestSQLIntegersAreExactFromEndToEnd(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, "create table t (n integer, free, txt text)")
		for _, n := range []int64{0, 1, -1, 1<<53 - 1, -1<<53 + 1, 1 << 53, 1<<53 + 1, -1<<53 - 1, 1<<62 + 1, math.MaxInt64, math.MinInt64} {
			mustExec(t, db, "delete from t")
			mustExec(t, db, "insert into t values (?1, ?1, ?1)", n)
			if got := one[string](t, db, "select typeof(n) || ' ' || typeof(free) || ' ' || typeof(txt) from t"); got != "integer integer text" {
				t.Errorf("%d is stored as %s", n, got)
			}
			for _, column := range []string{"cast(n as text)", "cast(free as text)", "txt"} {
				if got := one[int64](t, db, "select "+column+" from t"); got != n {
					t.Errorf("%s: %d became %d", column, n, got)
				}
			}
			if one[int64](t, db, "select count(*) from t where n = ? and free = ? and txt = ?", n, n, n) != 1 {
				t.Errorf("%d is not equal to itself", n)
			}
			exact := -1<<53 < n && n < 1<<53
			for _, dest := range []any{new(int64), new(int), new(any), new(*int64)} {
				c := mustExec(t, db, "select n from t")
				c.Next()
				if err := c.Scan(dest); (err == nil) != exact {
					t.Errorf("%d into a %T: %v", n, dest, err)
				}
				c.Close()
			}
			if got := one[float64](t, db, "select n from t"); got != float64(n) {
				t.Errorf("%d as a float64 is %v", n, got)
			}
		}
	})
}

func TestSQLGoTypesBindAsSQLiteTypes(t *testing.T) {
	text, null := "x", (*string)(nil)
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		for _, c := range []struct {
			v    any
			want string
		}{
			{nil, "null"}, {null, "null"}, {[]byte(nil), "null"}, {&text, "text"}, {"", "text"}, {[]byte{}, "blob"}, {true, "integer"}, {5, "integer"},
			{uint8(5), "integer"}, {int64(math.MinInt64), "integer"}, {5.0, "real"}, {float32(0.5), "real"}, {math.Inf(1), "real"}, {time.UnixMilli(0), "text"},
		} {
			if got := one[string](t, db, "select typeof(?)", c.v); got != c.want {
				t.Errorf("%T %v binds as %s, want %s", c.v, c.v, got, c.want)
			}
		}
	})
}

func TestSQLRoundTripsKeepTheValue(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 120e6, time.FixedZone("", 3600))
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		for _, s := range []string{"", "a\x00b", "\ufeffä", "😀", "it's ?", strings.Repeat("é", durable.MaxSQLValueSize/2)} {
			if got := one[string](t, db, "select ?", s); got != s {
				t.Errorf("%.20q became %.20q", s, got)
			}
		}
		for _, b := range [][]byte{nil, {}, {0, 255, 0}, make([]byte, durable.MaxSQLValueSize)} {
			if got := one[[]byte](t, db, "select ?", b); string(got) != string(b) || (got == nil) != (b == nil) {
				t.Errorf("%d bytes became %d", len(b), len(got))
			}
		}
		for _, f := range []float64{0, 0.1, -1e300, 5e-324, 1 << 53, 1e16, math.MaxFloat64, math.Inf(-1), math.Copysign(0, -1)} {
			if got := one[float64](t, db, "select ?", f); math.Float64bits(got) != math.Float64bits(f) {
				t.Errorf("%v became %v", f, got)
			}
		}
		for _, b := range []bool{true, false} {
			if got := one[bool](t, db, "select ?", b); got != b {
				t.Errorf("%v became %v", b, got)
			}
		}
		if got := one[time.Time](t, db, "select ?", at); !got.Equal(at) || got.Location() != time.UTC {
			t.Errorf("%v became %v", at, got)
		}
		if got := one[string](t, db, "select ?", at); got != "2026-01-02 02:04:05.12" {
			t.Errorf("a time is stored as %s", got)
		}
		if got := one[bool](t, db, "select strftime('%Y-%m-%dT%H:%M:%fZ', ?1) = '2026-01-02T02:04:05.120Z' and datetime(?1) = '2026-01-02 02:04:05'", at); !got {
			t.Error("SQLite reads a time differently")
		}
		if got := one[time.Time](t, db, "select current_timestamp"); time.Since(got).Abs() > time.Minute {
			t.Errorf("SQLite's time is read as %v", got)
		}
	})
}

// A cast would have INTEGER affinity, and the planner would not treat it as a
// constant.
func TestSQLIntegerParametersHaveNoAffinity(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, "create table t (k text primary key, n integer unique) without rowid; insert into t values ('5', 5), ('05', 6)")
		if got := one[int](t, db, "select count(*) from t where k = ?", 5); got != 1 {
			t.Errorf("%d rows equal the text 5", got)
		}
		if got := one[int](t, db, "select count(*) from t where n in (?, ?) and n between ? and ? limit ? offset ?", 5, 6, 0, 9, 1, 0); got != 2 {
			t.Errorf("%d rows", got)
		}
		if got := one[int](t, db, "select ? - -?", 5, 6); got != 11 {
			t.Errorf("5 - -6 is %d", got)
		}
		if got := one[string](t, db, "select json_array(?, ?) -> ?", 5, 6.0, 0); got != "5" {
			t.Errorf("in JSON 5 is %s", got)
		}
		for _, where := range []string{"k = ?", "n = ?"} {
			c := mustExec(t, db, "explain query plan select * from t where "+where, 5)
			plan := ""
			for c.Next() {
				var n int
				if err := c.Scan(&n, &n, &n, &plan); err != nil {
					t.Fatal(err)
				}
			}
			if !strings.HasPrefix(plan, "SEARCH") {
				t.Errorf("%s: %s", where, plan)
			}
		}
	})
}

func TestSQLParametersBindByPosition(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		for query, want := range map[string]string{
			"select ?2 || ?1 || typeof(?2)":          "21integer",
			"select :a || @b || :a || typeof($c)":    "121text",
			"select ?3 || $x || ?1 || typeof($x)":    "", // $x is the fourth parameter
			"select ?3 || ?2 || typeof(?1) -- ?9 '":  "x2integer",
			"select '?' || ?1 || /* ? */ ?2 || [?3]": "",
		} {
			c, err := db.Exec(query, 1, 2, "x")
			if err != nil {
				c, err = db.Exec(query, 1, 2)
			}
			if want == "" {
				if err == nil {
					t.Errorf("%s was run", query)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", query, err)
				continue
			}
			if got, err := durable.One[string](c); got != want || err != nil {
				t.Errorf("%s: %s, %v, want %s", query, got, err, want)
			}
		}
	})
}

func TestSQLStructsGoInAndComeOut(t *testing.T) {
	type id int64
	type user struct {
		ID      id
		Name    string `sql:"full_name"`
		Nick    *string
		Avatar  []byte
		Active  bool
		Score   float64
		Created time.Time
	}
	nick := "ada"
	users := []user{
		{1, "Ada", &nick, []byte{1}, true, 0.5, time.UnixMilli(1).UTC()},
		{2, "Bob", nil, nil, false, 7, time.UnixMilli(2).UTC()},
	}
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, "create table users (id integer primary key, full_name text, nick text, avatar blob, active boolean, score real, created datetime)")
		for _, u := range users {
			mustExec(t, db, "insert into users values (?, ?, ?, ?, ?, ?, ?)", u.ID, u.Name, u.Nick, u.Avatar, u.Active, u.Score, u.Created)
		}
		i := 0
		for got, err := range durable.All[user](mustExec(t, db, "select * from users order by id")) {
			if err != nil {
				t.Fatal(err)
			}
			want := users[i]
			if (got.Nick == nil) != (want.Nick == nil) || got.Nick != nil && *got.Nick != *want.Nick || string(got.Avatar) != string(want.Avatar) {
				t.Errorf("%+v became %+v", want, got)
			}
			got.Nick, got.Avatar, want.Nick, want.Avatar = nil, nil, nil, nil
			if got.ID != want.ID || got.Name != want.Name || got.Active != want.Active || got.Score != want.Score || got.Created != want.Created {
				t.Errorf("%+v became %+v", want, got)
			}
			i++
		}
		if i != 2 {
			t.Errorf("%d users", i)
		}
		if _, err := durable.One[user](mustExec(t, db, "select * from users where id = 3")); err != durable.ErrNoRows {
			t.Errorf("no user: %v", err)
		}
		if _, err := durable.One[user](mustExec(t, db, "select * from users")); err != durable.ErrManyRows {
			t.Errorf("two users: %v", err)
		}
	})
}

// Bound times must compare correctly with times that SQLite makes.
func TestSQLTimesCompareWithThoseOfSQLite(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, "create table t (id integer primary key, at datetime default current_timestamp, day date default current_date)")
		mustExec(t, db, "insert into t(id) values (1)")
		now := one[time.Time](t, db, "select at from t")
		soon, before := now.Add(time.Second), now.Add(-time.Second)
		for _, c := range []struct {
			where string
			args  []any
			want  bool
		}{
			{"at = ?", []any{now}, true},
			{"at > ?", []any{before}, true},
			{"at > ?", []any{now}, false},
			{"at < ?", []any{soon}, true},
			{"at < ?", []any{now.Add(1)}, true},
			{"at between ? and ?", []any{before, soon}, true},
			{"? < current_timestamp", []any{now.Add(-time.Hour)}, true},
			{"? > current_timestamp", []any{now.Add(time.Hour)}, true},
			{"? > datetime('now', '-1 hour')", []any{now}, true},
			{"? < datetime('now', '+1 hour')", []any{now}, true},
			{"datetime(?1) = ?1", []any{now}, true},
			{"strftime('%Y-%m-%d %H:%M:%S', ?1) = ?1", []any{now}, true},
			{"datetime(?, 'subsec') > ?", []any{now.Add(1e6), now}, true},
			{"datetime(?, 'subsec') < ?", []any{now.Add(1e6), now.Add(2e6)}, true},
			{"strftime('%Y-%m-%d %H:%M:%f', ?) = ?", []any{now.Add(123e6), now.Add(123e6)}, true},
			{"julianday(?) < julianday(?)", []any{now, now.Add(1e6)}, true},
			{"julianday(?) = julianday(?)", []any{now.Format(time.RFC3339), now}, true},
			{"unixepoch(?) = ?", []any{now, now.Unix()}, true},
			{"unixepoch(at) = unixepoch(?)", []any{now.Add(999e6)}, true},
			{"unixepoch(?) = ?", []any{time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC), -315619200}, true},
			{"? >= date('now')", []any{now}, true},
			{"date(?) = day", []any{now}, true},
			{"day = ?", []any{now.Format(time.DateOnly)}, true},
			{"timediff(?, ?) = '+0000-00-00 00:00:01.000'", []any{soon, now}, true},

			// These do not compare, as the doc comment of SQL says.
			{"strftime('%Y-%m-%d %H:%M:%f', ?1) = ?1", []any{now}, false},
			{"day = ?", []any{now.Truncate(24 * time.Hour)}, false},
			{"? < ?", []any{before.Format(time.RFC3339), now}, false},
			{"julianday(?) < julianday(?)", []any{now, now.Add(1e3)}, false}, // SQLite keeps ms
		} {
			if got := one[bool](t, db, "select exists (select 1 from t where "+c.where+")", c.args...); got != c.want {
				t.Errorf("%s %v: %v", c.where, c.args, got)
			}
		}
	})
}

func TestSQLTimesKeepNanoseconds(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.FixedZone("", 3600))
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		if got := one[time.Time](t, db, "select ?", at); !got.Equal(at) || got.Location() != time.UTC {
			t.Errorf("%v became %v", at, got)
		}
		null := one[sql.NullTime](t, db, "select ?", sql.NullTime{Time: at, Valid: true})
		if !null.Valid || !null.Time.Equal(at) {
			t.Errorf("%v became %v", at, null)
		}
		if null := one[sql.NullTime](t, db, "select ?", sql.NullTime{}); null.Valid {
			t.Errorf("NULL became %v", null)
		}
	})
}

// Rows that were written before times were bound in SQLite's form are read, and
// the statement of docs/objects.md converts them.
func TestSQLTimesInTheOldFormAreReadAndConverted(t *testing.T) {
	const convert = `update t set at = rtrim(rtrim(strftime('%Y-%m-%d %H:%M:%f', at), '0'), '.') where at like '%T%Z'`
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		for old, want := range map[string]time.Time{
			"2026-01-02T03:04:00.000Z": time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
			"2026-01-02T03:04:10.120Z": time.Date(2026, 1, 2, 3, 4, 10, 120e6, time.UTC),
			"2026-01-02T03:04:05.001Z": time.Date(2026, 1, 2, 3, 4, 5, 1e6, time.UTC),
		} {
			mustExec(t, db, "drop table if exists t; create table t (at datetime)")
			mustExec(t, db, "insert into t values (?)", old)
			if got := one[time.Time](t, db, "select at from t"); got != want {
				t.Errorf("%s is read as %v", old, got)
			}
			mustExec(t, db, convert)
			if n := one[int](t, db, "select count(*) from t where at = ?", want); n != 1 {
				t.Errorf("%s became %s", old, one[string](t, db, "select at from t"))
			}
		}
	})
}
