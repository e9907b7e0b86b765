package wrangler

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/internal/shim"
)

// Severity tells what would fail from what is only odd.
type Severity string

// An Error fails in wrangler or at run time; a Warning need not.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is one thing that is wrong with a config.
type Problem struct {
	Rule     string   `json:"rule"` // its name, such as "class-not-registered"
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint"` // what to do
}

// EntryModule is the file that a config's main names: what capdo build generates, in a folder of the user's choice.
const EntryModule = "entry.mjs"

// Out returns the folder of main, which is the one to build to: build, beside the config, where main is no entry.mjs.
func (c *Config) Out() string {
	main := "build/" + EntryModule
	if path.Base(filepath.ToSlash(c.Main)) == EntryModule {
		main = c.Main
	}
	return filepath.Join(filepath.Dir(c.Path), filepath.Dir(main))
}

// Check compares a config with what the program registers, and returns what is wrong in the order of the rules.
func Check(c *Config, program shim.Description) []Problem {
	k := &checker{
		Config:     c,
		file:       filepath.Base(c.Path),
		live:       c.lifecycles(),
		fetches:    program.Fetch,
		bound:      map[string]string{},
		registered: map[string]bool{},
	}
	for _, b := range c.DurableObjects.Bindings {
		if b.ScriptName == "" || b.ScriptName == c.Name {
			k.bound[b.ClassName] = b.Name
		}
	}
	for _, class := range program.Classes {
		k.registered[class.Name] = true
	}
	for _, rule := range rules {
		rule(k)
	}
	return k.problems
}

var rules = []func(*checker){
	(*checker).main,
	(*checker).compatibilityDate,
	(*checker).requestSignal,
	(*checker).oneKindOfLifecycle,
	(*checker).boundClasses,
	(*checker).registeredClasses,
	(*checker).liveClasses,
}

// checker is what the rules look at, and where they put what they find.
type checker struct {
	*Config
	file       string
	live       map[string]lifecycle
	fetches    bool              // the program serves the Worker's fetch
	bound      map[string]string // class of this Worker → binding
	registered map[string]bool
	problems   []Problem
}

func (k *checker) add(s Severity, rule, message, hint string) {
	k.problems = append(k.problems, Problem{rule, s, message, hint})
}

func (k *checker) main() {
	hint := fmt.Sprintf("in %s set main to \"build/%s\", which capdo build writes", k.file, EntryModule)
	switch {
	case k.Main == "":
		k.add(Error, "main", k.file+" has no main", hint)
	case path.Base(filepath.ToSlash(k.Main)) != EntryModule:
		k.add(Error, "main", fmt.Sprintf("main in %s is %q, which is not what capdo builds", k.file, k.Main), hint)
	}
}

// oldest is the date from which workerd runs a promise's continuation in the context that awaits it, whoever resolves it
// (https://developers.cloudflare.com/workers/configuration/compatibility-flags/). The Go runtime rests on that.
const oldest, crossRequest = "2024-10-14", "handle_cross_request_promise_resolution"

func (k *checker) compatibilityDate() {
	hint := fmt.Sprintf("in %s set compatibility_date to a recent date, %s or later", k.file, oldest)
	if _, err := time.Parse(time.DateOnly, k.CompatibilityDate); err != nil {
		message := k.file + " has no compatibility_date"
		if k.CompatibilityDate != "" {
			message = fmt.Sprintf("compatibility_date %q in %s is not a date like %s", k.CompatibilityDate, k.file, oldest)
		}
		k.add(Error, "compatibility-date", message, hint)
		return
	}
	if slices.Contains(k.CompatibilityFlags, "no_"+crossRequest) {
		k.add(Error, "compatibility-date", fmt.Sprintf("%s turns %s off, which Go programs need", k.file, crossRequest),
			"take no_"+crossRequest+" out of compatibility_flags")
		return
	}
	if k.CompatibilityDate < oldest && !slices.Contains(k.CompatibilityFlags, crossRequest) {
		k.add(Error, "compatibility-date", fmt.Sprintf("compatibility_date %s in %s is too old: Go programs need %s, which is on from %s",
			k.CompatibilityDate, k.file, crossRequest, oldest), hint)
	}
}

