package wrangler

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/internal/shim"
)

// Severity distinguishes failures from oddities.
type Severity string

// An Error fails in wrangler, at Cloudflare or at run time; a Warning may not
// fail.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is one problem of a config.
type Problem struct {
	File string `json:"file"`
	Position
	Env      string   `json:"env"`  // the environment, or "" for the top level
	Rule     string   `json:"rule"` // one of Rules
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint"` // how to solve it
}

// String returns the problem on one line, in the form of compilers, without the
// hint.
func (p Problem) String() string {
	env := ""
	if p.Env != "" {
		env = "env." + p.Env + ": "
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s%s [%s]", p.File, p.Line, p.Column, p.Severity, env,
		p.Message, p.Rule)
}

// Rules are the names of all rules. docs/migrations.md explains each, with its
// source.
var Rules = []string{
	"main", "compatibility-date", "compatibility-flag", "request-signal", "cpu-limit",
	"cpu-limit-plan", "code-update-strategy", "unknown-field", "no-handler", "handler-without-trigger",
	"cron", "queue-consumer", "entrypoint-missing",
	"binding-field", "binding-name", "binding-name-taken", "bindings-not-inherited", "binding-unreachable",
	"migration-tag", "duplicate-tag", "tag-order", "step-field", "class-name", "class-unknown",
	"class-live", "class-twice", "storage-switch",
	"kv-storage", "transfer-from-self",
	"exports-and-migrations", "export-type", "export-state", "export-storage", "export-field",
	"export-rename-target",
	"class-not-registered", "class-without-lifecycle", "class-without-binding",
	"lifecycle-without-class", "deleted-class-bound",
	"deleted-class-registered", "pending-class-bound",
}

// EntryModule is the file that a config's main names. capdo build generates it,
// in a folder that the user chooses.
const EntryModule = "entry.mjs"

// Out returns the folder to build to. It is the folder of main; if main is not
// an entry.mjs, it is build beside the config.
func (c *Config) Out() string {
	main := "build/" + EntryModule
	if path.Base(filepath.ToSlash(c.Main)) == EntryModule {
		main = c.Main
	}
	if filepath.IsAbs(main) {
		return filepath.Dir(main)
	}
	return filepath.Join(filepath.Dir(c.Path), filepath.Dir(main))
}

// Check compares a config, or one of its environments, with what the program
// registers. It returns the problems in the order of the file. A compatibility
// date after now is in the future.
func Check(c *Config, program shim.Description, now time.Time) []Problem {
	k := &checker{Config: c, program: program, now: now, classes: map[string]*lifecycle{},
		bound: map[string]int{}, registered: map[string]bool{}}
	for i, b := range c.DurableObjects.Bindings {
		if _, ok := k.bound[b.ClassName]; !ok && b.ClassName != "" &&
			(b.ScriptName == "" || b.ScriptName == c.Name) {
			k.bound[b.ClassName] = i
		}
	}
	for _, class := range program.Classes {
		k.registered[class.Name] = true
	}
	for _, rules := range []func(*checker){
		(*checker).main, (*checker).compatibilityDate, (*checker).compatibilityFlags,
		(*checker).requestSignal,
		(*checker).cpuLimit, (*checker).codeUpdateStrategy, (*checker).unknownFields,
		(*checker).handlers, (*checker).crons, (*checker).consumers, (*checker).entrypoints,
		(*checker).bindingFields, (*checker).bindingNames, (*checker).bindingsNotInherited,
		(*checker).unreachableBindings,
		(*checker).tags, (*checker).replay, (*checker).oneKindOfLifecycle, (*checker).exports,
		(*checker).boundClasses, (*checker).registeredClasses, (*checker).liveClasses,
	} {
		rules(k)
	}
	slices.SortStableFunc(k.problems,
		func(a, b Problem) int { return a.Position.compare(b.Position) })
	return k.problems
}

// CheckAll checks the top level and then each environment. It reports a problem
// only once if an environment inherits it from the top level.
func CheckAll(c *Config, program shim.Description, now time.Time) []Problem {
	problems := Check(c, program, now)
	top := map[Problem]bool{}
	for _, p := range problems {
		top[p] = true
	}
	for _, name := range sortedKeys(c.Environments) {
		for _, p := range Check(c.Environments[name], program, now) {
			inherited := p
			inherited.Env = ""
			if !top[inherited] {
				problems = append(problems, p)
			}
		}
	}
	return problems
}

