package wrangler

import (
	"strings"
	"testing"

	"flow.internal/capdo/internal/shim"
	"github.com/google/go-cmp/cmp"
)

// base is a config in which everything is right for a program with class Counter.
const base = `
name = "hello"
main = "build/entry.mjs"
compatibility_date = "2026-11-01"
durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter" }]
migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }]
`

// with replaces lines of base, told apart by their key.
func with(lines ...string) string {
	config := base
	for _, line := range lines {
		key, _, _ := strings.Cut(line, " =")
		old := config[strings.Index(config, "\n"+key+" =")+1:]
		old, _, _ = strings.Cut(old, "\n")
		config = strings.Replace(config, old, line, 1)
	}
	return config
}

// check checks a TOML config against a program that registers classes.
func check(t *testing.T, config, classes string) []Problem {
	t.Helper()
	c, err := Load(writeConfig(t, "wrangler.toml", config))
	if err != nil {
		t.Fatal(err)
	}
	var d shim.Description
	for _, name := range strings.Fields(classes) {
		d.Classes = append(d.Classes, shim.Class{Name: name})
	}
	return Check(c, d)
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name    string
		config  string
		classes string // that the program registers
		want    []string
	}{
		{"a config that fits has no problem", base, "Counter", nil},
		{"a program without classes needs none", "main = \"build/entry.mjs\"\ncompatibility_date = \"2026-11-01\"\n", "", nil},

		{"a bound class must be registered", base, "", []string{
			"error class-not-registered: class Counter, bound as COUNTER in wrangler.toml, is not registered by the program",
		}},
		{"a class bound from another Worker is not ours", with(`durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter" }, { name = "X", class_name = "Theirs", script_name = "other" }]`), "Counter", nil},
		{"a script_name that is the Worker's own name makes the class ours", with(`durable_objects.bindings = [{ name = "X", class_name = "Mine", script_name = "hello" }]`), "Counter", []string{
			"error class-not-registered: class Mine, bound as X in wrangler.toml, is not registered by the program",
			"warning class-without-binding: class Counter is registered by the program, but wrangler.toml does not bind it",
		}},

		{"a registered class needs a lifecycle entry", with(`migrations = []`), "Counter", []string{
			"error class-without-lifecycle: class Counter is registered by the program, but wrangler.toml has no migration or exports entry that creates it",
		}},
		{"a new class without any entry is reported once", base, "Counter New", []string{
			"error class-without-lifecycle: class New is registered by the program, but wrangler.toml has no migration or exports entry that creates it",
		}},
		{"a class with the old storage has a lifecycle too", with(`migrations = [{ tag = "v1", new_classes = ["Counter"] }]`), "Counter", nil},
		{"a renamed class lives under its new name", with(`migrations = [{ tag = "v1", new_classes = ["Old"] }, { tag = "v2", renamed_classes = [{ from = "Old", to = "Counter" }] }]`), "Counter", nil},
		{"a class taken over from another Worker is live", with(`migrations = [{ tag = "v1", transferred_classes = [{ from = "A", from_script = "b", to = "Counter" }] }]`), "Counter", nil},
		{"a deleted class is not live", with(`migrations = [{ tag = "v1", new_classes = ["Counter"] }, { tag = "v2", deleted_classes = ["Counter"] }]`), "Counter", []string{
			"error class-without-lifecycle: class Counter is registered by the program, but wrangler.toml has no migration or exports entry that creates it",
		}},
		{"a class deleted and created again is live", with(`migrations = [{ tag = "v1", new_classes = ["Counter"] }, { tag = "v2", deleted_classes = ["Counter"], new_sqlite_classes = ["Counter"] }]`), "Counter", nil},

		{"a class without a binding is only odd", with(`durable_objects.bindings = []`), "Counter", []string{
			"warning class-without-binding: class Counter is registered by the program, but wrangler.toml does not bind it",
		}},

		{"a live class must be registered", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter", "Lost"] }]`), "Counter", []string{
			`error lifecycle-without-class: class Lost, from migration "v1" in wrangler.toml, is not registered by the program`,
		}},
		{"a deleted class may be gone from the program", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter", "Lost"] }, { tag = "v2", deleted_classes = ["Lost"] }]`), "Counter", nil},

		{"exports give a class its lifecycle", with(`migrations = []`) + "[exports.Counter]\ntype = 'durable-object'\nstorage = 'sqlite'\n", "Counter", nil},
		{"a tombstone in exports gives none", with(`migrations = []`) + "[exports.Counter]\ntype = 'durable-object'\nstate = 'deleted'\n", "Counter", []string{
			"error class-without-lifecycle: class Counter is registered by the program, but wrangler.toml has no migration or exports entry that creates it",
		}},
		{"a class in exports must be registered", with(`migrations = []`, `durable_objects.bindings = []`) + "[exports.Counter]\ntype = 'durable-object'\nstorage = 'sqlite'\n", "", []string{
			"error lifecycle-without-class: class Counter, from exports in wrangler.toml, is not registered by the program",
		}},
		{"other exports are none of our business", with() + "[exports.Api]\ntype = 'worker'\n", "Counter", nil},
		{"exports exclude migrations", base + "[exports.Counter]\ntype = 'durable-object'\nstorage = 'sqlite'\n", "Counter", []string{
			"error exports-and-migrations: wrangler.toml declares Durable Object classes both in migrations and in exports",
		}},

		{"main must be there", with(`main = ""`), "Counter", []string{"error main: wrangler.toml has no main"}},
		{"main must be what capdo builds", with(`main = "src/index.ts"`), "Counter", []string{`error main: main in wrangler.toml is "src/index.ts", which is not what capdo builds`}},
		{"main may be in another folder", with(`main = "./dist/entry.mjs"`), "Counter", nil},

		{"the compatibility date must be there", with(`compatibility_date = ""`), "Counter", []string{"error compatibility-date: wrangler.toml has no compatibility_date"}},
		{"the compatibility date must be a date", with(`compatibility_date = "today"`), "Counter", []string{`error compatibility-date: compatibility_date "today" in wrangler.toml is not a date like 2024-10-14`}},
		{"the first good compatibility date is enough", with(`compatibility_date = "2024-10-14"`), "Counter", nil},
		{"the day before it is not", with(`compatibility_date = "2024-10-13"`), "Counter", []string{
			"error compatibility-date: compatibility_date 2024-10-13 in wrangler.toml is too old: Go programs need handle_cross_request_promise_resolution, which is on from 2024-10-14",
		}},
		{"an old date with the flag is enough", with("compatibility_date = \"2024-01-01\"\ncompatibility_flags = [\"handle_cross_request_promise_resolution\"]"), "Counter", nil},
		{"a new date with the flag turned off is not", with("compatibility_date = \"2026-11-01\"\ncompatibility_flags = [\"no_handle_cross_request_promise_resolution\"]"), "Counter", []string{
			"error compatibility-date: wrangler.toml turns handle_cross_request_promise_resolution off, which Go programs need",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, p := range check(t, tt.config, tt.classes) {
				got = append(got, string(p.Severity)+" "+p.Rule+": "+p.Message)
				if p.Hint == "" {
					t.Errorf("no hint for %s", p.Message)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s\nconfig:\n%s", diff, tt.config)
			}
		})
	}
}

