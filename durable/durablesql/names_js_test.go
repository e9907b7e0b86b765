package durablesql_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql"
)

func TestArgumentsWithNames(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		for _, c := range []struct {
			query string
			args  []any
			want  string
		}{
			{"select :a || @b || $c", []any{sql.Named("c", "3"), sql.Named("a", "1"), sql.Named("b", "2")}, "123"},
			{"select :a || :a || @a", []any{sql.Named("a", "1")}, "111"},
			{"select :n + 1", []any{sql.Named("n", 5)}, "6"},
			{"select ? || :b", []any{"1", sql.Named("b", "2")}, "12"},
			{"select ':a' || :a; -- :b", []any{sql.Named("a", sql.NullString{String: "1", Valid: true})}, ":a1"},
			{"insert into t values (1, 'x'); select :a || s from t", []any{sql.Named("a", "1")}, "1x"},
			{"select ?2 || ?1", []any{"1", "2"}, "21"},
		} {
			var got string
			if err := db.QueryRowContext(ctx, c.query, c.args...).Scan(&got); err != nil || got != c.want {
				t.Errorf("%s: %q, %v", c.query, got, err)
			}
		}
	})
}

func TestRowsAffectedAreThoseOfTheLastStatement(t *testing.T) {
	withDB(t, func(ctx context.Context, state *durable.State, db *sql.DB) {
		for _, c := range []struct {
			query   string
			changes int64
		}{
			{"insert into t(s) values ('a'), ('b')", 2},
			{"create table u (x)", 0},
			{"insert into t(s) values ('c'); create table v (x)", 0},
			{"create table w (x); insert into t(s) values ('d')", 1},
			{"with n(x) as (values ('e')) insert into t(s) select x from n; -- one", 1},
			{"with n(x) as (values ('e')) select x from n", 0},
			{"replace into t values (1, 'A')", 1},
			{"alter table u add column y", 0},
			{"create table copied as select * from t", 0},
			{"update t set s = s where id > 100", 0},
			{"drop table u", 0},
			{"pragma foreign_keys = on", 0},
			{"explain delete from t", 0},
			{"-- nothing", 0},
			{"", 0},
			{"delete from t", 5},
			{"insert or ignore into t values (1, 'a')", 1},
			{"insert or ignore into t values (1, 'a')", 0},
			{"insert into t values (1, 'a') on conflict do update set s = 'x'", 1},
		} {
			if _, changes := mustExec(t, durablesql.Open(state), c.query); changes != c.changes { // a second Open
				t.Errorf("%s: %d changes, want %d", c.query, changes, c.changes)
			}
		}
		if _, err := state.Storage().SQL().Exec("insert into t(s) values ('by hand')"); err != nil {
			t.Fatal(err)
		}
		if _, changes := mustExec(t, db, "create table z (x)"); changes != 0 {
			t.Errorf("%d changes after a write by durable.SQL", changes)
		}
	})
}

func TestTimesByAnotherName(t *testing.T) {
	first := time.Date(2026, 1, 2, 3, 4, 5, 120e6, time.UTC)
	last := first.Add(time.Hour)
	const day = "2026-01-02"
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		mustExec(t, db, `create table a (id integer, at timestamp with time zone, "Made On" datetime(6) not null, day date, note text);
			create view renamed as select at as moment, max(day) as last_day from a; create view days as select date(at) as at from a;
			create view broken as select nope from nowhere`)
		for _, at := range []time.Time{first, last} {
			mustExec(t, db, "insert into a values (1, ?1, ?1, ?2, ?1)", at, day)
		}
		for _, c := range []struct {
			query string
			want  any
		}{
			{"select at from a order by id limit 1", first},
			{"select max(at) from a", last},
			{"select MIN(a.at) from a", first},
			{"select max(at) as latest from a", last},
			{`select max("Made On") latest from a`, last},
			{`select "Made On" from a limit 1`, first},
			{"select x.at as moment from a x limit 1", first},
			{"select moment from (select at as moment from a) limit 1", first},
			{"with r as (select at as moment from a) select max(moment) as m from r", last},
			{"select moment from renamed limit 1", first},
			{"select last_day from renamed", first.Truncate(24 * time.Hour)},
			{"select note from a limit 1", "2026-01-02 03:04:05.12"},
			{"select max(note) from a", "2026-01-02 04:04:05.12"},
			{"select date(at) from a limit 1", day},
			{"select date(at) as at from a limit 1", day},
			{"select date(at) at from a limit 1", day},
			{"select strftime('%Y-%m-%d', at) as day from a limit 1", day},
			{"select at from (select date(at) as at from a) limit 1", day},
			{"select at from days limit 1", day},
			{"select cast(at as text) as at from a limit 1", "2026-01-02 03:04:05.12"},
			{"select note as at from a limit 1", "2026-01-02 03:04:05.12"},
			{"select at || '' as at from a limit 1", "2026-01-02 03:04:05.12"},
			{"select coalesce(max(at), '') from a", "2026-01-02 04:04:05.12"},
		} {
			var got any
			if err := db.QueryRowContext(ctx, c.query).Scan(&got); err != nil || got != c.want {
				t.Errorf("%s: %v, %v, want %v", c.query, got, err, c.want)
			}
		}
		var at time.Time
		if err := db.QueryRowContext(ctx, "insert into a values (2, ?1, ?1, ?1, '') returning at as made", last).Scan(&at); err != nil || at != last {
			t.Errorf("RETURNING: %v, %v", at, err)
		}
	})
}

func TestLibrariesFindOutWhatThereIs(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		for _, query := range []string{"select sqlite_version()", "SELECT  sqlite_version();", "select sqlite_version() as version"} {
			var version string
			if err := db.QueryRowContext(ctx, query).Scan(&version); err != nil || version != durablesql.SQLiteVersion {
				t.Errorf("%s: %q, %v", query, version, err)
			}
		}
		var fk int
		if err := db.QueryRowContext(ctx, "pragma foreign_keys").Scan(&fk); err != nil || fk != 1 {
			t.Errorf("foreign keys: %d, %v", fk, err)
		}
		for query, want := range map[string]string{
			"select name from pragma_database_list":                                    "main",
			"SELECT `name`, `file` FROM pragma_database_list() WHERE `name` <> 'temp'": "main",
			"select d.name, 'pragma_database_list()' from pragma_database_list() as d": "main",
			"PRAGMA database_list;": "0",
		} {
			rows, err := db.QueryContext(ctx, query)
			if err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			columns, _ := rows.Columns()
			var first string
			dest := []any{&first, new(any), new(any)}
			if !rows.Next() || rows.Scan(dest[:len(columns)]...) != nil || first != want {
				t.Errorf("%s: %q", query, first)
			}
			rows.Close()
		}
		var e *durable.SQLError
		for _, query := range []string{"select sqlite_version() || 'x'", "select 'select sqlite_version()', sqlite_version()", "pragma user_version", "pragma collation_list", "select 'database_list', nope"} {
			if _, err := db.QueryContext(ctx, query); !errors.As(err, &e) {
				t.Errorf("%s: %v", query, err)
			}
		}
	})
}
