//go:build !js

package wrangler

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/internal/shim"
	"github.com/google/go-cmp/cmp"
)

// base is a config without problems for a program with class Counter.
const base = `
name = "hello"
main = "build/entry.mjs"
compatibility_date = "2026-11-01"
durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter" }]
migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }]
`

// with replaces lines of base, identified by their key.
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

// declares returns a config that declares its classes in exports instead of
// migrations. Class Counter is live.
func declares(exports string) string {
	return with(`migrations = []`) + exports
}

const counterLive = "[exports.Counter]\ntype = 'durable-object'\nstorage = 'sqlite'\n"

const testBinding = "durable_objects.bindings = [{ name = 'COUNTER', class_name = 'Counter' }]\n"

// today is the date for the configs of these tests.
var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func load(t *testing.T, file, config string) *Config {
	t.Helper()
	c, err := Load(writeConfig(t, file, config))
	if err != nil {
		t.Fatalf("%v\n%s", err, config)
	}
	return c
}

// program registers classes. A name with parentheses means that the class has a
// method.
func program(classes string) (d shim.Description) {
	for _, name := range strings.Fields(classes) {
		switch name {
		case "+scheduled":
			d.Scheduled = true
			continue
		case "+queue":
			d.Queue = true
			continue
		}
		name, alarm := strings.CutSuffix(name, ":alarm")
		class, method := strings.CutSuffix(name, "()")
		c := shim.Class{Name: class}
		if alarm {
			c.Events = []string{"alarm"}
		}
		if method {
			c.Methods = []string{"call"}
		}
		d.Classes = append(d.Classes, c)
	}
	return d
}

// lines returns problems as they are printed, without the folder.
func lines(problems []Problem) []string {
	var out []string
	for _, p := range problems {
		p.File = filepath.Base(p.File)
		out = append(out, strings.TrimPrefix(p.String(), "wrangler.toml:"))
	}
	return out
}

type checkCase struct {
	name    string
	config  string
	classes string // that the program registers
	want    []string
}

func (tt checkCase) run(t *testing.T) {
	t.Helper()
	t.Run(tt.name, func(t *testing.T) {
		problems := CheckAll(load(t, "wrangler.toml", tt.config), program(tt.classes), today)
		if diff := cmp.Diff(tt.want, lines(problems)); diff != "" {
			t.Errorf("(-want +got)\n%s\nconfig:\n%s", diff, tt.config)
		}
		for _, p := range problems {
			if p.Hint == "" || !slices.Contains(Rules, p.Rule) {
				t.Errorf("%s: rule %q, hint %q", p.Message, p.Rule, p.Hint)
			}
		}
	})
}

func TestCheck(t *testing.T) {
	for _, tt := range checkCases {
		tt.run(t)
	}
}

var checkCases = slices.Concat(generalCases, bindingCases, programCases, historyCases, exportCases, environmentCases)

