//go:build !js

package sqlcases

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

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
