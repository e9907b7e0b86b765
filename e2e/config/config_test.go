//go:build !js

// Package config compares capdo's check of wrangler configs with wrangler. Each
// row has the verdict of the real wrangler deploy --dry-run and capdo's
// verdict, and the reason if they differ.
package config

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/shim"
	"flow.internal/capdo/internal/wrangler"
	"github.com/google/go-cmp/cmp"
)

const ok = "ok"

type row struct {
	name    string
	config  string // the config without name, main and compatibility_date
	classes string // that the program exports
	env     string

	wrangler string   // its verdict: ok, or "warning: " or "error: " with a part of its text
	capdo    []string // the rules that report a problem
	why      string   // why the verdicts differ
}

const (
	bindA  = `"durable_objects": { "bindings": [{ "name": "A", "class_name": "A" }] }, `
	bindB  = `"durable_objects": { "bindings": [{ "name": "A", "class_name": "B" }] }, `
	newA   = `"migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"] }]`
	liveA  = `"exports": { "A": { "type": "durable-object", "storage": "sqlite" } }`
	fromX  = `{ "tag": "v1", "transferred_classes": [{ "from": "X", "from_script": "other", "to": "A" }] }`
	noAPI  = "wrangler leaves it to Cloudflare, which refuses the deploy"
	noData = "wrangler does not look at it"
	noDocs = "wrangler does not look at it; Cloudflare's documentation rules it out"
)