var generalCases = []checkCase{
	{"a config that fits has no problem", base, "Counter()", nil},
	{"a program without classes needs no migrations", "main = \"build/entry.mjs\"\ncompatibility_date = \"2026-11-01\"\n", "", nil},

	{"main must be there", "compatibility_date = '2026-11-01'\n", "", []string{"1:1: error: there is no main [main]"}},
	{"main must be what capdo builds", with(`main = "src/index.ts"`), "Counter", []string{`3:8: error: main is "src/index.ts", which capdo does not build [main]`}},
	{"main may be in another folder", with(`main = "./dist/entry.mjs"`), "Counter", nil},

	{"the compatibility date must be there", "main = 'entry.mjs'\n", "", []string{"1:1: error: there is no compatibility_date [compatibility-date]"}},
	{"the compatibility date must be a date", with(`compatibility_date = "today"`), "Counter", []string{`4:22: error: compatibility_date "today" is not a date like 2026-04-21 [compatibility-date]`}},
	{"the compatibility date may be today", with(`compatibility_date = "2026-11-22"`), "Counter", nil},
	{"the compatibility date cannot be tomorrow", with(`compatibility_date = "2026-11-23"`), "Counter", []string{"4:22: error: compatibility_date 2026-11-23 is in the future [compatibility-date]"}},
	{"the first valid compatibility date is enough", with(`compatibility_date = "2024-10-14"`), "Counter", nil},
	{"the day before the first valid date is too early", with(`compatibility_date = "2024-10-13"`), "Counter", []string{
		"4:22: error: compatibility_date 2024-10-13 is too old: Go programs need handle_cross_request_promise_resolution, which is on from 2024-10-14 [compatibility-flag]",
	}},
	{"methods need a newer date", with(`compatibility_date = "2026-04-21"`), "Counter()", nil},
	{"the day before is too early for methods", with(`compatibility_date = "2026-04-20"`), "Counter()", []string{
		"4:22: error: compatibility_date 2026-04-20 is too old: the methods of class Counter need enhanced_error_serialization, which is on from 2026-04-21 [compatibility-flag]",
	}},
	{"alarms need a newer date", with(`compatibility_date = "2026-02-24"`), "Counter:alarm", nil},
	{"the day before is too early for alarms", with(`compatibility_date = "2026-02-23"`), "Counter:alarm", []string{
		"4:22: error: compatibility_date 2026-02-23 is too old: the alarms of class Counter need delete_all_deletes_alarm, which is on from 2026-02-24 [compatibility-flag]",
	}},
	{"a date that is too old for two reasons is reported once", with(`compatibility_date = "2023-01-01"`), "Counter()", []string{
		"4:22: error: compatibility_date 2023-01-01 is too old: the methods of class Counter need enhanced_error_serialization, which is on from 2026-04-21 [compatibility-flag]",
	}},
	{"an old date with the flag is enough", with("compatibility_date = \"2024-01-01\"\ncompatibility_flags = [\"handle_cross_request_promise_resolution\"]"), "Counter", nil},
	{"an old date with one flag is not enough for methods", with("compatibility_date = \"2024-01-01\"\ncompatibility_flags = [\"handle_cross_request_promise_resolution\", \"enhanced_error_serialization\"]"), "Counter()", []string{
		"4:22: error: compatibility_date 2024-01-01 is too old: the methods of class Counter need rpc, which is on from 2024-04-03 [compatibility-flag]",
	}},
	{"an old date with all flags is enough for methods", with("compatibility_date = \"2024-01-01\"\ncompatibility_flags = [\"handle_cross_request_promise_resolution\", \"rpc\", \"enhanced_error_serialization\"]"), "Counter()", nil},
	{"a new date with a flag turned off is not enough", with("compatibility_date = \"2026-11-01\"\ncompatibility_flags = [\"no_handle_cross_request_promise_resolution\",\n\"no_rpc\"]"), "Counter()", []string{
		"5:24: error: no_handle_cross_request_promise_resolution turns off a feature that Go programs need [compatibility-flag]",
		"6:1: error: no_rpc turns off a feature that the methods of class Counter need [compatibility-flag]",
	}},
	{"a flag can be turned off by another name", base + `compatibility_flags = ["legacy_error_serialization"]`, "Counter()", []string{
		"7:24: error: legacy_error_serialization turns off a feature that the methods of class Counter need [compatibility-flag]",
	}},
	{"crons have no handler", base + "[triggers]\ncrons = ['* * * * *']\n", "Counter", []string{
		"8:1: error: triggers.crons is set, but the program does not handle cron triggers [no-handler]",
	}},
	{"an empty list of crons needs no handler", base + "[triggers]\ncrons = []\n", "Counter", nil},
	{"an environment inherits crons", base + "[triggers]\ncrons = ['* * * * *']\n[env.test]\n" + testBinding + "[env.none]\ntriggers.crons = []\n" + testBinding, "Counter", []string{
		"8:1: error: triggers.crons is set, but the program does not handle cron triggers [no-handler]",
	}},
	{"a consumer of a queue has no handler", base + "[[queues.consumers]]\nqueue = 'q'\n", "Counter", []string{
		"7:10: error: queues.consumers is set, but the program does not handle queues [no-handler]",
	}},
	{"an environment's consumer has no handler", base + "[env.test]\n" + testBinding + "queues.consumers = [{ queue = 'q' }]\n", "Counter", []string{
		"9:8: error: env.test: queues.consumers is set, but the program does not handle queues [no-handler]",
	}},
	{"crons and consumers have handlers", base + "queues.consumers = [{ queue = 'q' }]\n[triggers]\ncrons = ['* * * * *']\n", "Counter +scheduled +queue", nil},
	{"handlers have no triggers", base, "Counter +scheduled +queue", []string{
		"1:1: warning: the program handles cron triggers, but the config has no triggers.crons [handler-without-trigger]",
		"1:1: warning: the program handles queues, but the config has no queues.consumers [handler-without-trigger]",
	}},
	{"handlers without triggers can be meant", base + "triggers.crons = []\nqueues.consumers = []\n", "Counter +scheduled +queue", nil},
	{"a producer is no trigger", base + "[[queues.producers]]\nqueue = 'q'\nbinding = 'Q'\n", "Counter +queue", []string{
		"7:3: warning: the program handles queues, but the config has no queues.consumers [handler-without-trigger]",
	}},
	{"an environment does not inherit consumers", base + "queues.consumers = [{ queue = 'q' }]\n[env.test]\n" + testBinding, "Counter +queue", []string{
		"8:6: warning: env.test: the program handles queues, but the config has no queues.consumers [handler-without-trigger]",
	}},
	{"a queue that is pulled needs no handler", base + "queues.consumers = [{ queue = 'q', type = 'http_pull' }]\n", "Counter", nil},
	{"a handler of a queue that is pulled has no trigger", base + "queues.consumers = [{ queue = 'q', type = 'http_pull' }]\n", "Counter +queue", []string{
		"7:8: warning: the program handles queues, but the config has no queues.consumers [handler-without-trigger]",
	}},
	{"a cron expression has five fields", base + "[triggers]\ncrons = ['0 3 * * *', '0 0 3 * * *', 'daily', '*/5  * * * MON-FRI']\n", "Counter +scheduled", []string{
		`8:23: warning: the cron expression "0 0 3 * * *" has 6 fields, not five [cron]`,
		`8:38: warning: the cron expression "daily" has 1 field, not five [cron]`,
	}},
	{"a consumer's settings have limits", base + "[[queues.consumers]]\nqueue = 'q'\nmax_batch_size = 101\nmax_batch_timeout = 60\nmax_retries = -1\nretry_delay = 86401\nmax_concurrency = 0.5\n", "Counter +queue", []string{
		"9:18: warning: max_batch_size 101 is not a whole number from 1 to 100 [queue-consumer]",
		"11:15: warning: max_retries -1 is not a whole number from 0 to 100 [queue-consumer]",
		"12:15: warning: retry_delay 86401 is not a whole number from 0 to 86400 [queue-consumer]",
		"13:19: warning: max_concurrency 0.5 is not a whole number from 1 to 250 [queue-consumer]",
	}},
	{"bindings that Go cannot reach", base + "kv_namespaces = [{ binding = 'A', id = 'x' }, { binding = 'B', id = 'y' }]\nversion_metadata.binding = 'V'\nassets.directory = 'public'\n[[r2_buckets]]\nbinding = 'R'\nbucket_name = 'r'\n", "Counter", []string{
		"7:1: warning: kv_namespaces binds A, B, which Go code cannot reach [binding-unreachable]",
		"10:3: warning: r2_buckets binds R, which Go code cannot reach [binding-unreachable]",
	}},
	{"a producer of a queue needs no handler", base + "[[queues.producers]]\nqueue = 'q'\nbinding = 'Q'\n", "Counter", nil},
	{"a workflow of this Worker is not exported", base + "[[workflows]]\nname = 'w'\nbinding = 'W'\nclass_name = 'Flow'\n[[workflows]]\nname = 'o'\nbinding = 'O'\nclass_name = 'Flow'\nscript_name = 'other'\n", "Counter", []string{
		"7:3: error: workflow w is class Flow, which a Go program does not export [entrypoint-missing]",
		"7:3: warning: workflows binds W, O, which Go code cannot reach [binding-unreachable]",
	}},
	{"an entrypoint of this Worker is not exported", base + "services = [{ binding = 'A', service = 'hello', entrypoint = 'Api' }, { binding = 'B', service = 'hello' }, { binding = 'C', service = 'other', entrypoint = 'Api' }]\n", "Counter", []string{
		"7:1: warning: services binds A, B, C, which Go code cannot reach [binding-unreachable]",
		"7:13: error: service A is entrypoint Api, which a Go program does not export [entrypoint-missing]",
	}},
	{"a container's class is not registered", base + "containers = [{ class_name = 'Lost' }, { class_name = 'Counter' }]\n", "Counter", []string{
		"7:30: error: the container's class Lost is not registered by the program [entrypoint-missing]",
	}},
	{"a reserved word cannot be a class name", with("migrations = [{ tag = \"v1\", new_sqlite_classes = [\"Counter\", \"default\"] }]"), "Counter default", []string{
		`6:62: error: "default" cannot be the name of a class [class-name]`,
		`6:62: warning: class default is registered by the program, but not bound [class-without-binding]`,
	}},
	{"rpc may be off if there are no methods", base + `compatibility_flags = ["no_rpc"]`, "Counter", nil},

	{"5 minutes of CPU are the limit and need a paid plan", base + "limits.cpu_ms = 300_000", "Counter", []string{
		"7:17: warning: cpu_ms needs a Workers Paid plan: on the Free plan Cloudflare refuses the deploy, whatever the value [cpu-limit-plan]",
	}},
	{"more than 5 minutes of CPU are refused", base + "limits.cpu_ms = 300_001", "Counter", []string{
		"7:17: error: cpu_ms 300001 is not a whole number from 1 to 300000 [cpu-limit]",
		"7:17: warning: cpu_ms needs a Workers Paid plan: on the Free plan Cloudflare refuses the deploy, whatever the value [cpu-limit-plan]",
	}},
	{"nor is nothing", base + "[limits]\ncpu_ms = 0", "Counter", []string{
		"8:10: error: cpu_ms 0 is not a whole number from 1 to 300000 [cpu-limit]",
		"8:10: warning: cpu_ms needs a Workers Paid plan: on the Free plan Cloudflare refuses the deploy, whatever the value [cpu-limit-plan]",
	}},
	{"nor a half", base + "[limits]\ncpu_ms = 0.5", "Counter", []string{
		"8:10: error: cpu_ms 0.5 is not a whole number from 1 to 300000 [cpu-limit]",
		"8:10: warning: cpu_ms needs a Workers Paid plan: on the Free plan Cloudflare refuses the deploy, whatever the value [cpu-limit-plan]",
	}},
	{"other limits are not checked", base + "limits.subrequests = 50", "Counter", nil},

	{"code may be updated when objects are evicted", base + "durable_objects.code_update_strategy = { mode = 'deferred', max_delay = 0.5 }", "Counter", nil},
	{"a strategy needs a mode that exists", base + "durable_objects.code_update_strategy = { mode = 'later' }", "Counter", []string{
		`7:49: error: the mode of code_update_strategy is "later" [code-update-strategy]`,
	}},
	{"a strategy needs a mode", base + "durable_objects.code_update_strategy = { max_delay = 86401 }", "Counter", []string{
		`7:17: error: the mode of code_update_strategy is "" [code-update-strategy]`,
		"7:54: error: max_delay 86401 is not a number of seconds from 0 to 86400, to the millisecond [code-update-strategy]",
	}},

	{"wrangler ignores unknown fields", base + "durable_objects.binding = []\n", "Counter", []string{
		"7:17: warning: wrangler does not know binding here, and ignores it [unknown-field]",
	}},
	{"unknown fields in migrations and bindings", with(
		`durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter", class = "Counter" }]`,
		`migrations = [{ tag = "v1", new_sqlite_class = ["X"], new_sqlite_classes = ["Counter"], renamed_classes = [] }]`), "Counter", []string{
		"5:81: warning: wrangler does not know class here, and ignores it [unknown-field]",
		"6:29: warning: wrangler does not know new_sqlite_class here, and ignores it [unknown-field]",
	}},
}