func TestAWorkerThatServesFetchShouldLearnOfDisconnections(t *testing.T) {
	for flags, want := range map[string]int{`[]`: 1, `["enable_request_signal"]`: 0} {
		c, err := Load(writeConfig(t, "wrangler.toml", base+"compatibility_flags = "+flags+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		problems := Check(c, shim.Description{Fetch: true, Classes: []shim.Class{{Name: "Counter"}}})
		if len(problems) != want || want == 1 && (problems[0].Rule != "request-signal" || problems[0].Severity != Warning) {
			t.Errorf("flags %s: %+v", flags, problems)
		}
	}
}

func TestAHintSaysWhatToWriteWhere(t *testing.T) {
	tests := []struct {
		name, config, classes, want string
	}{
		{"not registered", base, "Other", `call durable.Register("Counter", …) in main, which registers Other; or give the binding the script_name of the Worker that has it`},
		{"not registered, nor anything", base, "", `call durable.Register("Counter", …) in main; or give the binding the script_name of the Worker that has it`},
		{"no lifecycle", with(`migrations = []`), "Counter", `add a migration with a new tag and new_sqlite_classes ["Counter"]`},
		{"no lifecycle where exports are used", with(`migrations = []`) + "[exports.Other]\ntype = 'durable-object'\nstate = 'deleted'\n", "Counter", `add to exports: "Counter" with type "durable-object" and storage "sqlite"`},
		{"no binding", with(`durable_objects.bindings = []`), "Counter", `unless only other Workers use it, add to durable_objects.bindings: name "COUNTER", class_name "Counter"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			problems := check(t, tt.config, tt.classes)
			if len(problems) == 0 || problems[0].Hint != tt.want {
				t.Errorf("problems are %+v\nwant first hint: %s", problems, tt.want)
			}
		})
	}
}