// checker is the rules' input, and collects the problems that they find.
type checker struct {
	*Config
	program    shim.Description
	now        time.Time
	classes    map[string]*lifecycle // each class's state according to migrations and exports
	bound      map[string]int        // class of this Worker → its first binding
	registered map[string]bool       // classes that the program registers
	freeTag    string                // see nextTag
	problems   []Problem
}

// add reports a problem of the entry at a path; Config.path returns such paths.
func (k *checker) add(s Severity, rule, path, message, hint string) {
	k.problems = append(k.problems,
		Problem{k.Path, k.positions.find(path), k.Env, rule, s, message, hint})
}

func (k *checker) main() {
	hint := fmt.Sprintf("set main to \"build/%s\", which capdo build writes", EntryModule)
	switch {
	case k.Main == "":
		k.add(Error, "main", k.path("main"), "there is no main", hint)
	case path.Base(filepath.ToSlash(k.Main)) != EntryModule:
		k.add(Error, "main", k.path("main"),
			fmt.Sprintf("main is %q, which capdo does not build", k.Main), hint)
	}
}

func (k *checker) compatibilityDate() {
	at := k.path("compatibility_date")
	hint := "set compatibility_date to a recent date, " + flags[0].from + " or later"
	date, err := time.Parse(time.DateOnly, k.CompatibilityDate)
	switch {
	case k.CompatibilityDate == "":
		k.add(Error, "compatibility-date", at, "there is no compatibility_date", hint)
	case err != nil:
		k.add(Error, "compatibility-date", at,
			fmt.Sprintf("compatibility_date %q is not a date like %s", k.CompatibilityDate,
				flags[0].from), hint)
	case date.After(k.now.UTC()):
		k.add(Error, "compatibility-date", at,
			"compatibility_date "+k.CompatibilityDate+" is in the future",
			"set it to today's date in UTC, or an earlier one")
	}
}

// flag is a compatibility flag that a program may need
// (https://developers.cloudflare.com/workers/configuration/compatibility-flags/).
type flag struct {
	name string
	off  string                        // the flag that turns it off
	from string                        // the date from which it is on by default
	need func(shim.Description) string // what needs it, or ""
}

// flags lists the flags, the latest first.
var flags = []flag{
	// Errors of methods keep their name and properties on the way to the
	// caller. Without this flag, errors that a caller acts on arrive as plain
	// errors.
	{"enhanced_error_serialization", "legacy_error_serialization", "2026-04-21", methodsNeed},
	// deleteAll deletes the alarm, as durable.Storage.DeleteAll promises.
	{"delete_all_deletes_alarm", "delete_all_preserves_alarm", "2026-02-24", func(d shim.Description) string {
		for _, c := range d.Classes {
			if slices.Contains(c.Events, "alarm") {
				return fmt.Sprintf("the alarms of class %s need", c.Name)
			}
		}
		return ""
	}},
	// workerd runs a promise's continuation in the context that awaits it, even
	// if another one resolves the promise. The Go runtime needs that.
	{"handle_cross_request_promise_resolution", "no_handle_cross_request_promise_resolution",
		"2024-10-14", func(shim.Description) string { return "Go programs need" }},
	// Stubs have methods. Without this flag, a call fails with "is not a
	// function".
	{"rpc", "no_rpc", "2024-04-03", methodsNeed},
}

func methodsNeed(d shim.Description) string {
	for _, c := range d.Classes {
		if len(c.Methods) > 0 {
			return fmt.Sprintf("the methods of class %s need", c.Name)
		}
	}
	return ""
}

func (k *checker) compatibilityFlags() {
	tooOld := false
	for _, f := range flags {
		need := f.need(k.program)
		if need == "" {
			continue
		}
		if i := slices.Index(k.CompatibilityFlags, f.off); i >= 0 {
			k.add(Error, "compatibility-flag", k.path("compatibility_flags",
				i), fmt.Sprintf("%s turns off a feature that %s", f.off, need),
				"take it out of compatibility_flags")
			continue
		}
		_, err := time.Parse(time.DateOnly, k.CompatibilityDate)
		if err != nil || k.CompatibilityDate >= f.from ||
			slices.Contains(k.CompatibilityFlags, f.name) || tooOld {
			continue
		}
		tooOld = true // one later date satisfies all flags
		k.add(Error, "compatibility-flag", k.path("compatibility_date"),
			fmt.Sprintf("compatibility_date %s is too old: %s %s, which is on from %s",
				k.CompatibilityDate, need, f.name, f.from),
			fmt.Sprintf("set compatibility_date to %s or later, or add %q to compatibility_flags",
				f.from, f.name))
	}
}