var bindingCases = []checkCase{
	{"a binding needs a name", with(`durable_objects.bindings = [{ class_name = "Counter" }]`), "Counter", []string{
		"5:29: error: binding 1 has no name or no class_name [binding-field]",
	}},
	{"a binding needs a class", with(`durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter" }, { name = "X" }]`), "Counter", []string{
		"5:75: error: binding 2 has no name or no class_name [binding-field]",
	}},
	{"a binding's environment needs another Worker", with(`durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter", environment = "test" }]`), "Counter", []string{
		"5:87: error: binding COUNTER has an environment, but no script_name [binding-field]",
	}},
	{"a binding's name should be a variable's", with(`durable_objects.bindings = [{ name = "my-counter", class_name = "Counter" }]`), "Counter", []string{
		"5:38: warning: the name of binding my-counter is not a JavaScript identifier [binding-name]",
	}},
	{"two bindings cannot have the same name", with(`durable_objects.bindings = [{ name = "A", class_name = "Counter" }, { name = "A", class_name = "X", script_name = "y" }]`), "Counter", []string{
		"5:78: error: the name A is taken by another entry, in durable_objects [binding-name-taken]",
	}},
	{"a variable cannot have a binding's name", base + "vars = { COUNTER = 1 }", "Counter", []string{"5:38: error: the name COUNTER is taken by another entry, in vars [binding-name-taken]"}},
	{"a KV namespace cannot have a binding's name", base + "kv_namespaces = [{ binding = 'COUNTER' }]", "Counter", []string{"5:38: error: the name COUNTER is taken by another entry, in kv_namespaces [binding-name-taken]", "7:1: warning: kv_namespaces binds COUNTER, which Go code cannot reach [binding-unreachable]"}},
	{"a queue cannot have a binding's name", base + "queues.producers = [{ binding = 'COUNTER' }]", "Counter", []string{"5:38: error: the name COUNTER is taken by another entry, in queues [binding-name-taken]"}},
	{"a secret cannot have a binding's name", base + "secrets.required = ['COUNTER']", "Counter", []string{"5:38: error: the name COUNTER is taken by another entry, in secrets [binding-name-taken]"}},
	{"an AI binding cannot have a binding's name", base + "ai.binding = 'COUNTER'", "Counter", []string{"5:38: error: the name COUNTER is taken by another entry, in ai [binding-name-taken]", "7:1: warning: ai binds COUNTER, which Go code cannot reach [binding-unreachable]"}},
	{"an unsafe binding cannot have a binding's name", base + "unsafe.bindings = [{ name = 'COUNTER', type = 'x' }]", "Counter", []string{"5:38: error: the name COUNTER is taken by another entry, in unsafe [binding-name-taken]"}},
	{"a similar name is allowed", base + "vars = { counter = 1, COUNTER2 = 2 }\nkv_namespaces = [{ binding = 'KV', id = 'COUNTER' }]", "Counter", []string{"8:1: warning: kv_namespaces binds KV, which Go code cannot reach [binding-unreachable]"}},
}

