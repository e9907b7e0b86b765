package sqlcases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// schemaCases are about schemas, transactions and features of SQLite.
var schemaCases = []Case{
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