// requestSignalFlag makes workerd tell a Worker that its client has disconnected
// (https://developers.cloudflare.com/changelog/2025-05-22-handle-request-cancellation).
const requestSignalFlag = "enable_request_signal"

func (k *checker) requestSignal() {
	if k.fetches && !slices.Contains(k.CompatibilityFlags, requestSignalFlag) {
		k.add(Warning, "request-signal", fmt.Sprintf("%s does not set %s: the context of a handler will not end when its client disconnects", k.file, requestSignalFlag),
			fmt.Sprintf("add %q to compatibility_flags", requestSignalFlag))
	}
}

func (k *checker) oneKindOfLifecycle() {
	if len(k.durableExports()) > 0 && len(k.Migrations) > 0 {
		k.add(Error, "exports-and-migrations", k.file+" declares Durable Object classes both in migrations and in exports",
			"keep migrations; or, if exports has been deployed, keep that: there is no way back from it")
	}
}

// boundClasses: a class of this Worker that a binding names must be in the program.
func (k *checker) boundClasses() {
	for _, class := range slices.Sorted(maps.Keys(k.bound)) {
		if !k.registered[class] {
			k.add(Error, "class-not-registered", fmt.Sprintf("class %s, bound as %s in %s, is not registered by the program", class, k.bound[class], k.file),
				fmt.Sprintf("%s; or give the binding the script_name of the Worker that has it", k.howToRegister(class)))
		}
	}
}

// registeredClasses: a class of the program needs a lifecycle entry, and to be of use mostly a binding.
func (k *checker) registeredClasses() {
	for _, class := range slices.Sorted(maps.Keys(k.registered)) {
		_, isLive := k.live[class]
		_, isBound := k.bound[class]
		switch {
		case !isLive:
			k.add(Error, "class-without-lifecycle", fmt.Sprintf("class %s is registered by the program, but %s has no migration or exports entry that creates it", class, k.file),
				k.howToCreate(class))
		case !isBound:
			k.add(Warning, "class-without-binding", fmt.Sprintf("class %s is registered by the program, but %s does not bind it", class, k.file),
				fmt.Sprintf("unless only other Workers use it, add to durable_objects.bindings: name %q, class_name %q", strings.ToUpper(class), class))
		}
	}
}

// liveClasses: a class that the config creates must be in the program. Where it is bound too, boundClasses has said so.
func (k *checker) liveClasses() {
	for _, class := range slices.Sorted(maps.Keys(k.live)) {
		if _, isBound := k.bound[class]; isBound || k.registered[class] {
			continue
		}
		k.add(Error, "lifecycle-without-class", fmt.Sprintf("class %s, from %s in %s, is not registered by the program", class, k.live[class].origin, k.file),
			fmt.Sprintf("%s; or end it: %s", k.howToRegister(class), k.howToDelete(class)))
	}
}

func (k *checker) howToRegister(class string) string {
	names := slices.Sorted(maps.Keys(k.registered))
	if len(names) == 0 {
		return fmt.Sprintf("call durable.Register(%q, …) in main", class)
	}
	return fmt.Sprintf("call durable.Register(%q, …) in main, which registers %s", class, strings.Join(names, ", "))
}

func (k *checker) howToCreate(class string) string {
	if len(k.durableExports()) > 0 {
		return fmt.Sprintf("add to exports: %q with type \"durable-object\" and storage \"sqlite\"", class)
	}
	return fmt.Sprintf("add a migration with a new tag and new_sqlite_classes [%q]", class)
}

func (k *checker) howToDelete(class string) string {
	if k.live[class].origin == "exports" {
		return `give it the state "deleted" or "renamed"`
	}
	return fmt.Sprintf("add a migration with a new tag and deleted_classes [%q] (its objects' data goes), or renamed_classes", class)
}
