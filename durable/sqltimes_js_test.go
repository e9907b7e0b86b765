package durable_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"flow.internal/capdo/durable"
)

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