var rows = []row{
	{"a config that fits", bindA + newA, "A", "", ok, nil, ""},
	{"exports in the place of migrations", bindA + liveA, "A", "", ok, nil, ""},
	{"a binding to this Worker by name", `"durable_objects": { "bindings": [{ "name": "A", "class_name": "A", "script_name": "w" }] }, ` + newA, "A", "", ok, nil, ""},
	{"a class of another Worker", `"durable_objects": { "bindings": [{ "name": "X", "class_name": "X", "script_name": "other", "environment": "test" }] }`, "", "", ok, nil, ""},
	{"an environment inherits migrations", bindA + newA + `, "env": { "test": { "durable_objects": { "bindings": [{ "name": "A", "class_name": "A" }] } } }`, "A", "test", ok, nil, ""},
	{"an environment forgets the bindings", bindA + newA + `, "env": { "test": {} }`, "A", "test", `warning: "durable_objects" exists at the top level, but not on "env.test"`, []string{"bindings-not-inherited"}, ""},
	{"an environment has exports, and inherits migrations", bindA + newA + `, "env": { "test": { "durable_objects": { "bindings": [] }, ` + liveA + ` } }`, "A", "test",
		"error: `migrations` and `exports` are mutually exclusive", []string{"class-without-binding", "exports-and-migrations"}, ""},

	{"a class is taken over", bindA + `"migrations": [` + fromX + `]`, "A", "", ok, nil, ""},
	{"a class is taken over, and renamed later", bindB + `"migrations": [` + fromX + `, { "tag": "v2", "renamed_classes": [{ "from": "A", "to": "B" }] }]`, "B", "",
		"error: Cannot apply renamed_classes migration to non-existent class A", nil, "wrangler replays the history without transferred_classes"},
	{"a class is taken over, and deleted later", `"migrations": [` + fromX + `, { "tag": "v2", "deleted_classes": ["A"] }]`, "", "",
		"error: Cannot apply deleted_classes migration to non-existent class A", nil, "wrangler replays the history without transferred_classes"},
	{"a class is taken over, but lives already", bindA + `"migrations": [{ "tag": "v0", "new_sqlite_classes": ["A"] }, ` + fromX + `]`, "A", "", ok, []string{"class-live"}, noDocs},
	{"a class is taken over from nowhere", bindA + `"migrations": [{ "tag": "v1", "transferred_classes": [{ "from": "X", "to": "A" }] }]`, "A", "",
		`error: Expected "migrations[0].transferred_classes" to be an array of`, []string{"class-without-lifecycle", "step-field"}, ""},
	{"a class is taken over from this Worker", bindA + `"migrations": [{ "tag": "v1", "transferred_classes": [{ "from": "X", "from_script": "w", "to": "A" }] }]`, "A", "", ok, []string{"transfer-from-self"}, noDocs},

	{"a tag is missing", bindA + `"migrations": [{ "new_sqlite_classes": ["A"] }]`, "A", "", `error: "migrations[0].tag" is a required field`, []string{"migration-tag"}, ""},
	{"a tag is used twice", bindA + `"migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"] }, { "tag": "v1" }]`, "A", "", ok, []string{"duplicate-tag"}, noDocs},
	{"tags are out of order", bindA + `"migrations": [{ "tag": "v2", "new_sqlite_classes": ["A"] }, { "tag": "v1" }]`, "A", "", ok, []string{"tag-order"}, noDocs},
	{"a class that is unknown is deleted", bindA + `"migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"], "deleted_classes": ["X"] }]`, "A", "",
		"error: Cannot apply deleted_classes migration to non-existent class X", []string{"class-unknown"}, ""},
	{"a class that is unknown is renamed", bindA + `"migrations": [{ "tag": "v1", "renamed_classes": [{ "from": "X", "to": "A" }] }]`, "A", "",
		"error: Cannot apply renamed_classes migration to non-existent class X", []string{"class-unknown"}, ""},
	{"a class is renamed onto a live one", bindA + `"migrations": [{ "tag": "v1", "new_sqlite_classes": ["A", "B"] }, { "tag": "v2", "renamed_classes": [{ "from": "B", "to": "A" }] }]`, "A", "", ok, []string{"class-live"}, noDocs},
	{"a class is created twice", bindA + `"migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"] }, { "tag": "v2", "new_sqlite_classes": ["A"] }]`, "A", "",
		"error: Cannot apply new_sqlite_classes migration to existing class A", []string{"class-live"}, ""},
	{"a class switches its storage", bindA + `"migrations": [{ "tag": "v1", "new_classes": ["A"] }, { "tag": "v2", "new_sqlite_classes": ["A"] }]`, "A", "",
		"error: Cannot apply new_sqlite_classes migration to existing class A", []string{"kv-storage", "storage-switch"}, ""},
	{"a class has key-value storage", bindA + `"migrations": [{ "tag": "v1", "new_classes": ["A"] }]`, "A", "", ok, []string{"kv-storage"}, "it depends on the account, which wrangler does not ask"},
	{"one migration deletes and creates a class", bindA + `"migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"] }, { "tag": "v2", "deleted_classes": ["A"], "new_sqlite_classes": ["A"] }]`, "A", "", ok, []string{"class-twice"}, noData},

	{"a bound class is not exported", bindA + newA, "", "", "error: Your Worker depends on the following Durable Objects, which are not exported in your entrypoint file: A", []string{"class-not-registered"}, ""},
	{"a created class is not exported", newA, "", "", ok, []string{"lifecycle-without-class"}, noAPI},
	{"a bound class has no lifecycle", strings.TrimSuffix(bindA, ", "), "A", "", "warning: you have configured `durable_objects` exported by this Worker (A), but no live `exports` entry", []string{"class-without-lifecycle"}, noAPI},
	{"a deleted class is bound", bindA + `"migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"] }, { "tag": "v2", "deleted_classes": ["A"] }]`, "A", "", ok, []string{"deleted-class-bound"}, noAPI},
	{"a deleted class is exported", `"migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"] }, { "tag": "v2", "deleted_classes": ["A"] }]`, "A", "", ok, []string{"deleted-class-registered"}, noDocs},
	{"a class is not bound", newA, "A", "", ok, []string{"class-without-binding"}, noData},

	{"exports and migrations", bindA + newA + ", " + liveA, "A", "", "error: `migrations` and `exports` are mutually exclusive", []string{"exports-and-migrations"}, ""},
	{"an export has no storage", bindA + `"exports": { "A": { "type": "durable-object" } }`, "A", "", `error: "exports.A.storage" is required for state "created"`, []string{"export-storage"}, ""},
	{"an export has a state that does not exist", bindA + `"exports": { "A": { "type": "durable-object", "storage": "sqlite", "state": "gone" } }`, "A", "", `error: "exports.A.state" must be one of`, []string{"export-state"}, ""},
	{"an export has a type that does not exist", bindA + `"exports": { "A": { "type": "durable_object", "storage": "sqlite" } }`, "A", "", `error: "exports.A.type" must be`, []string{"class-without-lifecycle", "export-type"}, ""},
	{"a renamed export does not say to what", liveA[:len(liveA)-1] + `, "X": { "type": "durable-object", "state": "renamed" } }`, "A", "", `error: "exports.X.renamed_to" is required for state "renamed"`, []string{"class-without-binding", "export-field"}, ""},
	{"an export is renamed to nothing", bindA + liveA[:len(liveA)-1] + `, "X": { "type": "durable-object", "state": "renamed", "renamed_to": "Y" } }`, "A", "", ok, []string{"export-rename-target"}, noAPI},
	{"a live export is not exported", liveA, "", "", ok, []string{"lifecycle-without-class"}, noAPI},
	{"a deleted export is exported", `"exports": { "A": { "type": "durable-object", "state": "deleted" } }`, "A", "", ok, []string{"deleted-class-registered"}, noAPI},
	{"a class that is expected is bound", bindA + `"exports": { "A": { "type": "durable-object", "state": "expecting-transfer", "storage": "sqlite", "transfer_from": "other" } }`, "A", "", ok, []string{"pending-class-bound"}, noDocs},

	{"two bindings have one name", `"durable_objects": { "bindings": [{ "name": "A", "class_name": "A" }, { "name": "A", "class_name": "X", "script_name": "other" }] }, ` + newA, "A", "", "error: A assigned to multiple Durable Object bindings", []string{"binding-name-taken"}, ""},
	{"a binding and a variable have one name", bindA + newA + `, "vars": { "A": "1" }`, "A", "", "error: A assigned to Durable Object and Environment Variable bindings", []string{"binding-name-taken"}, ""},
	{"a binding has no class", `"durable_objects": { "bindings": [{ "name": "A" }] }`, "", "", `error: binding should have a string "class_name" field`, []string{"binding-field"}, ""},
	{"a binding has an environment, but no script_name", `"durable_objects": { "bindings": [{ "name": "A", "class_name": "A", "environment": "test" }] }, ` + newA, "A", "", `error: binding should have a "script_name" field if "environment" is present`, []string{"binding-field"}, ""},
	{"a binding is not named like a variable", `"durable_objects": { "bindings": [{ "name": "my-a", "class_name": "A" }] }, ` + newA, "A", "", ok, []string{"binding-name"}, noData},
	{"a field that nobody knows", bindA + `"migrations": [{ "tag": "v1", "new_sqlite_classes": ["A"], "new_sqlite_class": ["B"] }]`, "A", "", `warning: Unexpected fields found in migrations field: "new_sqlite_class"`, []string{"unknown-field"}, ""},
	{"an update strategy that does not exist", `"durable_objects": { "code_update_strategy": { "mode": "later" } }`, "", "", `error: Expected "durable_objects.code_update_strategy.mode" field to be one of`, []string{"code-update-strategy"}, ""},

	{"cpu_ms at its most", `"limits": { "cpu_ms": 300000 }`, "", "", ok, []string{"cpu-limit-plan"}, "it depends on the account, which wrangler does not ask"},
	{"cpu_ms above", `"limits": { "cpu_ms": 300001 }`, "", "", ok, []string{"cpu-limit", "cpu-limit-plan"}, noDocs},
	{"a compatibility date in the future", `"compatibility_date": "2099-01-01"`, "", "", ok, []string{"compatibility-date"}, "wrangler deploy leaves it to Cloudflare, which refuses it; wrangler dev refuses it itself"},
	{"crons and consumers without handlers", `"triggers": { "crons": ["* * * * *"] }, "queues": { "consumers": [{ "queue": "q" }] }`, "", "", ok, []string{"no-handler", "no-handler"}, "wrangler does not look at the handlers; each event would fail"},
	{"crons and consumers with handlers", `"triggers": { "crons": ["* * * * *"] }, "queues": { "consumers": [{ "queue": "q" }] }`, "+events", "", ok, nil, ""},
	{"handlers without crons and consumers", bindA + newA, "A +events", "", ok, []string{"handler-without-trigger", "handler-without-trigger"}, "wrangler does not know the program"},
	{"a cron expression with seconds", `"triggers": { "crons": ["0 0 3 * * *"] }`, "+events", "", ok, []string{"cron", "handler-without-trigger"}, noDocs},
	{"a consumer with a batch that is too large", `"triggers": { "crons": [] }, "queues": { "consumers": [{ "queue": "q", "max_batch_size": 101 }] }`, "+events", "", ok, []string{"queue-consumer"}, noDocs},
	{"a binding that Go cannot reach", `"kv_namespaces": [{ "binding": "K", "id": "x" }]`, "", "", ok, []string{"binding-unreachable"}, "wrangler knows nothing of Go"},

	{"a flag is off that methods need", bindA + newA + `, "compatibility_flags": ["no_rpc"]`, "A()", "", ok, []string{"compatibility-flag"}, "wrangler does not know the program"},
}