var programCases = []checkCase{
	{"a bound class must be registered", base, "", []string{"5:62: error: class Counter, bound as COUNTER, is not registered by the program [class-not-registered]"}},
	{"a class of another Worker need not be registered", with(`durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter" }, { name = "X", class_name = "Theirs", script_name = "other", environment = "test" }]`), "Counter", nil},
	{"a script_name of the Worker itself requires the class", with(`durable_objects.bindings = [{ name = "X", class_name = "Mine", script_name = "hello" }]`), "Counter", []string{
		"5:56: error: class Mine, bound as X, is not registered by the program [class-not-registered]",
		"6:51: warning: class Counter is registered by the program, but not bound [class-without-binding]",
	}},

	{"a bound class needs a lifecycle entry", with(`migrations = []`), "Counter", []string{
		"5:62: error: class Counter is registered by the program, but no migration or exports entry creates it [class-without-lifecycle]",
	}},
	{"a registered class that nothing uses is a warning", base, "Counter New", []string{
		"6:1: warning: class New is registered by the program, but no migration or exports entry creates it [class-without-lifecycle]",
	}},
	{"a class without a binding is a warning", with(`durable_objects.bindings = []`), "Counter", []string{
		"6:51: warning: class Counter is registered by the program, but not bound [class-without-binding]",
	}},
	{"a live class must be registered", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter", "Lost"] }]`), "Counter", []string{
		`6:62: error: class Lost, live since migration "v1", is not registered by the program [lifecycle-without-class]`,
	}},

	{"a deleted class cannot be bound", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", deleted_classes = ["Counter"] }]`), "Counter", []string{
		`5:62: error: class Counter, bound as COUNTER, is deleted by migration "v2" [deleted-class-bound]`,
	}},
	{"a deleted class should be removed from the program", with(`durable_objects.bindings = []`, `migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", deleted_classes = ["Counter"] }]`), "Counter", []string{
		`6:98: warning: class Counter is deleted by migration "v2", but still registered by the program [deleted-class-registered]`,
	}},
	{"a deleted class need not be registered", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter", "Lost"] }, { tag = "v2", deleted_classes = ["Lost"] }]`), "Counter", nil},
	{"a renamed class cannot be bound by its old name", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", renamed_classes = [{ from = "Counter", to = "New" }] }]`, `durable_objects.bindings = [{ name = "A", class_name = "Counter" }, { name = "B", class_name = "New" }]`), "Counter New", []string{
		`5:56: error: class Counter is registered by the program, but migration "v2" has renamed it to New [class-without-lifecycle]`,
	}},
}

