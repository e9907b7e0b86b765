//go:build !js

package wrangler

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The expected values are dotenv 16.3.1's, tried with Node.js.
func TestParseVars(t *testing.T) {
	tests := []struct {
		text string
		want map[string]string
	}{
		{"", map[string]string{}},
		{"\xef\xbb\xbfA=1\r\nB = two words # comment\n\n# C=3\nexport D=4\nE: yaml", map[string]string{"A": "1", "B": "two words", "D": "4", "E": "yaml"}},
		{`A='a # "b"\n'` + "\n" + `B="x\ny # z"` + "\nC=`\"'`\nD=\nE=''", map[string]string{"A": `a # "b"\n`, "B": "x\ny # z", "C": `"'`, "D": "", "E": ""}},
		{"KEY=\"-----BEGIN\nline\n-----END\"\nA.b-c=1", map[string]string{"KEY": "-----BEGIN\nline\n-----END", "A.b-c": "1"}},
		{"A=1\nA=2\nno equals sign\n=3\nB=a=b", map[string]string{"A": "2", "B": "a=b"}},
		{`A='open` + "\nB=2", map[string]string{"A": "'open", "B": "2"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, parseVars(tt.text)); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", tt.text, diff)
		}
	}
}

func TestSecretsAreThoseThatWranglerTakes(t *testing.T) {
	path := writeConfig(t, "wrangler.json", `{"vars": {"V": 1}}`)
	dir := filepath.Dir(path)
	check := func(name string, want map[string]string) {
		t.Helper()
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Secrets("test")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check("without a file", nil)
	write(".dev.vars", "A=1\nV=2\nB=3")
	check("of .dev.vars", map[string]string{"A": "1", "V": "2", "B": "3"})
	write("wrangler.json", `{"vars": {"V": 1}, "secrets": {"required": ["A"]}}`)
	check("of a list", map[string]string{"A": "1", "V": "2"})
	write(".dev.vars.test", "V=4")
	check("of .dev.vars.test alone", map[string]string{"V": "4"})
}

func TestStorageIsThatOfTheReplayedHistory(t *testing.T) {
	tests := []struct {
		name, config string
		want         map[string]string
	}{
		{"created", `{"migrations": [{"tag": "1", "new_classes": ["A"], "new_sqlite_classes": ["B"]}]}`, map[string]string{"A": "legacy-kv", "B": "sqlite"}},
		{"renamed", `{"migrations": [{"tag": "1", "new_classes": ["A"]}, {"tag": "2", "renamed_classes": [{"from": "A", "to": "B"}]}]}`, map[string]string{"B": "legacy-kv"}},
		{"deleted and created again", `{"migrations": [{"tag": "1", "new_classes": ["A"]}, {"tag": "2", "deleted_classes": ["A"]}, {"tag": "3", "new_sqlite_classes": ["A"]}]}`, map[string]string{"A": "sqlite"}},
		{"transferred", `{"migrations": [{"tag": "1", "transferred_classes": [{"from": "A", "from_script": "x", "to": "B"}]}]}`, map[string]string{"B": ""}},
		{"exports", `{"exports": {"A": {"type": "durable-object", "storage": "legacy-kv"}, "B": {"type": "durable-object", "storage": "sqlite"}, "C": {"type": "durable-object", "state": "deleted"}}}`, map[string]string{"A": "legacy-kv", "B": "sqlite"}},
		{"none", `{}`, map[string]string{}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, load(t, "wrangler.json", tt.config).Storage()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, diff)
		}
	}
}
