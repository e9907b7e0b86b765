package sqlcases

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Cases are all the programs.
var Cases = []Case{
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
	{"constraints", func(x *runner) {
		x.set("create table p (id integer primary key, u text unique, n integer not null, c integer check (c > 0))",
			"create table f (p integer references p(id), d integer references p(id) deferrable initially deferred)",
			"create table s (i integer) strict", "create table w (a, b, primary key (a, b)) without rowid", "create table r (x)",
			"create trigger g before insert on r when new.x = 13 begin select raise(abort, 'no'); end",
			"insert into p values (1, 'a', 1, 1)", "insert into w values (1, 2)", "insert into r (rowid, x) values (1, 1)")
		x.exec("insert into p (u, n) values ('a', 1)")
		x.exec("insert into p (id, n) values (1, 1)")
		x.exec("insert into p (u) values ('b')")
		x.exec("insert into p (n, c) values (1, 0)")
		x.exec("insert into f (p) values (99)")
		x.exec("delete from p where id = 1")
		x.exec("insert into f (p) values (1)")
		x.exec("delete from p where id = 1")
		x.exec("insert into s values ('x')")
		x.exec("insert into s values ('5')")
		x.exec("insert into w values (1, 2)")
		x.exec("insert into r (rowid) values (1)")
		x.exec("insert into r values (13)")
		x.exec("update p set n = null")
		x.exec("insert into p values ('x', 'c', 1, 1)")
		x.exec("insert into p (n) values (1), (null)")
		x.rows("select id, u, n, c from p")
	}},
	{"mistakes", func(x *runner) {
		x.exec("selec 1")
		x.exec("select")
		x.rows("select * from nope")
		x.rows("select nope")
		x.rows("select nope(1)")
		x.exec("create table t (a)")
		x.exec("create table t (a)")
		x.exec("insert into t values (1, 2)")
		x.exec("insert into t (b) values (1)")
		x.exec("drop table nope")
		x.exec("drop table if exists nope")
		x.rows("select (select 1, 2)")
		x.rows("select json('{')")
		x.rows("select json_extract('{}', 'a')")
		x.rows("select 'unterminated")
		x.rows("select max(1, )")
	}},
	{"transactions", func(x *runner) {
		x.set("create table t (a unique)")
		x.begin()
		x.exec("insert into t values (1)")
		x.scan(new(int), "select count(*) from t")
		x.commit()
		x.scan(new(int), "select count(*) from t")
		x.begin()
		x.exec("insert into t values (2)")
		x.rollback()
		x.scan(new(int), "select count(*) from t")
		x.begin()
		x.exec("insert into t values (3)")
		x.exec("insert into t values (1)")
		x.exec("insert into t values (4)")
		x.commit()
		x.rows("select a from t order by a")
		x.noteError("commit again", x.tx.Commit())
		x.noteError("rollback again", x.tx.Rollback())
		_, err := x.tx.ExecContext(x.ctx, "insert into t values (5)")
		x.noteError("exec after commit", err)
		x.begin()
		x.exec("create table u (x)")
		x.exec("drop table t")
		x.rollback()
		x.rows("select name from sqlite_master where type = 'table' and name in ('t', 'u')")
	}},
	{"transactions that end otherwise", func(x *runner) {
		x.set("create table t (a)")
		x.begin()
		x.exec("insert into t values (1)")
		x.do("cancel, then commit", func() string {
			x.cancel()
			err := x.tx.Commit()
			for x.db.Stats().InUse > 0 { // database/sql rolls back in another goroutine; natively the next write would be SQLITE_BUSY
				time.Sleep(time.Millisecond)
			}
			return fmt.Sprint(errors.Is(err, context.Canceled) || errors.Is(err, sql.ErrTxDone))
		})
		x.on = x.db
		x.scan(new(int), "select count(*) from t")
		x.do("panic with a deferred rollback", func() (result string) {
			defer func() { result = fmt.Sprint(recover()) }()
			tx, err := x.db.BeginTx(x.ctx, nil)
			if err != nil {
				return x.error(err)
			}
			defer tx.Rollback()
			if _, err := tx.ExecContext(x.ctx, "insert into t values (2)"); err != nil {
				return x.error(err)
			}
			panic("boom")
		})
		x.scan(new(int), "select count(*) from t")
		ended, cancel := context.WithCancel(x.ctx)
		cancel()
		_, err := x.db.BeginTx(ended, nil)
		x.noteError("begin with an ended context", err)
		_, err = x.db.ExecContext(ended, "insert into t values (3)")
		x.noteError("exec with an ended context", err)
		x.scan(new(int), "select count(*) from t")
		tx, err := x.db.BeginTx(x.ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		x.noteError("read committed", err)
		if err == nil {
			tx.Rollback()
		}
		tx, err = x.db.BeginTx(x.ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
		x.noteError("serializable", err)
		if err == nil {
			tx.Rollback()
		}
		tx, err = x.db.BeginTx(x.ctx, &sql.TxOptions{ReadOnly: true})
		x.noteError("read-only", err)
		if err == nil {
			tx.Rollback()
		}
		x.begin()
		x.exec("insert into t values (4)")
		_, err = x.db.ExecContext(x.ctx, "insert into t values (5)")
		x.noteError("exec outside of it", err)
		nested, err := x.db.BeginTx(x.ctx, nil)
		x.noteError("begin another one", err)
		if err == nil {
			nested.Rollback()
		}
		x.commit()
		x.rows("select a from t")
		x.do("begin, rows left open, commit", func() string {
			tx, err := x.db.BeginTx(x.ctx, nil)
			if err != nil {
				return x.error(err)
			}
			rows, err := tx.QueryContext(x.ctx, "select a from t")
			if err != nil {
				return x.error(err)
			}
			rows.Next()
			rows.Close()
			return x.error(tx.Commit())
		})
		x.exec("savepoint a")
		x.exec("release a")
	}},
	{"JSON", func(x *runner) {
		x.rows("select json(' { \"a\" : [1, 2.5, null, true] } ')")
		x.rows("select json_extract(?, '$.a[1]'), ? -> '$.a', ? ->> '$.b'", `{"a":[1,"x"],"b":"y"}`, `{"a":[1,"x"]}`, `{"b":"y"}`)
		x.rows("select json_array(1, 'a', null, 2.5), json_object('k', ?)", 5)
		x.rows("select value, type from json_each('[1, \"a\", null, {\"b\": 2}]')")
		x.rows("select json_group_array(value) from json_each('[3,1,2]')")
		x.rows("select json_set('{}', '$.a', ?), json_remove('{\"a\":1}', '$.a'), json_valid('{'), json_type('[1]')", "x")
		x.rows("select fullkey, atom from json_tree('{\"a\":{\"b\":1}}') where atom is not null")
		x.rows("select json_extract('{\"n\":9007199254740993}', '$.n') = 9007199254740993")
	}},
	{"full text search", func(x *runner) {
		x.set("create virtual table d using fts5(title, body)")
		x.exec("insert into d values ('one', 'the quick brown fox'), ('two', 'lazy dogs sleep'), ('three', 'quick dogs')")
		x.rows("select title from d where d match ? order by rank", "quick")
		x.rows("select title from d where d match 'dogs' and d match 'quick'")
		x.rows("select highlight(d, 1, '<', '>') from d where d match 'fox'")
		x.rows("select title from d where d match 'title: two'")
		x.rows("select title from d where d match ?", `"unbalanced`)
		x.rows("select title from d where d match ?", "nope: x")
		x.rows("select count(*) from d where d match 'qui*'")
	}},
	{"views and triggers", func(x *runner) {
		x.set("create table t (a, b)", "create table log (what)",
			"create view v as select a, a * 2 as twice from t",
			"create trigger i after insert on t begin insert into log values ('insert ' || new.a); end",
			"create trigger u after update of a on t begin insert into log values (old.a || ' to ' || new.a); end",
			"create trigger w instead of insert on v begin insert into t (a) values (new.a); end")
		x.exec("insert into t values (1, 2)")
		x.exec("insert into v (a) values (5)")
		x.exec("update t set a = a + 1")
		x.query("select * from v order by a")
		x.rows("select what from log")
		x.exec("drop view v")
		x.rows("select * from v")
	}},
	{"common table expressions and windows", func(x *runner) {
		x.rows("with recursive n(i) as (select 1 union all select i + 1 from n where i < 5) select group_concat(i) from n")
		x.rows("with recursive fib(a, b) as (select 0, 1 union all select b, a + b from fib limit 10) select a from fib")
		x.set("create table s (g, n)", "insert into s values ('a', 1), ('a', 3), ('b', 2), ('b', 5)")
		x.rows("select g, n, row_number() over (order by n), rank() over (partition by g order by n), sum(n) over (order by n) from s order by n")
		x.rows("select g, n, lag(n) over w, lead(n, 1, -1) over w, first_value(n) over w from s window w as (partition by g order by n)")
		x.rows("select g, count(*), sum(n), avg(n), min(n), max(n), total(n) from s group by g having sum(n) > 3 order by g")
		x.rows("select avg(n) over (rows between 1 preceding and current row) from s")
		x.rows("select sum(n) filter (where g = 'a'), group_concat(distinct g) from s")
		x.rows("with a as materialized (select 1 as x), b as (select x + 1 as y from a) select * from a, b")
	}},
	{"generated columns and strict tables", func(x *runner) {
		x.set("create table t (w integer, h integer, area integer generated always as (w * h) stored, half as (w / 2))")
		x.exec("insert into t (w, h) values (3, 4)")
		x.query("select * from t")
		x.exec("insert into t (area) values (1)")
		x.set("create table s (i integer, r real, t text, b blob, a any) strict")
		x.exec("insert into s values (?, ?, ?, ?, ?)", 1, 2.5, "x", []byte{1}, "any")
		x.exec("insert into s (i) values (?)", 1.5)
		x.exec("insert into s (i) values (?)", 2.0)
		x.exec("insert into s (t) values (?)", 5)
		x.exec("insert into s (r) values (?)", 5)
		x.exec("insert into s (b) values (?)", "text")
		x.rows("select i, r, t, b, a from s")
		x.exec("create table bad (d datetime) strict")
	}},
	{"foreign keys", func(x *runner) {
		x.set("create table p (id integer primary key)", "create table c (p references p(id) on delete cascade on update set null)", "create table r (p references p(id) on delete restrict)")
		x.set("insert into p values (1), (2), (3)", "insert into c values (1), (2)", "insert into r values (3)")
		x.exec("delete from p where id = 1")
		x.rows("select p from c")
		x.exec("update p set id = 9 where id = 2")
		x.rows("select p from c")
		x.exec("delete from p where id = 3")
		x.begin()
		x.exec("pragma defer_foreign_keys = on")
		x.exec("insert into r values (77)")
		x.exec("insert into p values (77)")
		x.commit()
		x.scan(new(int), "select count(*) from r")
		x.rows("pragma foreign_key_check")
		x.rows("pragma foreign_keys")
	}},
	{"collations, LIKE and GLOB", func(x *runner) {
		x.set("create table t (s text collate nocase, e text)", "insert into t values ('Ada', 'Ada'), ('bob', 'bob'), ('ADA', 'ADA')")
		x.rows("select s from t where s = 'ada' order by rowid")
		x.rows("select e from t where e = 'ada'")
		x.rows("select e from t where e like 'a%' order by rowid")
		x.rows("select e from t where e glob 'A*' order by rowid")
		x.rows("select e from t order by e collate nocase, rowid")
		x.rows("select 'a ' = 'a' collate rtrim, 'É' like 'é', '50%' like '50\\%' escape '\\'")
		x.rows("select 'x' like ?", strings.Repeat("%", 50))
		x.rows("select 'x' like ?", strings.Repeat("x", 51))
		x.rows("select 'x' glob ?", strings.Repeat("x", 51))
		x.rows("select e from t where e regexp 'a'")
	}},
	{"limits", func(x *runner) {
		x.rows("select count(*) from (values (1)) where 1 in (?"+strings.Repeat(", ?", 99)+")", many(100)...)
		x.rows("select count(*) from (values (1)) where 1 in (?"+strings.Repeat(", ?", 100)+")", many(101)...)
		x.rows("select length(?)", strings.Repeat("x", 2_000_000))
		x.rows("select length(?)", strings.Repeat("x", 2_000_001))
		x.rows("select length('" + strings.Repeat("x", 100_000) + "')")
		x.rows("select 1" + strings.Repeat(" union all select 1", 5))
		x.rows("select 1" + strings.Repeat(" + 1", 99))
		x.rows("select 1" + strings.Repeat(" + 1", 100))
	}},
	{"what needs a file or a connection of one's own", func(x *runner) {
		x.exec("begin")
		x.exec("rollback")
		x.exec("attach ':memory:' as other")
		x.exec("vacuum")
		x.exec("create temp table tmp (x)")
		x.rows("pragma user_version")
		x.rows("pragma table_info(sqlite_master)")
		x.rows("select count(*) > 0 from pragma_function_list")
		x.exec("create table _cf_x (a)")
		x.do("select sqlite_version()", func() string {
			var v string
			err := x.db.QueryRowContext(x.ctx, "select sqlite_version()").Scan(&v)
			return x.error(err) + " " + fmt.Sprint(strings.HasPrefix(v, "3."))
		})
	}},
	{"scanners", func(x *runner) {
		x.scan(new(upper), "select 'abc'")
		x.scan(new(upper), "select 5")
		x.scan(new(upper), "select null")
		x.scan(new(upper), "select x'6162'")
		x.scan(new(upper), "select 2.5")
		x.scan(new(sql.NullInt64), "select '5'")
		x.scan(new(sql.NullTime), "select '2026-01-02'")
		x.scan(new(sql.NullString), "select 1.5")
	}},
	{"rows that are written while others are read", func(x *runner) {
		x.set("create table t (a)", "insert into t values (1), (2), (3)")
		x.do("read and write", func() string {
			rows, err := x.db.QueryContext(x.ctx, "select a from t order by a")
			if err != nil {
				return x.error(err)
			}
			defer rows.Close()
			n, failed := 0, "ok"
			for ; rows.Next(); n++ {
				if _, err := x.db.ExecContext(x.ctx, "update t set a = a"); err != nil {
					failed = x.error(err)
				}
			}
			return fmt.Sprint(n, " ", failed, " ", rows.Err())
		})
		x.do("drop under rows", func() string {
			rows, err := x.db.QueryContext(x.ctx, "select a from t limit 1000")
			if err != nil {
				return x.error(err)
			}
			for rows.Next() {
			}
			_, err = x.db.ExecContext(x.ctx, "drop table t")
			return x.error(err)
		})
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