var historyCases = []checkCase{
	{"a renamed class lives under its new name", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Old"] }, { tag = "v2", renamed_classes = [{ from = "Old", to = "Counter" }] }]`), "Counter", nil},
	{"a class transferred from another Worker is live", with(`migrations = [{ tag = "v1", transferred_classes = [{ from = "A", from_script = "b", to = "Counter" }] }]`), "Counter", nil},
	{"a transferred class can be renamed", with(`migrations = [{ tag = "v1", transferred_classes = [{ from = "A", from_script = "b", to = "B" }] }, { tag = "v2", renamed_classes = [{ from = "B", to = "Counter" }] }]`), "Counter", nil},
	{"a transferred class can be deleted", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"], transferred_classes = [{ from = "A", from_script = "b", to = "B" }] }, { tag = "v2", deleted_classes = ["B"] }]`), "Counter", nil},
	{"a class can be deleted and created again, with another storage", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", deleted_classes = ["Counter"] }, { tag = "v3", new_sqlite_classes = ["Counter"] }]`), "Counter", nil},
	{"the old name of a renamed class can be reused", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", renamed_classes = [{ from = "Counter", to = "Old" }] }, { tag = "v3", deleted_classes = ["Old"] }, { tag = "v4", new_sqlite_classes = ["Counter"] }]`), "Counter", nil},

	{"a migration needs a tag", with(`migrations = [{ new_sqlite_classes = ["Counter"] }]`), "Counter", []string{"6:15: error: migration 1 has no tag [migration-tag]"}},
	{"an empty tag is refused", with(`migrations = [{ tag = "", new_sqlite_classes = ["Counter"] }]`), "Counter", []string{"6:23: error: migration 1 has no tag [migration-tag]"}},
	{"a tag can be used only once", with("migrations = [{ tag = \"v1\", new_sqlite_classes = [\"Counter\"] },\n  { tag = \"v1\", deleted_classes = [] }]"), "Counter", []string{
		`7:11: error: the tag "v1" is taken by an earlier migration: wrangler would not know which of them has been applied [duplicate-tag]`,
	}},
	{"numbered tags must be in order", with("migrations = [{ tag = \"v2\", new_sqlite_classes = [\"Counter\"] },\n  { tag = \"v1\", deleted_classes = [] }]"), "Counter", []string{
		`7:11: warning: the tag "v1" comes after "v2": migrations are applied in the order of the file [tag-order]`,
	}},
	{"tags need no numbers", with(`migrations = [{ tag = "second", new_sqlite_classes = ["Counter"] }, { tag = "first" }, { tag = "v9" }, { tag = "v10" }, { tag = "w1" }, { tag = "2026-11-01" }, { tag = "2027-01-01" }]`), "Counter", nil},

	{"what does not exist cannot be deleted", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"], deleted_classes = ["Lost"] }]`), "Counter", []string{
		`6:82: error: migration "v1" deletes class Lost, which no earlier migration creates [class-unknown]`,
	}},
	{"nor what exists only later", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"], deleted_classes = ["Lost"] }, { tag = "v2", new_sqlite_classes = ["Lost"] }]`), "Counter Lost", []string{
		`6:82: error: migration "v1" deletes class Lost, which no earlier migration creates [class-unknown]`,
		"6:129: warning: class Lost is registered by the program, but not bound [class-without-binding]",
	}},
	{"a class cannot be deleted twice", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter", "Lost"] }, { tag = "v2", deleted_classes = ["Lost"] }, { tag = "v3", deleted_classes = ["Lost"] }]`), "Counter", []string{
		`6:150: error: migration "v3" deletes class Lost, which migration "v2" has deleted [class-unknown]`,
	}},
	{"nor renamed", with(`migrations = [{ tag = "v1", renamed_classes = [{ from = "Lost", to = "Counter" }] }]`), "Counter", []string{
		`6:57: error: migration "v1" renames class Lost, which no earlier migration creates [class-unknown]`,
	}},
	{"a renamed class cannot be deleted under its old name", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Old"] }, { tag = "v2", renamed_classes = [{ from = "Old", to = "Counter" }] }, { tag = "v3", deleted_classes = ["Old"] }]`), "Counter", []string{
		`6:164: error: migration "v3" deletes class Old, which migration "v2" has renamed to Counter [class-unknown]`,
	}},

	{"a class is created once", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", new_sqlite_classes = ["Counter"] }]`), "Counter", []string{
		`6:101: error: migration "v2" creates class Counter, which has existed since migration "v1" [class-live]`,
	}},
	{"also in one list", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter", "Counter"] }]`), "Counter", []string{
		`6:62: error: migration "v1" creates class Counter, which has existed since migration "v1" [class-live]`,
	}},
	{"a class is not renamed onto another one", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter", "Old"] }, { tag = "v2", renamed_classes = [{ from = "Old", to = "Counter" }] }]`), "Counter", []string{
		`6:126: error: migration "v2" renames Old to class Counter, which has existed since migration "v1" [class-live]`,
	}},
	{"a class cannot be renamed to itself", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", renamed_classes = [{ from = "Counter", to = "Counter" }] }]`), "Counter", []string{
		`6:98: error: migration "v2" renames class Counter to itself [class-live]`,
	}},
	{"nor transferred onto one", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", transferred_classes = [{ from = "A", from_script = "b", to = "Counter" }] }]`), "Counter", []string{
		`6:140: error: migration "v2" transfers A of b to class Counter, which has existed since migration "v1" [class-live]`,
	}},
	{"a class cannot be transferred within one Worker", with(`migrations = [{ tag = "v1", transferred_classes = [{ from = "A", from_script = "hello", to = "Counter" }] }]`), "Counter", []string{
		`6:80: error: migration "v1" transfers class A from hello, which is this Worker itself [transfer-from-self]`,
	}},
	{"a step says all of it", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"], renamed_classes = [{ from = "A" }], transferred_classes = [{ from = "A", to = "B" }] }]`), "Counter", []string{
		`6:82: error: migration "v1" renames a class, but has no from or no to [step-field]`,
		`6:122: error: migration "v1" transfers a class, but lacks from, from_script or to [step-field]`,
	}},

	{"storage cannot be switched to SQLite", with(`migrations = [{ tag = "v1", new_classes = ["Counter"] }, { tag = "v2", new_sqlite_classes = ["Counter"] }]`), "Counter", []string{
		"6:44: warning: class Counter gets key-value storage: the Free plan does not have it, and since 2026-07-09 an account without such a class cannot create one [kv-storage]",
		`6:94: error: migration "v2" creates class Counter with SQLite storage, but migration "v1" has given it key-value storage, which cannot be switched [storage-switch]`,
	}},
	{"storage cannot be switched from SQLite", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", new_classes = ["Counter"] }]`), "Counter", []string{
		`6:94: error: migration "v2" creates class Counter with key-value storage, but migration "v1" has given it SQLite storage, which cannot be switched [storage-switch]`,
	}},
	{"storage cannot be switched after a rename", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Old"] }, { tag = "v2", renamed_classes = [{ from = "Old", to = "Counter" }] }, { tag = "v3", new_classes = ["Counter"] }]`), "Counter", []string{
		`6:160: error: migration "v3" creates class Counter with key-value storage, but migration "v2" has given it SQLite storage, which cannot be switched [storage-switch]`,
	}},
	{"one migration cannot give a class two storages", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"], new_classes = ["Counter"] }]`), "Counter", []string{
		`6:51: error: migration "v1" creates class Counter with SQLite storage, but migration "v1" has given it key-value storage, which cannot be switched [storage-switch]`,
		"6:78: warning: class Counter gets key-value storage: the Free plan does not have it, and since 2026-07-09 an account without such a class cannot create one [kv-storage]",
	}},
	{"one migration should not delete and create a class", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", deleted_classes = ["Counter"], new_sqlite_classes = ["Counter"] }]`), "Counter", []string{
		`6:132: warning: migration "v2" names class Counter twice: Cloudflare does not document the order of the steps in one migration [class-twice]`,
	}},
	{"a class must have a name that JavaScript can export", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2", new_sqlite_classes = ["my-class"] }, { tag = "v3", deleted_classes = ["my-class"] }]`), "Counter", []string{
		`6:101: error: "my-class" cannot be the name of a class [class-name]`,
	}},
}

