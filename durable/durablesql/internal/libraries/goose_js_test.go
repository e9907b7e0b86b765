package libraries

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"testing/fstest"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql"
	"flow.internal/capdo/durable/durabletest"
	"github.com/pressly/goose/v3"
)

// withDB runs fn inside a fresh object.
func withDB(t *testing.T, fn func(ctx context.Context, state *durable.State, db *sql.DB)) {
	t.Helper()
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		fn(ctx, state, durablesql.Open(state))
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var gooseFiles = fstest.MapFS{
	"00001_users.sql": {Data: []byte(`-- +goose Up
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
INSERT INTO users (name) VALUES ('ada'); -- the first

-- +goose Down
DROP TABLE users;
`)},
	"00002_log.sql": {Data: []byte(`-- +goose Up
CREATE TABLE log (what TEXT);
-- +goose StatementBegin
CREATE TRIGGER noted AFTER INSERT ON users BEGIN
  INSERT INTO log VALUES (new.name);
  INSERT INTO log VALUES (';');
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER noted;
DROP TABLE log;
`)},
	"00003_plain.sql": {Data: []byte(`-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX names ON users (name); -- by name
-- +goose Down
DROP INDEX names;
`)},
	"00004_fails.sql": {Data: []byte("-- +goose Up\nINSERT INTO log VALUES ('half');\nINSERT INTO nowhere VALUES (1);\n")},
}

func TestGooseMigratesUpAndDown(t *testing.T) {
	withDB(t, func(ctx context.Context, _ *durable.State, db *sql.DB) {
		p, err := goose.NewProvider(goose.DialectSQLite3, db, gooseFiles)
		must(t, err)
		defer p.Close()
		done, err := p.UpTo(ctx, 3)
		if err != nil || len(done) != 3 {
			t.Fatalf("%v, %v", done, err)
		}
		_, err = db.ExecContext(ctx, "INSERT INTO users (name) VALUES ('bob')")
		must(t, err)
		if _, err := p.Up(ctx); err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("a failing migration: %v", err)
		}
		var n int
		must(t, db.QueryRowContext(ctx, "SELECT count(*) FROM log").Scan(&n))
		if n != 2 {
			t.Errorf("%d lines, some of a failed migration", n)
		}
		status, err := p.Status(ctx)
		if err != nil || len(status) != 4 || status[2].State != goose.StateApplied || status[2].AppliedAt.IsZero() || status[3].State != goose.StatePending {
			t.Errorf("%v, %v", status, err)
		}
		if _, err := p.DownTo(ctx, 1); err != nil {
			t.Error(err)
		}
		if v, err := p.GetDBVersion(ctx); v != 1 || err != nil {
			t.Errorf("version %d, %v", v, err)
		}
	})
}
