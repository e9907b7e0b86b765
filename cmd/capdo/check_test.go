//go:build !js

package main

import (
	"os"
	"strings"
	"testing"
)

// docs/migrations.md must show the output of capdo check that
// testdata/script/check.txtar compares.
func TestTheDocumentShowsWhatCheckPrints(t *testing.T) {
	doc, err := os.ReadFile("../../docs/migrations.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/script/check.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"flow/wrangler.toml", "flow/flow.txt", "flow/recommended.toml"} {
		_, content, _ := strings.Cut(string(script), "\n-- "+file+" --\n")
		content, _, _ = strings.Cut(content, "\n-- ")
		content = strings.TrimRight(content, "\n")
		if content == "" || !strings.Contains(string(doc), "\n"+content+"\n```\n") {
			t.Errorf("docs/migrations.md does not have %s:\n%s", file, content)
		}
	}
}