var exportCases = []checkCase{
	{"exports give a class its lifecycle", declares(counterLive), "Counter", nil},
	{"a class in exports must be registered", with(`migrations = []`, `durable_objects.bindings = []`) + counterLive, "", []string{
		"7:10: error: class Counter, live since exports, is not registered by the program [lifecycle-without-class]",
	}},
	{"a Go program has no other kinds of exports", declares("[exports.Api]\ntype = 'worker'\n[exports.Flow]\ntype = 'workflow'\nname = 'x'\n" + counterLive), "Counter", []string{
		"7:10: error: Api in exports is a worker, which a Go program does not export [entrypoint-missing]",
		"9:10: error: Flow in exports is a workflow, which a Go program does not export [entrypoint-missing]",
	}},
	{"exports exclude migrations", base + counterLive, "Counter", []string{
		"7:2: error: classes are declared both in migrations and in exports [exports-and-migrations]",
	}},
	{"an export needs a type", declares(counterLive + "[exports.X]\ntype = 'durable_object'\n"), "Counter", []string{
		`11:8: error: the type of X in exports is "durable_object" [export-type]`,
	}},
	{"a live class needs a storage", declares("[exports.Counter]\ntype = 'durable-object'\n"), "Counter", []string{
		`7:10: error: the storage of Counter in exports is "" [export-storage]`,
	}},
	{"a storage must be one of two", declares("[exports.Counter]\ntype = 'durable-object'\nstorage = 'kv'\n"), "Counter", []string{
		`9:11: error: the storage of Counter in exports is "kv" [export-storage]`,
	}},
	{"key-value storage is for what has it", declares("[exports.Counter]\ntype = 'durable-object'\nstorage = 'legacy-kv'\n"), "Counter", []string{
		"9:11: warning: class Counter gets key-value storage: the Free plan does not have it, and since 2026-07-09 an account without such a class cannot create one [kv-storage]",
	}},
	{"a state must be one of five", declares(counterLive + "state = 'gone'\n"), "Counter", []string{
		`10:9: error: the state of Counter in exports is "gone" [export-state]`,
	}},
	{"each state needs its fields", declares(counterLive + "[exports.A]\ntype = 'durable-object'\nstate = 'renamed'\n[exports.B]\ntype = 'durable-object'\nstate = 'transferred'\n[exports.C]\ntype = 'durable-object'\nstorage='sqlite'\nstate = 'expecting-transfer'\n"), "Counter C", []string{
		"10:10: error: A in exports has no renamed_to, which the state renamed needs [export-field]",
		"13:10: error: B in exports has no transferred_to, which the state transferred needs [export-field]",
		"16:10: error: C in exports has no transfer_from, which the state expecting-transfer needs [export-field]",
	}},
	{"and no others", declares(counterLive + "renamed_to = 'X'\n[exports.Old]\ntype = 'durable-object'\nstate = 'deleted'\nstorage = 'sqlite'\n"), "Counter", []string{
		"10:14: error: Counter in exports has renamed_to, which the state created does not allow [export-field]",
		"14:11: error: Old in exports has storage, which the state deleted does not allow [export-field]",
	}},
	{"a class can be renamed to a live class", declares(counterLive + "[exports.Old]\ntype = 'durable-object'\nstate = 'renamed'\nrenamed_to = 'Counter'\n"), "Counter", nil},
	{"during a rename the program may have both classes", declares(counterLive + "[exports.Old]\ntype = 'durable-object'\nstate = 'renamed'\nrenamed_to = 'Counter'\n"), "Counter Old", nil},
	{"before a rename the new class is registered but not declared", declares(counterLive), "Counter New", []string{
		"7:2: warning: class New is registered by the program, but no migration or exports entry creates it [class-without-lifecycle]",
	}},
	{"a class cannot be renamed to an unknown class", declares(counterLive + "[exports.Old]\ntype = 'durable-object'\nstate = 'renamed'\nrenamed_to = 'New'\n"), "Counter", []string{
		"13:14: error: Old in exports is renamed to New, which is not a live class in exports [export-rename-target]",
	}},
	{"a class cannot be renamed to a deleted class", declares(counterLive + "[exports.Old]\ntype = 'durable-object'\nstate = 'renamed'\nrenamed_to = 'New'\n[exports.New]\ntype = 'durable-object'\nstate = 'deleted'\n"), "Counter", []string{
		"13:14: error: Old in exports is renamed to New, which is not a live class in exports [export-rename-target]",
	}},
	{"a transferred class may stay in the program", declares(counterLive + "[exports.Old]\ntype = 'durable-object'\nstate = 'transferred'\ntransferred_to = 'other'\n"), "Counter Old", nil},
	{"a binding to a transferred class needs the other Worker's name", declares("[exports.Counter]\ntype = 'durable-object'\nstate = 'transferred'\ntransferred_to = 'other'\n"), "Counter", []string{
		"5:62: warning: class Counter is registered by the program, but exports has transferred it to other [class-without-lifecycle]",
	}},
	{"an expected class should not be bound yet", declares("[exports.Counter]\ntype = 'durable-object'\nstate = 'expecting-transfer'\nstorage = 'sqlite'\ntransfer_from = 'other'\n"), "Counter", []string{
		"5:62: warning: class Counter, bound as COUNTER, is yet to be transferred to this Worker [pending-class-bound]",
	}},
	{"an expected class need not be bound", strings.Replace(declares("[exports.Counter]\ntype = 'durable-object'\nstate = 'expecting-transfer'\nstorage = 'sqlite'\ntransfer_from = 'other'\n"), `{ name = "COUNTER", class_name = "Counter" }`, "", 1), "Counter", nil},
	{"a Worker cannot transfer a class to itself", declares(counterLive + "[exports.In]\ntype = 'durable-object'\nstate = 'expecting-transfer'\nstorage = 'sqlite'\ntransfer_from = 'hello'\n[exports.Out]\ntype = 'durable-object'\nstate = 'transferred'\ntransferred_to = 'hello'\n"), "Counter In", []string{
		"14:17: error: the transfer_from of In in exports is hello, which is this Worker itself [transfer-from-self]",
		"18:18: error: the transferred_to of Out in exports is hello, which is this Worker itself [transfer-from-self]",
	}},
	{"a class deleted by exports must not be registered", declares(counterLive + "[exports.Old]\ntype = 'durable-object'\nstate = 'deleted'\n"), "Counter Old", []string{
		"10:10: error: class Old is deleted by exports, but still registered by the program [deleted-class-registered]",
	}},
	{"a class deleted by exports cannot be bound", declares("[exports.Counter]\ntype = 'durable-object'\nstate = 'deleted'\n"), "Counter", []string{
		"5:62: error: class Counter, bound as COUNTER, is deleted by exports [deleted-class-bound]",
	}},
	{"a live class may have a container", declares(counterLive + "container = 'x'\n"), "Counter", nil},
}

