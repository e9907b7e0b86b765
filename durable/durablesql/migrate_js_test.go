package durablesql_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql"
	"flow.internal/capdo/durable/durabletest"
)

// migrations returns migration files, each given as "name: statements".
func migrations(list ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, file := range list {
		name, text, _ := strings.Cut(file, ": ")
		files[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + text + "\n-- +goose Down\nselect nope;\n")}
	}
	return files
}

const (
	createUsers = "1_users.sql: create table users (id integer primary key); insert into users values (1); -- the first"
	addName     = "2_name.sql: alter table users add column name text; update users set name = 'ada'"
	addTrigger  = `3_trigger.sql: create trigger g after insert on users begin update users set name = ';'; select 1; end;
		insert into users (id) values (2);`
	fails = "3_fails.sql: create table other (x); insert into users (id) values (9); insert into nope values (1)"
)

func TestMigrateRunsEachMigrationOnce(t *testing.T) {
	stub := durabletest.New(t, durabletest.SQLite)
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		err   error
		want  string // users and names
	}{
		{"the first", migrations(createUsers), nil, "1"},
		{"again", migrations(createUsers), nil, "1"},
		{"one that fails", migrations(createUsers, addName, fails), nil, "1"},
		{"one more", migrations(createUsers, addName), nil, "1 ada"},
		{"after eviction", migrations(createUsers, addName), nil, "1 ada"},
		{"a trigger", migrations(createUsers, addName, addTrigger), nil, "1 ;,2 ;"},
		{"an older program", migrations(createUsers, addName), durablesql.ErrMigrationUnknown, "1 ;,2 ;"},
		{"another one", migrations(createUsers, addName, addTrigger+" select 1"), durablesql.ErrMigrationChanged, "1 ;,2 ;"},
		{"one in between", migrations(createUsers, addName, addTrigger, "02_5.sql: select 1"), durablesql.ErrMigrationFile, "1 ;,2 ;"},
		{"a removed migration and a new one", migrations(createUsers, addTrigger, "4_x.sql: select 1"), durablesql.ErrMigrationUnknown, "1 ;,2 ;"},
		{"several at once", migrations(createUsers, addName, addTrigger, "5_x.sql: delete from users where id = 1", "6_y.sql: update users set name = 'z'"), nil, "2 z"},
		{"an earlier migration", migrations(createUsers, addName, addTrigger, "4_late.sql: select 1", "5_x.sql: delete from users where id = 1", "6_y.sql: update users set name = 'z'"), durablesql.ErrMigrationOrder, "2 z"},
	} {
		if c.name == "after eviction" {
			durabletest.Evict(t, stub)
		}
		durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
			err := durablesql.Migrate(state, c.files)
			if strings.Contains(c.name, "fails") {
				var e *durable.SQLError
				if !errors.As(err, &e) || !strings.Contains(err.Error(), "3_fails.sql") {
					t.Errorf("%s: %v", c.name, err)
				}
				var n int
				if err := durablesql.Open(state).QueryRowContext(ctx, "select count(*) from _capdo_migrations").Scan(&n); n != 1 || err != nil {
					t.Errorf("%s: %d migrations, %v: the earlier one must stay", c.name, n, err)
				}
			} else if !errors.Is(err, c.err) {
				t.Errorf("%s: %v, want %v", c.name, err, c.err)
			}
			var got string
			query := "select group_concat(id || ' ' || name) from users"
			if c.want == "1" {
				query = "select id from users"
			}
			if err := durablesql.Open(state).QueryRowContext(ctx, query).Scan(&got); err != nil || got != c.want {
				t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
			}
		})
	}
}

func TestMigrateWritesNothingWhereNothingIsNew(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		db := durablesql.Open(state)
		changes := func() (n int) {
			if err := db.QueryRowContext(ctx, "select total_changes()").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		files := migrations(createUsers, addName)
		if err := durablesql.Migrate(state, files); err != nil {
			t.Fatal(err)
		}
		before := changes()
		if err := durablesql.Migrate(state, files); err != nil || changes() != before {
			t.Errorf("%d changes, %v", changes()-before, err)
		}
		tx := begin(t, db, ctx)
		if err := durablesql.Migrate(state, files); !errors.Is(err, durablesql.ErrTransactionOpen) {
			t.Errorf("in a transaction: %v", err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	})
	durabletest.Run(t, durabletest.New(t, durabletest.KV), func(_ context.Context, state *durable.State) {
		if err := durablesql.Migrate(state, migrations(createUsers)); !errors.Is(err, durable.ErrNoSQL) {
			t.Errorf("without SQL: %v", err)
		}
	})
}
