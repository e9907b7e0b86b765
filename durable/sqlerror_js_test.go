package durable_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"flow.internal/capdo/durable"
)

func TestSQLErrorsOfWorkerdAreUnderstood(t *testing.T) {
	const schema = `create table t (i integer primary key, u text unique, n integer not null default 0, c integer check (c > 0));
		create table f (i integer references t(i));
		create table w (a, b, primary key (a, b)) without rowid;
		create table s (x integer) strict;
		create table r (x);
		create trigger g before insert on s when new.x = 13 begin select raise(abort, 'no: 13'); end;
		insert into t(i, u, c) values (1, 'a', 1);
		insert into w values (1, 2);
		insert into r(rowid, x) values (1, 1);`
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		mustExec(t, db, schema)
		for _, c := range []struct {
			name, query string
			args        []any
			code        string // and what is after "SQLITE_CONSTRAINT_"
			kind        error
			offset      int
		}{
			{"unique", "insert into t(u) values ('a')", nil, "UNIQUE", durable.ErrConstraint, -1},
			{"primary key", "insert into t(i) values (?)", []any{1}, "PRIMARYKEY", durable.ErrConstraint, -1},
			{"primary key of two columns", "insert into w values (1, 2)", nil, "PRIMARYKEY", durable.ErrConstraint, -1},
			{"row id", "insert into r(rowid) values (1)", nil, "ROWID", durable.ErrConstraint, -1},
			{"not null", "insert into t(n) values (?)", []any{nil}, "NOTNULL", durable.ErrConstraint, -1},
			{"check", "insert into t(c) values (0)", nil, "CHECK", durable.ErrConstraint, -1},
			{"foreign key", "insert into f values (99)", nil, "FOREIGNKEY", durable.ErrConstraint, -1},
			{"strict table", "insert into s values ('x')", nil, "DATATYPE", durable.ErrConstraint, -1},
			{"trigger", "insert into s values (13)", nil, "TRIGGER", durable.ErrConstraint, -1},
			{"syntax", "selec 1", nil, "SQLITE_ERROR", nil, 0},
			{"offset in the query as written", "select ?, ?, nope", []any{1, 2}, "SQLITE_ERROR", nil, 13},
			{"offset in the statement that failed", "select 1; select nope", nil, "SQLITE_ERROR", nil, 7},
			{"offset in a statement before one with arguments", "select nope; select ?", []any{1}, "SQLITE_ERROR", nil, 7},
			{"offset in the last one, with arguments", "select 1; -- x\n select ?, nope", []any{1}, "SQLITE_ERROR", nil, 10},
			{"no such table", "select * from nope", nil, "SQLITE_ERROR", nil, -1},
			{"incomplete", "select", nil, "SQLITE_ERROR", nil, -1},
			{"too many parameters", "select " + strings.Repeat("?,", 100) + "?", nil, "SQLITE_ERROR", durable.ErrLimit, 207},
			{"parameter number", "select ?101", nil, "SQLITE_ERROR", durable.ErrLimit, 7},
			{"too many columns in a table", "create table x (c" + strings.Join(strings.Split(strings.Repeat("x", 100), ""), ", c") + strings.Repeat("y", 9) + ")", nil, "SQLITE_ERROR", nil, -1},
			{"too many columns in a result", "select 1" + strings.Repeat(", 1", durable.MaxSQLColumns), nil, "SQLITE_ERROR", durable.ErrLimit, -1},
			{"LIKE", "select 'x' like ?", []any{strings.Repeat("x", durable.MaxSQLPatternSize+1)}, "SQLITE_ERROR", durable.ErrLimit, -1},
			{"GLOB", "select 'x' glob ?", []any{strings.Repeat("x", durable.MaxSQLPatternSize+1)}, "SQLITE_ERROR", durable.ErrLimit, -1},
			{"too large", "select zeroblob(9000000)", nil, "SQLITE_TOOBIG", durable.ErrLimit, -1},
			{"too many arguments", "select max(1" + strings.Repeat(", 1", 127) + ")", nil, "SQLITE_ERROR", durable.ErrLimit, 7},
			{"compound", "select 1" + strings.Repeat(" union select 1", 5), nil, "SQLITE_ERROR", durable.ErrLimit, -1},
			{"depth", "select 1" + strings.Repeat(" + 1", 100), nil, "SQLITE_ERROR", durable.ErrLimit, -1},
			{"ATTACH", "attach 'x' as y", nil, "SQLITE_AUTH", nil, -1},
			{"PRAGMA", "pragma user_version", nil, "SQLITE_AUTH", nil, -1},
			{"a name reserved for the platform", "create table _cf_x (x)", nil, "SQLITE_AUTH", nil, -1},
			{"a temporary table", "create temp table x (x)", nil, "SQLITE_AUTH", nil, -1},
			{"VACUUM", "vacuum", nil, "SQLITE_ERROR", nil, -1},
		} {
			t.Run(c.name, func(t *testing.T) {
				_, err := db.Exec(c.query, c.args...)
				var e *durable.SQLError
				if !errors.As(err, &e) {
					t.Fatalf("%T %v", err, err)
				}
				code, constraint := c.code, ""
				if c.kind == durable.ErrConstraint {
					code, constraint = "SQLITE_CONSTRAINT_"+c.code, c.code
				}
				if e.Extended != code || string(e.Constraint) != constraint || e.Offset != c.offset || c.kind != nil && !errors.Is(err, c.kind) || strings.Contains(e.Message, "SQLITE_") {
					t.Errorf("%#v %v", e, err)
				}
			})
		}
		if n := one[int](t, db, "select count(*) from t"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestSQLLimitsAreEnforcedBeforeTheCall(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		padded := func(query string, n int) string { return strings.Repeat(" ", n-len(query)) + query }
		for name, c := range map[string]struct {
			query string
			args  []any
			ok    bool
		}{
			"the most parameters":               {"select ?" + strings.Repeat(", ?", 99), make([]any, 100), true},
			"one parameter more":                {"select ?" + strings.Repeat(", ?", 100), make([]any, 101), false},
			"the longest query":                 {padded("select 1", durable.MaxSQLLength), nil, true},
			"one byte more":                     {padded("select 1", durable.MaxSQLLength+1), nil, false},
			"the text that Exec adds counts":    {padded("select ?", durable.MaxSQLLength), []any{1}, false},
			"Exec adds nothing for text":        {padded("select ?", durable.MaxSQLLength), []any{"x"}, true},
			"the longest text":                  {"select length(?)", []any{strings.Repeat("x", durable.MaxSQLValueSize)}, true},
			"a text with one byte too many":     {"select length(?)", []any{strings.Repeat("x", durable.MaxSQLValueSize+1)}, false},
			"bytes with one byte too many":      {"select length(?)", []any{make([]byte, durable.MaxSQLValueSize+1)}, false},
			"arguments that are large together": {"select length(?), length(?)", []any{make([]byte, durable.MaxSQLValueSize), make([]byte, durable.MaxSQLValueSize)}, true},
		} {
			_, err := db.Exec(c.query, c.args...)
			var e *durable.LimitError
			if c.ok != (err == nil) || !c.ok && !errors.As(err, &e) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestSQLErrorsOfThePlatformHaveHints(t *testing.T) {
	withSQL(t, func(_ context.Context, _ *durable.State, db *durable.SQL) {
		for _, c := range []struct {
			query string
			args  []any
			hint  string
		}{
			{"begin", nil, "state.storage.transaction"},
			{"savepoint a", nil, "state.storage.transaction"},
			{"commit", nil, "state.storage.transaction"},
			{"select ?", nil, "Wrong number of parameter bindings"},
			{"select 1", []any{1}, "Wrong number of parameter bindings"},
			{"select 1; -- nothing", []any{1}, "Wrong number of parameter bindings"},
			{"create table u (x); select ?", nil, "Wrong number of parameter bindings"},
		} {
			_, err := db.Exec(c.query, c.args...)
			var e *durable.Error
			if !errors.As(err, &e) || !strings.Contains(e.Message, c.hint) {
				t.Errorf("%s: %v", c.query, err)
			}
		}
	})
}