// install has the paths of wrangler and Node.js, and a folder for Node.js's
// compile cache. Without the cache each run takes a third longer.
type install struct{ node, script, cache string }

func find(t *testing.T) install {
	t.Helper()
	script, err := node.Module(".", "wrangler/bin/wrangler.js")
	if err != nil {
		t.Fatal(err)
	}
	path, err := node.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	return install{path, script, t.TempDir()}
}

// dryRun returns wrangler's verdict about a config and its whole output.
func (w install) dryRun(t *testing.T, path, env string) (verdict, output string) {
	t.Helper()
	cmd := exec.Command(w.node, w.script, "deploy", "--dry-run", "--config", filepath.Base(path), "--env="+env)
	cmd.Dir = filepath.Dir(path)
	cmd.Env = append(os.Environ(), "WRANGLER_SEND_METRICS=false", "WRANGLER_SEND_ERROR_REPORTS=false", "WRANGLER_HIDE_BANNER=true", "WRANGLER_LOG_PATH="+t.TempDir(), "NODE_COMPILE_CACHE="+w.cache)
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil:
		t.Fatal(err)
	case err != nil:
		return "error", string(out)
	case bytes.Contains(out, []byte("WARNING")):
		return "warning", string(out)
	}
	return ok, string(out)
}

// verdict returns capdo's verdict.
func verdict(problems []wrangler.Problem) string {
	worst := ok
	for _, p := range problems {
		if worst = string(p.Severity); p.Severity == wrangler.Error {
			break
		}
	}
	return worst
}