const testEnv = "[env.test]\ndurable_objects.bindings = [{ name = 'COUNTER', class_name = 'Counter' }]\n"

var environmentCases = []checkCase{
	{"an environment inherits everything except bindings", base + testEnv, "Counter", nil},
	{"an environment without bindings is a warning", base + "[env.test]\nvars = {}", "Counter", []string{
		"7:6: warning: env.test: durable_objects is set at the top level, but not here: environments do not inherit it [bindings-not-inherited]",
	}},
	{"an environment may have an empty list of bindings", base + "[env.test]\ndurable_objects.bindings = []\nmigrations = []\n", "Counter", []string{
		"9:1: warning: env.test: class Counter is registered by the program, but no migration or exports entry creates it [class-without-lifecycle]",
	}},
	{"an environment may have its own migrations", base + testEnv + "[[env.test.migrations]]\ntag = 't1'\nnew_sqlite_classes = ['Counter']\n", "Counter", nil},
	{"an environment's migrations are checked too", base + testEnv + "[[env.test.migrations]]\nnew_sqlite_classes = ['Counter']\n", "Counter", []string{
		"9:12: error: env.test: migration 1 has no tag [migration-tag]",
	}},
	{"what comes from the top level is reported there", with(`main = "index.js"`) + testEnv, "Counter", []string{
		`3:8: error: main is "index.js", which capdo does not build [main]`,
	}},
	{"a problem of an environment is reported there", base + "[env.a]\ndurable_objects.bindings = [{ name = 'X', class_name = 'Lost' }]\n", "Counter", []string{
		"6:51: warning: env.a: class Counter is registered by the program, but not bound [class-without-binding]",
		"8:56: error: env.a: class Lost, bound as X, is not registered by the program [class-not-registered]",
	}},
	{"exports of an environment exclude inherited migrations", base + testEnv + "[env.test.exports.Counter]\ntype = 'durable-object'\nstorage = 'sqlite'\n", "Counter", []string{
		"9:11: error: env.test: classes are declared both in migrations and in exports [exports-and-migrations]",
	}},
	{"exports of an environment allow an empty list of migrations", base + testEnv + "migrations = []\n[env.test.exports.Counter]\ntype = 'durable-object'\nstorage = 'sqlite'\n", "Counter", nil},
	{"an environment's variable reserves no name elsewhere", base + testEnv + "[env.prod]\nvars.COUNTER = 1\ndurable_objects.bindings = [{ name = 'C', class_name = 'Counter' }]\n", "Counter", nil},
	{"but within it", base + testEnv + "vars.COUNTER = 1\n", "Counter", []string{
		"8:38: error: env.test: the name COUNTER is taken by another entry, in vars [binding-name-taken]",
	}},
	{"assets are inherited by environments", base + "assets.binding = 'ASSETS'\n[env.test]\ndurable_objects.bindings = [{ name = 'ASSETS', class_name = 'Counter' }]\n", "Counter", []string{
		"7:1: warning: assets binds ASSETS, which Go code cannot reach [binding-unreachable]",
		"9:38: error: env.test: the name ASSETS is taken by another entry, in assets [binding-name-taken]",
	}},
	{"an environment's Worker has a name of its own", base + "[env.test]\ndurable_objects.bindings = [{ name = 'A', class_name = 'Mine', script_name = 'hello' }, { name = 'B', class_name = 'Ours', script_name = 'hello-test' }]\nmigrations = []", "", []string{
		"5:62: error: class Counter, bound as COUNTER, is not registered by the program [class-not-registered]",
		"8:116: error: env.test: class Ours, bound as B, is not registered by the program [class-not-registered]",
	}},
	{"an environment may use the objects of the top level's Worker", base + "[env.another]\ndurable_objects.bindings = [{ name = 'A', class_name = 'Counter', script_name = 'hello' }]\n", "Counter", nil},
	{"limits are inherited", base + "limits.cpu_ms = 1\n" + testEnv, "Counter", []string{
		"7:17: warning: cpu_ms needs a Workers Paid plan: on the Free plan Cloudflare refuses the deploy, whatever the value [cpu-limit-plan]",
	}},
}

