//go:build !js

package sqlcases

import (
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var update = flag.Bool("update", false, "write the golden file")

// TestCasesNatively runs the cases on modernc.org/sqlite, and checks that their
// results are in the golden file. The test in workerd compares with that file.
func TestCasesNatively(t *testing.T) {
	var b strings.Builder
	for i, c := range Cases {
		file := filepath.Join(t.TempDir(), "db")
		db, err := sql.Open("sqlite", "file:"+file+"?_time_format=sqlite&_pragma=foreign_keys(1)&_pragma=journal_mode(wal)&_pragma=synchronous(0)&_pragma=busy_timeout(0)")
		if err != nil {
			t.Fatal(err)
		}
		write(&b, i, c.Name, Run(t.Context(), db, c, kindOfNative))
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/native.golden", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != golden {
		t.Error("testdata/native.golden does not have the results of the cases; hint: go test ./durable/durablesql/internal/sqlcases -update, twice")
	}
}

func kindOfNative(err error) string {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return "refused"
	}
	if name, ok := extended[e.Code()]; ok {
		return name
	}
	return codes[e.Code()&0xff]
}

var extended = map[int]string{
	sqlite3.SQLITE_CONSTRAINT_UNIQUE: "UNIQUE", sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "PRIMARYKEY", sqlite3.SQLITE_CONSTRAINT_NOTNULL: "NOTNULL",
	sqlite3.SQLITE_CONSTRAINT_CHECK: "CHECK", sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: "FOREIGNKEY", sqlite3.SQLITE_CONSTRAINT_ROWID: "ROWID",
	sqlite3.SQLITE_CONSTRAINT_DATATYPE: "DATATYPE", sqlite3.SQLITE_CONSTRAINT_TRIGGER: "TRIGGER",
}

var codes = map[int]string{sqlite3.SQLITE_ERROR: "SQLITE_ERROR", sqlite3.SQLITE_MISMATCH: "SQLITE_MISMATCH", sqlite3.SQLITE_BUSY: "SQLITE_BUSY",
	sqlite3.SQLITE_LOCKED: "SQLITE_LOCKED", sqlite3.SQLITE_TOOBIG: "SQLITE_TOOBIG", sqlite3.SQLITE_AUTH: "SQLITE_AUTH", sqlite3.SQLITE_MISUSE: "SQLITE_MISUSE",
	sqlite3.SQLITE_RANGE: "SQLITE_RANGE", sqlite3.SQLITE_CONSTRAINT: "SQLITE_CONSTRAINT"}

func TestDocumentationHasTheDifferences(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "| modernc.org/sqlite | durablesql | because |\n|---|---|---|\n")
	if !ok {
		t.Fatal("docs/sql.md has no table of differences")
	}
	used := map[string]bool{}
	for _, d := range Differences {
		used[d.Topic] = true
	}
	var want strings.Builder
	for _, topic := range Topics {
		if !used[topic.Key] {
			t.Errorf("no case differs in topic %s", topic.Key)
		}
		delete(used, topic.Key)
		fmt.Fprintf(&want, "| %s | %s | %s |\n", topic.Native, topic.Here, topic.Why)
	}
	for key := range used {
		t.Errorf("there is no topic %q", key)
	}
	if table != want.String() {
		t.Errorf("docs/sql.md lists other differences; hint: the table must be\n%s", &want)
	}
}

// The libraries that the tests compare with are only for tests.
func TestWorkersLinkNoLibraryOfTheTests(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./durable/...", "./dedupe/...", "./examples/...")
	cmd.Dir = "../../../.."
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		for _, library := range []string{"modernc.org/", "github.com/mattn/", "gorm.io/", "entgo.io/", "github.com/uptrace/", "github.com/pressly/", "github.com/jmoiron/"} {
			if strings.HasPrefix(path, library) {
				t.Errorf("a Worker would link %s", path)
			}
		}
	}
}
