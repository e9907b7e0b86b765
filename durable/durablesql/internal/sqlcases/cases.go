package sqlcases

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Cases are all the programs.
var Cases = slices.Concat(statementCases, schemaCases)

// statementCases are about statements, arguments and values.
var statementCases = []Case{
	{"comments and empty statements", func(x *runner) {
		x.set("create table t (a)")
		x.exec("insert into t values (1); -- one row")
		x.exec("insert into t values (?); -- one row", 2)
		x.exec("insert into t values (3) -- one row")
		x.exec("insert into t values (4); /* one row */ ;;")
		x.exec("-- first\n/* then */ insert into t values (5);\n")
		x.exec("insert into t values (6); /* does not end")
		x.set("")
		x.set(";")
		x.set("-- nothing")
		x.rows("select '-- ' || a, ';' from t where a > ? order by a; -- all", 1)
		x.rows("select 1;")
		x.rows("select 1 ; ")
		x.exec("; insert into t values (7)")
		x.scan(new(int), "select count(*) from t")
	}},
	{"several statements", func(x *runner) {
		x.exec("create table t (a unique); insert into t values (1); insert into t values (2)")
		x.exec("insert into t values (3); create table u (b)")
		x.rows("insert into t values (4); select a from t order by a")
		x.rows("insert into t values (5); select a from t where a = ?", 5)
		x.exec("insert into t values (6);; ; insert into t values (7)")
		x.exec("create trigger g after insert on u begin insert into t values (new.b); insert into t values (new.b + 1); end; insert into u values (10)")
		x.rows("select a from t order by a")
	}},
	{"several statements, one of which fails", func(x *runner) {
		x.exec("create table t (a unique)")
		x.exec("insert into t values (1); insert into t values (1)")
		x.scan(new(int), "select count(*) from t")
		x.exec("insert into t values (2); insert into nope values (3); insert into t values (4)")
		x.scan(new(int), "select count(*) from t")
		x.exec("insert into t values (?), (2), (2)", 9)
		x.scan(new(int), "select count(*) from t where a = 9")
	}},
	{"arguments", func(x *runner) {
		x.rows("select ?, ?, ?", 1, "two", 3.5)
		x.rows("select ?1, ?1", 5)
		x.rows("select ?2, ?1", "a", "b")
		x.rows("select :a, @b, $c", sql.Named("a", 1), sql.Named("b", 2), sql.Named("c", 3))
		x.rows("select :a, :a", sql.Named("a", "x"))
		x.rows("select :a + 1", 4)
		x.rows("select ?, ?", 1)
		x.rows("select ?")
		x.rows("select :a", sql.Named("b", 1))
		x.rows("select ?", 1, 2)
		x.rows("select 1", 1)
		x.rows("select '?', \"?\" from (select 1 as \"?\") -- ?\n where 1 = ?", 1)
		x.rows("select ? in (?, ?)", 2, 1, 2)
		x.rows("select 1 limit ? offset ?", 1, 0)
		x.query("select ? as n", 5)
	}},
	{"arguments of other types", func(x *runner) {
		name := "Ada"
		x.rows("select ?, typeof(?)", sql.NullString{}, sql.NullString{})
		x.rows("select ?, typeof(?)", sql.NullInt64{Int64: 5, Valid: true}, sql.NullInt64{Int64: 5, Valid: true})
		x.rows("select ?", sql.NullTime{})
		x.rows("select ?, typeof(?)", money(150), money(150))
		x.rows("select ?, typeof(?)", userID(7), userID(7))
		x.rows("select ?, typeof(?)", label("x"), label("x"))
		x.rows("select ?, typeof(?)", time.Second, time.Second)
		x.rows("select typeof(?)", &name)
		x.rows("select typeof(?)", (*string)(nil))
		x.rows("select typeof(?)", (*money)(nil))
		x.rows("select ?", uint64(math.MaxUint64))
		x.rows("select ?", uint8(255))
		x.rows("select ?", struct{}{})
		x.rows("select ?", []string{"a"})
		x.rows("select ?", broken{})
	}},
	{"integers", func(x *runner) {
		x.set("create table t (i integer, x, s text, r real)")
		x.exec("insert into t values (?1, ?1, ?1, ?1)", 5)
		x.rows("select i, x, s, r, typeof(i), typeof(x), typeof(s), typeof(r) from t")
		for _, n := range []int64{1<<53 - 1, 1 << 53, math.MaxInt64, math.MinInt64} {
			x.rows("select cast(? as text), ? = ?, typeof(?)", n, n, n, n)
			x.rows("select ?", n)
		}
		x.scan(new(int8), "select 127")
		x.scan(new(int8), "select 128")
		x.scan(new(uint64), "select -1")
		x.scan(new(int64), "select '12'")
		x.scan(new(int64), "select 'x'")
		x.scan(new(int64), "select 1.5")
		x.scan(new(int64), "select 2.0")
		x.scan(new(int64), "select cast(9223372036854775807 as text)")
		x.rows("select 9223372036854775807 + 1 > 9e18, abs(-9223372036854775807 - 0)  is not null")
		x.rows("select abs(-9223372036854775807 - 1)")
		x.rows("select 7 / 2, 7 % 2, -7 / 2, 1 << 4, ~0")
	}},
	{"floats", func(x *runner) {
		x.rows("select ?, typeof(?)", 1.0, 1.0)
		x.rows("select 1.0, 1, 1e0, 0.5")
		x.rows("select ?, ?", math.Inf(1), math.Inf(-1))
		x.rows("select ?, typeof(?)", math.NaN(), math.NaN())
		x.rows("select ?", math.Copysign(0, -1))
		x.rows("select ? = 0", math.Copysign(0, -1))
		x.rows("select 1e308 * 10, -1e308 * 10, 1 / 0, 0.0 / 0")
		x.rows("select ?, ?, ?", 5e-324, math.MaxFloat64, 0.1)
		x.scan(new(float64), "select 3")
		x.scan(new(float64), "select '1.5'")
		x.scan(new(string), "select 1.5")
		x.scan(new(string), "select 1.0")
		x.scan(new(float64), "select 1e17")
		x.rows("select 1e17")
		x.set("create table t (r real, i integer)")
		x.exec("insert into t values (5, 5.0)")
		x.rows("select typeof(r), typeof(i), i from t")
	}},
	{"booleans", func(x *runner) {
		x.set("create table t (b boolean)")
		x.exec("insert into t values (?), (?)", true, false)
		x.rows("select b, typeof(b) from t")
		x.scan(new(bool), "select b from t limit 1")
		x.rows("select ?, not ?, true, 1 = 1", true, true)
		x.scan(new(bool), "select 2")
		x.scan(new(sql.NullBool), "select null")
	}},
	{"text", func(x *runner) {
		for _, s := range []string{"", "it's", "ä😀", "a\nb", "\ufeff", "%_?;--"} {
			x.rows("select ?, length(?), hex(?)", s, s, s)
		}
		x.rows("select ?, length(?)", "a\x00b", "a\x00b")
		x.rows("select hex(?)", "a\xffb")
		x.rows("select 'a\xffb'")
		x.rows("select 'a\x00b'")
		x.rows("select cast(x'61ff' as text)")
		x.scan(new([]byte), "select 'abc'")
		x.scan(new(sql.RawBytes), "select 'abc'")
		x.scan(new(string), "select null")
		x.scan(new(sql.NullString), "select null")
		x.scan(new(sql.NullString), "select 'x'")
		x.scan(new(string), "select 5")
		x.rows("select upper('aé'), lower('AÉ'), substr('héllo', 2, 3), instr('héllo', 'l'), replace('aXb', 'X', '-'), trim(' a '), char(233), unicode('é')")
		x.rows("select printf('%05d|%.2f|%s|%q', 42, 3.14159, 'x', 'it''s'), 'a' || null, 'a' || 1")
		x.rows("select quote('it''s'), quote(x'00'), quote(null), quote(1.5)")
	}},
	{"blobs and NULL", func(x *runner) {
		x.rows("select ?, typeof(?)", []byte{}, []byte{})
		x.rows("select ?, typeof(?)", []byte(nil), []byte(nil))
		x.rows("select ?, typeof(?)", []byte{0, 255}, []byte{0, 255})
		x.rows("select ?, typeof(?)", nil, nil)
		x.rows("select x'', x'00ff', zeroblob(3), length(zeroblob(3))")
		x.scan(new([]byte), "select null")
		x.scan(new([]byte), "select x''")
		x.scan(new(string), "select x'6162'")
		x.scan(new(any), "select null")
		x.scan(new(int64), "select null")
		x.scan(new(sql.NullInt64), "select null")
		x.rows("select null = null, null is null, null is not null, coalesce(null, 2), ifnull(null, 3), nullif(1, 1)")
		x.rows("select x'61' = 'a', cast(x'61' as text) = 'a'")
	}},
	{"times", func(x *runner) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 120e6, time.UTC)
		whole := at.Truncate(time.Second)
		x.set("create table t (id integer primary key, at datetime default current_timestamp, day date default current_date, ts timestamp, tz timestamp with time zone, note text)")
		x.exec("insert into t (at, day, ts, tz, note) values (?1, '2026-01-02', ?1, ?1, ?1)", at)
		x.exec("insert into t (at, ts) values (?, ?)", whole, at.In(time.FixedZone("", 3600)))
		x.exec("insert into t (note) values ('now')")
		x.rows("select at, day, ts from t where id = 1")
		x.rows("select at, ts from t where id = 2")
		x.rows("select tz from t where id = 1")
		x.rows("select note from t where id = 1")
		x.scan(new(time.Time), "select at from t where id = 1")
		x.scan(new(sql.NullTime), "select ts from t where id = 1")
		x.scan(new(sql.NullTime), "select ts from t where id = 3")
		x.scan(new(string), "select at from t where id = 2")
		x.scan(new(time.Time), "select note from t where id = 1")
		x.scan(new(time.Time), "select max(at) from t where id < 3")
		x.scan(new(time.Time), "select at as moment from t where id = 1")
		x.scan(new(string), "select date(at) as at from t where id = 1")
		x.rows("select at = ?, at < ?, at > ? from t where id = 1", at, at.Add(1), at.Add(-1))
		x.rows("select count(*) from t where at = ?", whole)
		x.rows("select count(*) from t where ts between ? and ?", at.Add(-time.Second), at.Add(time.Second))
		x.rows("select at <= current_timestamp, day <= current_date, at > datetime('now', '-1 minute'), at < datetime('now', '+1 minute') from t where id = 3")
		x.rows("select at > ?, at < ? from t where id = 3", time.Now().Add(-time.Minute), time.Now().Add(time.Minute))
		x.rows("select ? < current_timestamp, ? > current_timestamp", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		x.rows("select datetime(?), date(?), time(?), strftime('%Y/%m/%d %H:%M:%f', ?)", at, at, at, at)
		x.rows("select unixepoch(?), julianday(?), unixepoch(?, 'subsec')", whole, whole, at)
		x.rows("select datetime(at) = at from t where id = 2")
		x.rows("select datetime(?, '+1 day', 'start of month')", at)
		x.scan(new(time.Time), "select at from t where at = ?", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
		x.rows("select ?", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))
		x.exec("insert into t (id, at) values (9, ?)", whole.Unix())
		x.rows("select at from t where id = 9")
		x.exec("insert into t (id, at) values (10, '2026-01-02T03:04:05Z'), (11, 'soon')")
		x.rows("select at from t where id in (10, 11)")
		x.rows("select date('2026-01-31', '+1 month'), strftime('%j %w %W', '2026-01-02'), datetime('nope')")
	}},
	{"last ids and rows affected", func(x *runner) {
		x.exec("create table t (id integer primary key, s text unique)")
		x.exec("insert into t values (7, 'a')")
		x.exec("insert into t (s) values ('b'), ('c')")
		x.exec("update t set s = s || '!' where id > 7")
		x.exec("update t set s = s where id > 100")
		x.exec("insert or ignore into t values (7, 'x')")
		x.exec("replace into t values (7, 'y')")
		x.exec("insert into t (s) values ('d') returning id")
		x.exec("delete from t where id = 7")
		x.exec("create table u (x)")
		x.exec("select 1")
		x.exec("pragma foreign_keys")
		x.exec("with n(v) as (values ('e'), ('f')) insert into t (s) select v from n")
		x.exec("create table w (id text primary key) without rowid")
		x.exec("insert into w values ('k')")
		x.exec("delete from t")
		x.exec("insert into t default values")
	}},
	{"RETURNING and UPSERT", func(x *runner) {
		x.set("create table t (id integer primary key, k text unique, n integer not null default 0)")
		x.query("insert into t (k) values ('a'), ('b') returning id, k, n")
		x.query("insert into t (k) values ('a') on conflict (k) do update set n = n + 1 returning k, n")
		x.exec("insert into t (k) values ('a') on conflict do nothing")
		x.rows("insert into t (k) values ('a') on conflict do nothing returning id")
		x.query("update t set n = n + ? where k = ? returning n as new", 10, "a")
		x.rows("delete from t where k = 'b' returning *")
		x.exec("insert into t (k, n) values ('a', 5) on conflict (k) do update set n = excluded.n where excluded.n > 100")
		x.rows("select k, n from t")
		x.rows("insert into t (k) values ('a') returning id")
	}},
	{"queries without rows, and rows closed early", func(x *runner) {
		x.set("create table t (a)", "insert into t values (1), (2), (3)")
		x.scan(new(int), "select a from t where a = 99")
		x.query("select a from t where a = 99")
		x.do("close early", func() string {
			rows, err := x.db.QueryContext(x.ctx, "select a from t order by a")
			if err != nil || !rows.Next() {
				return "no rows"
			}
			closed := rows.Close()
			return fmt.Sprint(closed, " ", rows.Next(), " ", rows.Err(), " ", rows.Close())
		})
		x.exec("update t set a = a + 1")
		x.scan(new(int), "select a from t order by a")
		x.do("scan before Next", func() string {
			rows, err := x.db.QueryContext(x.ctx, "select a from t")
			if err != nil {
				return x.error(err)
			}
			defer rows.Close()
			return fmt.Sprint(rows.Scan(new(int)) != nil)
		})
		x.do("too few destinations", func() string {
			return fmt.Sprint(x.db.QueryRowContext(x.ctx, "select 1, 2").Scan(new(int)) != nil)
		})
		x.do("column types", func() string {
			rows, err := x.db.QueryContext(x.ctx, "select a, 1 as b from t")
			if err != nil {
				return x.error(err)
			}
			defer rows.Close()
			types, err := rows.ColumnTypes()
			if err != nil || len(types) != 2 {
				return "no types"
			}
			return types[0].Name() + " " + types[1].Name()
		})
		x.do("declared types", func() string {
			rows, err := x.db.QueryContext(x.ctx, "select id from (select cast(a as integer) as id from t)")
			if err != nil {
				return x.error(err)
			}
			defer rows.Close()
			types, err := rows.ColumnTypes()
			if err != nil {
				return x.error(err)
			}
			return fmt.Sprintf("%q", types[0].DatabaseTypeName())
		})
		x.query("select 1, 1, null as n, 'x' as \"a b\"")
	}},
	{"prepared statements", func(x *runner) {
		x.set("create table t (a integer primary key, b)")
		insert, err := x.db.PrepareContext(x.ctx, "insert into t values (?, ?); -- prepared")
		x.noteError("prepare", err)
		for i, v := range []any{"x", nil, 2.5} {
			r, err := insert.ExecContext(x.ctx, i+1, v)
			x.noteResult(fmt.Sprint("insert ", i), r, err)
		}
		_, err = insert.ExecContext(x.ctx, 1, "twice")
		x.noteError("insert a duplicate", err)
		_, err = insert.ExecContext(x.ctx, 9)
		x.noteError("insert with an argument short", err)
		find, err := x.db.PrepareContext(x.ctx, "select b from t where a = ?")
		x.noteError("prepare", err)
		for i := range 4 {
			var b any
			err := find.QueryRowContext(x.ctx, i).Scan(&b)
			x.note(fmt.Sprint("find ", i), x.error(err)+" "+Describe(b))
		}
		x.noteError("close", errors.Join(insert.Close(), find.Close()))
		_, err = find.QueryContext(x.ctx, 1)
		x.do("after Close", func() string { return fmt.Sprint(err != nil) })
		_, err = x.db.PrepareContext(x.ctx, "select nope from nowhere")
		x.noteError("prepare a wrong statement", err)
		x.begin()
		inside, err := x.tx.PrepareContext(x.ctx, "insert into t values (?, 'tx')")
		x.noteError("prepare in a transaction", err)
		_, err = inside.ExecContext(x.ctx, 100)
		x.noteError("insert in it", err)
		x.rollback()
		x.scan(new(int), "select count(*) from t where a = 100")
	}},
}

// money is a Valuer, of hundredths.
type money int64

func (m money) Value() (driver.Value, error) { return float64(m) / 100, nil }

type broken struct{}

func (broken) Value() (driver.Value, error) { return nil, errors.New("broken") }

type (
	userID int64
	label  string
)

// upper is a Scanner.
type upper string

func (u *upper) Scan(v any) error {
	if v == nil {
		return errors.New("NULL")
	}
	*u = upper(fmt.Sprintf("%T ", v) + strings.ToUpper(Describe(v)))
	return nil
}

func many(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = i
	}
	return list
}