func TestEveryRuleHasACase(t *testing.T) {
	want := slices.Clone(Rules)
	for _, tt := range checkCases {
		for _, line := range tt.want {
			rule := line[strings.LastIndex(line, "[")+1 : len(line)-1]
			want = slices.DeleteFunc(want, func(r string) bool { return r == rule })
		}
	}
	if diff := cmp.Diff([]string{"request-signal"}, want); diff != "" { // which has its own test
		t.Errorf("rules without a case: (-want +got)\n%s", diff)
	}
}

func TestEveryRuleIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/migrations.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (error|warning)").FindAllStringSubmatch(string(doc), -1) {
		got = append(got, row[1])
	}
	if diff := cmp.Diff(Rules, got); diff != "" {
		t.Errorf("docs/migrations.md (-rules +documented)\n%s", diff)
	}
}

func TestOneEnvironmentCanBeCheckedAlone(t *testing.T) {
	c := load(t, "wrangler.toml", with(`main = "index.js"`)+testEnv)
	env, err := c.Environment("test")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`3:8: error: env.test: main is "index.js", which capdo does not build [main]`}
	if diff := cmp.Diff(want, lines(Check(env, program("Counter"), today))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFetchNeedsEnableRequestSignal(t *testing.T) {
	d := program("Counter")
	d.Fetch = true
	want := map[string][]string{
		`compatibility_flags = []`:                        {"7:1: warning: enable_request_signal is not set: the context of a handler will not end when its client disconnects [request-signal]"},
		`compatibility_flags = ["enable_request_signal"]`: nil,
	}
	for flags, want := range want {
		if diff := cmp.Diff(want, lines(Check(load(t, "wrangler.toml", base+flags), d, today))); diff != "" {
			t.Errorf("%s (-want +got)\n%s", flags, diff)
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
		{"no lifecycle where exports are used", declares("[exports.Other]\ntype = 'durable-object'\nstate = 'deleted'\n"), "Counter", `add to exports: "Counter" with type "durable-object" and storage "sqlite"`},
		{"no binding", with(`durable_objects.bindings = []`), "Counter", `unless only other Workers use it, add to durable_objects.bindings: name "COUNTER", class_name "Counter"`},
		{"a tag that is taken", with(`migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }, { tag = "v2" }, { tag = "v2" }]`), "Counter", `give it a unique tag, such as "v3"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			problems := Check(load(t, "wrangler.toml", tt.config), program(tt.classes), today)
			if len(problems) == 0 || problems[0].Hint != tt.want {
				t.Errorf("problems are %+v\nwant first hint: %s", problems, tt.want)
			}
		})
	}
}

// The rules must also hold for configs that nobody would write.
func FuzzCheck(f *testing.F) {
	for _, tt := range checkCases {
		f.Add(tt.config)
	}
	f.Fuzz(func(t *testing.T, config string) {
		path := writeConfig(t, "wrangler.toml", config)
		c, err := Load(path)
		if err != nil {
			return
		}
		for _, p := range CheckAll(c, program("Counter Other()"), today) {
			if p.Message == "" || p.Hint == "" || p.Line < 1 || p.Column < 1 || !slices.Contains(Rules, p.Rule) {
				t.Errorf("%+v", p)
			}
		}
	})
}