// write writes the row's config, and a build that exports its classes. It
// returns the config's path.
func (r *row) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	entry := "import { DurableObject } from \"cloudflare:workers\";\nexport default { fetch() { return new Response(); } };\n"
	for _, class := range r.description().Classes {
		entry += fmt.Sprintf("export class %s extends DurableObject {}\n", class.Name)
	}
	config := map[string]any{"name": "w", "main": "build/entry.mjs", "compatibility_date": "2026-11-01"}
	if err := json.Unmarshal([]byte("{"+r.config+"}"), &config); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "wrangler.json")
	for file, content := range map[string][]byte{path: b, filepath.Join(dir, "build", "entry.mjs"): []byte(entry)} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func (r *row) description() (d shim.Description) {
	for _, name := range strings.Fields(r.classes) {
		if name == "+events" {
			d.Scheduled, d.Queue = true, true
			continue
		}
		class, method := strings.CutSuffix(name, "()")
		c := shim.Class{Name: class}
		if method {
			c.Methods = []string{"call"}
		}
		d.Classes = append(d.Classes, c)
	}
	return d
}

// Without -all only every third row is checked with wrangler, because each
// takes a second or two of CPU time. For the others the recorded verdict of
// wrangler is compared. make wrangler checks all rows.
var all = flag.Bool("all", false, "ask wrangler about every row")

