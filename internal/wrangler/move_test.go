//go:build !js

package wrangler

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// moved returns the config at path, moved to dir.
func moved(path, dir string) ([]byte, error) {
	c, err := Load(path)
	if err != nil {
		return nil, err
	}
	return c.Moved(dir, "")
}

func TestMovedKeepsTheRest(t *testing.T) {
	const toml = "name = 'a'\nlimits.cpu_ms = 300_000\nsince = 2026-11-01\n[build]\ncommand = 'x'\n[env.staging]\nname = 'b'\n[env.staging.build]\ncommand = 'y'\n"
	const jsonc = `{"name": "a", /* c */ "limits": {"cpu_ms": 300000}, "vars": {"big": 12345678901234567890}, "build": {"command": "x"}, "env": {"staging": {"name": "b", "build": {}}},}`
	tests := []struct{ file, content, want string }{
		{"wrangler.toml", toml, "name = 'a'\nsince = 2026-11-01\n\n[env]\n[env.staging]\nname = 'b'\n\n[limits]\ncpu_ms = 300000\n"},
		{"wrangler.jsonc", jsonc, `{"env":{"staging":{"name":"b"}},"limits":{"cpu_ms":300000},"name":"a","vars":{"big":12345678901234567890}}`},
	}
	for _, tt := range tests {
		got, err := moved(writeConfig(t, tt.file, tt.content), t.TempDir())
		if diff := cmp.Diff(tt.want, string(got)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", tt.file, err, diff)
		}
	}
}

func TestMovedPathsLeadToTheSameFiles(t *testing.T) {
	const content = `{
  "main": "build/entry.mjs", "tsconfig": "./tsconfig.json", "assets": { "directory": "public", "binding": "A" },
  "text_blobs": { "T": "t.txt" }, "d1_databases": [{ "binding": "D", "migrations_dir": "sql" }],
  "containers": [{ "image": "Dockerfile" }, { "image": "registry.example/app:1" }],
  "vars": { "main": "t.txt" }, "env": { "test": { "main": "t.txt", "alias": { "x": "./t.txt", "y": "npm-package" } } }
}`
	path := writeConfig(t, "wrangler.json", content)
	dir := filepath.Dir(path)
	for _, name := range []string{"build/entry.mjs", "tsconfig.json", "public/x", "t.txt", "sql/1.sql", "Dockerfile"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := moved(path, filepath.Join(dir, ".wrangler/state/capdo"))
	want := `{"assets":{"binding":"A","directory":"../../../public"},"containers":[{"image":"../../../Dockerfile"},{"image":"registry.example/app:1"}],` +
		`"d1_databases":[{"binding":"D","migrations_dir":"../../../sql"}],"env":{"test":{"alias":{"x":"../../../t.txt","y":"npm-package"},"main":"../../../t.txt"}},` +
		`"main":"../../../build/entry.mjs","text_blobs":{"T":"../../../t.txt"},"tsconfig":"../../../tsconfig.json","vars":{"main":"t.txt"}}`
	if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestMovedHasAnotherMain(t *testing.T) {
	tests := []struct{ content, want string }{
		{`{"main": "build/entry.mjs"}`, `{"main":"b/entry.mjs"}`},
		{`{"main": "build/entry.mjs", "env": {"test": {"main": "x/entry.mjs"}, "other": {}}}`, `{"env":{"other":{},"test":{"main":"b/entry.mjs"}},"main":"b/entry.mjs"}`},
		{`{"main": "build/entry.mjs", "base_dir": "build"}`, `{"base_dir":"build","main":"build/entry.mjs"}`},
	}
	for _, tt := range tests {
		got, err := load(t, "wrangler.json", tt.content).Moved(t.TempDir(), "b/entry.mjs")
		if diff := cmp.Diff(tt.want, string(got)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", tt.content, err, diff)
		}
	}
}
