//go:build !js

package wrangler

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func writeConfig(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const fullTOML = `
name = "hello"
main = "build/entry.mjs"
compatibility_date = "2026-11-01"
compatibility_flags = ["nodejs_compat"]
workers_dev = true

[build]
command = "go tool capdo build"

[durable_objects]
bindings = [
  { name = "FLOW_DO", class_name = "FlowDurableObject" },
  { name = "OTHER", class_name = "Theirs", script_name = "other" },
]

[[migrations]]
tag = "v1"
new_classes = ["FlowDurableObject", "Old", "Gone"]

[[migrations]]
tag = "v2"
new_sqlite_classes = ["FlowSqlDurableObject"]
renamed_classes = [{ from = "Old", to = "New" }]
deleted_classes = ["Gone"]
transferred_classes = [{ from = "A", from_script = "b", to = "C" }]

[exports.Dedupe]
type = "durable-object"
storage = "sqlite"

[limits]
cpu_ms = 300_000
`

const fullJSONC = `{
  // a comment
  "name": "hello",
  "main": "build/entry.mjs",
  "compatibility_date": "2026-11-01",
  "compatibility_flags": ["nodejs_compat"],
  "workers_dev": true,
  "build": { "command": "go tool capdo build" },
  "durable_objects": {
    "bindings": [
      { "name": "FLOW_DO", "class_name": "FlowDurableObject" },
      { "name": "OTHER", "class_name": "Theirs", "script_name": "other" },
    ],
  },
  "migrations": [
    { "tag": "v1", "new_classes": ["FlowDurableObject", "Old", "Gone"] },
    {
      "tag": "v2",
      "new_sqlite_classes": ["FlowSqlDurableObject"],
      "renamed_classes": [{ "from": "Old", "to": "New" }],
      "deleted_classes": ["Gone"], /* another */
      "transferred_classes": [{ "from": "A", "from_script": "b", "to": "C" }],
    },
  ],
  "exports": { "Dedupe": { "type": "durable-object", "storage": "sqlite" } },
  "limits": { "cpu_ms": 300000 },
}
`

func TestTOMLAndJSONCReadTheSame(t *testing.T) {
	want := &Config{
		Name:               "hello",
		Main:               "build/entry.mjs",
		CompatibilityDate:  "2026-11-01",
		CompatibilityFlags: []string{"nodejs_compat"},
		Build:              Build{Command: "go tool capdo build"},
		DurableObjects: DurableObjects{Bindings: []Binding{
			{Name: "FLOW_DO", ClassName: "FlowDurableObject"},
			{Name: "OTHER", ClassName: "Theirs", ScriptName: "other"},
		}},
		Migrations: []Migration{
			{Tag: "v1", NewClasses: []string{"FlowDurableObject", "Old", "Gone"}},
			{
				Tag:                "v2",
				NewSQLiteClasses:   []string{"FlowSqlDurableObject"},
				RenamedClasses:     []Rename{{From: "Old", To: "New"}},
				DeletedClasses:     []string{"Gone"},
				TransferredClasses: []Transfer{{From: "A", FromScript: "b", To: "C"}},
			},
		},
		Exports: map[string]Export{"Dedupe": {Type: "durable-object", Storage: "sqlite"}},
		Limits:  Limits{CPUMs: 300_000},
	}
	for name, content := range map[string]string{"wrangler.toml": fullTOML, "wrangler.jsonc": fullJSONC, "wrangler.json": fullJSONC} {
		got, err := Load(writeConfig(t, name, content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Config{}, "Path"), cmpopts.IgnoreUnexported(Config{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestAnErrorInAConfigNamesItsPlace(t *testing.T) {
	tests := []struct{ name, file, content, want string }{
		{"TOML value missing", "wrangler.toml", "name = \"x\"\nmain = \n", ":2:8: unexpected character U+000A at start of value"},
		{"TOML table not closed", "wrangler.toml", "[build\n", ":1:7: expected ']' to close table name"},
		{"TOML key given twice", "wrangler.toml", "name = 'a'\nname = 'b'\n", ":2:1: key name is already defined"},
		{"TOML value of another type", "wrangler.toml", "\nname = 3\n", ":2:8: name cannot be of type integer"},
		{"TOML value of another type, deep", "wrangler.toml", "[exports.A]\nstorage = 3\n", ":2:11: exports.A.storage cannot be of type integer"},
		{"TOML value of another type in an environment", "wrangler.toml", "[env.test]\nlimits.cpu_ms = 'x'\n", ":2:17: env.test.limits.cpu_ms cannot be of type string"},
		{"TOML date without quotes", "wrangler.toml", "compatibility_date = 2026-11-01\n", ":1:22: compatibility_date cannot be of type local date\nhint: put the date in quotes"},
		{"JSONC comma missing", "wrangler.jsonc", "{\n  \"name\": \"a\" // x\n  \"main\": \"b\"\n}", ":3:3: invalid character '\"' after object value"},
		{"JSONC ends early", "wrangler.jsonc", "{\n", ":2:1: parsing value: unexpected EOF"},
		{"JSONC file is empty", "wrangler.jsonc", "", ":1:1: parsing value: unexpected EOF"},
		{"JSONC value of another type", "wrangler.jsonc", "{\n  // so\n  \"name\": 3\n}", ":3:11: name cannot be of type number"},
		{"JSONC value of another type, deep", "wrangler.jsonc", "{\"durable_objects\": {\n  \"bindings\": {}}}", ":2:3: durable_objects.bindings cannot be of type object"},
		{"JSONC value of another type in an environment", "wrangler.jsonc", "{\"env\": {\"test\": {\n  \"name\": 3}}}", ":2:11: env.test.name cannot be of type number"},
		{"JSONC is a list", "wrangler.jsonc", "[]", ":1:1: the config cannot be of type array"},
		{"JSON is read like JSONC", "wrangler.json", "{\"name\": \"a\"}\n}", ":2:1: invalid character '}' after top-level value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := writeConfig(t, tt.file, tt.content)
			_, err := Load(path)
			if err == nil || !strings.HasPrefix(err.Error(), path+tt.want) {
				t.Errorf("error is %v\nwant %s%s…", err, path, tt.want)
			}
		})
	}
}

func TestFindTakesTheConfigThatWranglerTakes(t *testing.T) {
	dir := t.TempDir()
	if path, err := Find(dir); err == nil || !strings.Contains(err.Error(), "no wrangler config in "+dir+"\nhint: ") {
		t.Errorf("in an empty folder: %q, %v", path, err)
	}
	for _, name := range []string{"wrangler.toml", "wrangler.jsonc", "wrangler.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if path, err := Find(dir); err != nil || path != filepath.Join(dir, name) {
			t.Errorf("with %s added: %q, %v", name, path, err)
		}
	}
}

func TestOutIsTheFolderOfMain(t *testing.T) {
	tests := []struct{ main, want string }{
		{"", "app/build"},
		{"build/entry.mjs", "app/build"},
		{"./dist/worker/entry.mjs", "app/dist/worker"},
		{"../out/entry.mjs", "out"},
		{"entry.mjs", "app"},
		{"src/index.ts", "app/build"},
	}
	for _, tt := range tests {
		c := &Config{Path: filepath.Join("app", "wrangler.toml"), Main: tt.main}
		if got := filepath.ToSlash(c.Out()); got != tt.want {
			t.Errorf("main %q: %s, want %s", tt.main, got, tt.want)
		}
	}
}

func TestEnvironmentInheritance(t *testing.T) {
	const file = `{
  "name": "hello", "main": "a/entry.mjs", "compatibility_date": "2026-11-01", "compatibility_flags": ["rpc"], "limits": { "cpu_ms": 5 },
  "vars": { "A": 1 }, "durable_objects": { "bindings": [{ "name": "A", "class_name": "A" }] }, "migrations": [{ "tag": "v1" }],
  "env": {
    "bare": {},
    "full": {
      "name": "other", "main": "b/entry.mjs", "compatibility_date": "2026-11-02", "compatibility_flags": [], "limits": {},
      "vars": { "B": 1 }, "durable_objects": { "bindings": [] }, "migrations": [], "exports": { "A": {} }
    },
    "nothing": null
  }
}`
	c := load(t, "wrangler.jsonc", file)
	want := map[string]*Config{
		"bare": {Env: "bare", Name: "hello-bare", Main: "a/entry.mjs", CompatibilityDate: "2026-11-01", CompatibilityFlags: []string{"rpc"}, Limits: Limits{CPUMs: 5}, Migrations: []Migration{{Tag: "v1"}}},
		"full": {Env: "full", Name: "other", Main: "b/entry.mjs", CompatibilityDate: "2026-11-02", CompatibilityFlags: []string{}, Migrations: []Migration{}, Exports: map[string]Export{"A": {}}, Vars: map[string]any{"B": json.Number("1")}},
	}
	want["full"].DurableObjects.Bindings = []Binding{}
	if diff := cmp.Diff(want, c.Environments, cmpopts.IgnoreFields(Config{}, "Path"), cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnEnvironmentIsFoundByName(t *testing.T) {
	c := load(t, "wrangler.toml", base+testEnv+"[env.prod]\n")
	for _, name := range []string{"", "test", "prod"} {
		if env, err := c.Environment(name); err != nil || env.Env != name {
			t.Errorf("%q: %+v, %v", name, env, err)
		}
	}
	if _, err := c.Environment("tset"); err == nil || err.Error() != c.Path+" has no environment \"tset\"\nhint: it has prod, test" {
		t.Errorf("error is %v", err)
	}
	if _, err := load(t, "wrangler.toml", base).Environment("test"); err == nil || !strings.HasSuffix(err.Error(), "has no environment \"test\"; it has no environments at all\nhint: add env.test to it") {
		t.Errorf("error is %v", err)
	}
}