func TestCapdoAgainstWrangler(t *testing.T) {
	w := find(t)
	two := make(chan struct{}, 2)
	for i, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			two <- struct{}{}
			defer func() { <-two }()
			path := r.write(t)
			problems, mine := r.check(t, path)
			theirs, says, _ := strings.Cut(r.wrangler, ": ")
			if *all || i%3 == 0 {
				got, output := w.dryRun(t, path, r.env)
				if got != theirs || !strings.Contains(output, says) {
					t.Errorf("wrangler: %s, want %s\n%s", got, r.wrangler, output)
				}
			}
			if diff := cmp.Diff(r.capdo, mine); diff != "" {
				t.Errorf("capdo: (-want +got)\n%s", diff)
			}
			if differ := theirs != verdict(problems); differ != (r.why != "") {
				t.Errorf("wrangler: %s, capdo: %s, why: %q", theirs, verdict(problems), r.why)
			}
		})
	}
}

// check returns the problems that capdo finds, and their rules.
func (r *row) check(t *testing.T, path string) (problems []wrangler.Problem, rules []string) {
	t.Helper()
	c, err := wrangler.Load(path)
	if err == nil {
		c, err = c.Environment(r.env)
	}
	if err != nil {
		t.Fatal(err)
	}
	problems = wrangler.Check(c, r.description(), time.Now())
	for _, p := range problems {
		rules = append(rules, p.Rule)
	}
	slices.Sort(rules)
	return problems, rules
}

func TestEveryExampleDeploysDry(t *testing.T) {
	w := find(t)
	configs, err := filepath.Glob("../../examples/*/wrangler*.*")
	if err != nil || len(configs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, path := range configs {
		dir, name := filepath.Split(path)
		t.Run(filepath.Base(dir)+"/"+name, func(t *testing.T) {
			c, err := wrangler.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			staged, err := build.Stage(context.Background(), dir, build.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := staged.Publish(c.Out()); err != nil {
				t.Fatal(err)
			}
			if problems := wrangler.CheckAll(c, staged.Description, time.Now()); verdict(problems) == string(wrangler.Error) {
				t.Errorf("capdo: %v", problems)
			}
			for _, env := range append([]string{""}, slices.Sorted(maps.Keys(c.Environments))...) {
				if verdict, output := w.dryRun(t, path, env); verdict == "error" {
					t.Errorf("wrangler --env=%s:\n%s", env, output)
				}
			}
		})
	}
}

// docs/migrations.md must have a row for exactly those configs about which
// wrangler and capdo disagree.
func TestTheDocumentListsWhereTheyDiffer(t *testing.T) {
	doc, err := os.ReadFile("../../docs/migrations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		theirs, _, _ := strings.Cut(r.wrangler, ": ")
		rules := ok
		if len(r.capdo) > 0 {
			rules = "`" + strings.Join(r.capdo, "`, `") + "`"
		}
		line := fmt.Sprintf("\n| %s | %s | %s |\n", r.name, theirs, rules)
		if listed := strings.Contains(string(doc), line); listed != (r.why != "") {
			t.Errorf("listed: %v; why: %q%s", listed, r.why, line)
		}
	}
}