// requestSignalFlag makes workerd notify a Worker when its client has
// disconnected
// (https://developers.cloudflare.com/changelog/2025-05-22-handle-request-cancellation).
const requestSignalFlag = "enable_request_signal"

func (k *checker) requestSignal() {
	if k.program.Fetch && !slices.Contains(k.CompatibilityFlags, requestSignalFlag) {
		k.add(Warning, "request-signal", k.path("compatibility_flags"), requestSignalFlag+
			" is not set: the context of a handler will not end when its client disconnects",
			fmt.Sprintf("add %q to compatibility_flags", requestSignalFlag))
	}
}

// maxCPU is 5 minutes, in ms.
const maxCPU = 300_000

func (k *checker) cpuLimit() {
	at := k.path("limits", "cpu_ms")
	if !k.positions.has(at) {
		return
	}
	if ms := k.Limits.CPUMs; ms < 1 || ms > maxCPU || ms != math.Trunc(ms) {
		k.add(Error, "cpu-limit", at,
			fmt.Sprintf("cpu_ms %v is not a whole number from 1 to %d", ms, maxCPU),
			"the largest value is 300000 ms, 5 minutes; the default is 30000")
	}
	k.add(Warning, "cpu-limit-plan", at,
		"cpu_ms needs a Workers Paid plan: on the Free plan Cloudflare refuses the deploy, "+
			"whatever the value",
		"leave limits out for an account on the Free plan: its limit is fixed")
}

// maxDelay is 24 hours, in seconds.
const maxDelay = 86_400

func (k *checker) codeUpdateStrategy() {
	s := k.DurableObjects.CodeUpdateStrategy
	if s == nil {
		return
	}
	if s.Mode != "immediate" && s.Mode != "deferred" {
		k.add(Error, "code-update-strategy", k.path("durable_objects", "code_update_strategy",
			"mode"), fmt.Sprintf("the mode of code_update_strategy is %q", s.Mode),
			`set it to "immediate" or "deferred"`)
	}
	if ms := s.MaxDelay * 1000; s.MaxDelay < 0 || s.MaxDelay > maxDelay ||
		math.Abs(ms-math.Round(ms)) > 1e-6 {
		k.add(Error, "code-update-strategy", k.path("durable_objects",
			"code_update_strategy", "max_delay"),
			fmt.Sprintf("max_delay %v is not a number of seconds from 0 to %d, to the millisecond",
				s.MaxDelay, maxDelay), "leave it out for 300 s")
	}
}

// known are the keys of those tables about Durable Objects in which wrangler
// reports unknown keys. A name that ends in * stands for each table of an
// array.
var known = map[string][]string{
	"durable_objects":                      {"bindings", "code_update_strategy"},
	"durable_objects.bindings.*":           {"name", "class_name", "script_name", "environment"},
	"durable_objects.code_update_strategy": {"mode", "max_delay"},
	"migrations.*": {"tag", "new_classes", "new_sqlite_classes",
		"renamed_classes", "deleted_classes", "transferred_classes"},
}

func (k *checker) unknownFields() {
	for _, table := range sortedKeys(known) {
		array, isArray := strings.CutSuffix(table, ".*")
		at := k.path(strings.ReplaceAll(array, ".", separator))
		if !isArray {
			k.unknownField(at, known[table])
			continue
		}
		for _, i := range k.positions.keys(at) {
			k.unknownField(join(at, i), known[table])
		}
	}
}

func (k *checker) unknownField(table string, known []string) {
	for _, key := range k.positions.keys(table) {
		if !slices.Contains(known, key) {
			k.add(Warning, "unknown-field", join(table, key),
				fmt.Sprintf("wrangler does not know %s here, and ignores it", key),
				"known keys are "+strings.Join(known, ", "))
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, cmp.Compare)
	return keys
}
