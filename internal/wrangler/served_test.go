package wrangler

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func loadText(t *testing.T, text string) *Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wrangler.jsonc")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLiveClasses(t *testing.T) {
	for _, c := range []struct{ name, config, want string }{
		{"new", `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["B", "A"]}, {"tag": "v2", "new_classes": ["C"]}]}`, "[{A A false} {B B false} {C C true}]"},
		{"renamed twice keeps its key", `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["A"]}, {"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]},
			{"tag": "v3", "renamed_classes": [{"from": "B", "to": "C"}]}]}`, "[{C A false}]"},
		{"a new class with the name of a renamed one", `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["A"]}, {"tag": "v2", "renamed_classes": [{"from": "A", "to": "B"}]},
			{"tag": "v3", "new_sqlite_classes": ["A"]}]}`, "[{A A@v3 false} {B A false}]"},
		{"deleted", `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["A", "B"]}, {"tag": "v2", "deleted_classes": ["A"]}]}`, "[{B B false}]"},
		{"deleted and created again starts empty", `{"migrations": [{"tag": "v1", "new_sqlite_classes": ["A"]}, {"tag": "v2", "deleted_classes": ["A"]},
			{"tag": "v3", "new_sqlite_classes": ["A"]}]}`, "[{A A@v3 false}]"},
		{"exports", `{"exports": {"A": {"type": "durable-object", "state": "renamed", "renamed_to": "B"}, "B": {"type": "durable-object", "storage": "sqlite"},
			"K": {"type": "durable-object", "storage": "legacy-kv"}, "D": {"type": "durable-object", "state": "deleted"}, "W": {"type": "worker"}}}`, "[{B A false} {K K true}]"},
		{"none", `{}`, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := fmt.Sprint(loadText(t, c.config).LiveClasses()); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestUnserved(t *testing.T) {
	for _, c := range []struct{ name, config, want string }{
		{"objects, vars and secrets are served", `{"name": "w", "durable_objects": {"bindings": [{"name": "A", "class_name": "A", "script_name": "w"}]}, "vars": {"X": 1}, "secrets": {"required": ["S"]}}`, ""},
		{"empty lists ask for nothing", `{"kv_namespaces": [], "triggers": {"crons": []}}`, ""},
		{"other bindings are not served", `{"kv_namespaces": [{"binding": "K"}], "r2_buckets": [{"binding": "R"}]}`, "kv_namespaces, r2_buckets"},
		{"nor cron triggers", `{"triggers": {"crons": ["* * * * *"]}}`, `unless it has "triggers": {"crons": []}`},
		{"nor assets", `{"assets": {"directory": "public"}}`, "assets"},
		{"classes of other Workers are not served", `{"name": "w", "durable_objects": {"bindings": [{"name": "A", "class_name": "A", "script_name": "other"}]}}`, "another Worker, other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := loadText(t, c.config).Unserved()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "\nhint: ")):
				t.Errorf("got %v, want %q and a hint", err, c.want)
			}
		})
	}
}
