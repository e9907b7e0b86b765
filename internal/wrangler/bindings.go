package wrangler

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"flow.internal/capdo/internal/jsname"
)

func (k *checker) bindingFields() {
	for i, b := range k.DurableObjects.Bindings {
		at := k.path("durable_objects", "bindings", i)
		if b.Name == "" || b.ClassName == "" {
			k.add(Error, "binding-field", at,
				fmt.Sprintf("binding %d has no name or no class_name", i+1), "give it both")
		}
		if b.Environment != "" && b.ScriptName == "" {
			k.add(Error, "binding-field", join(at, "environment"),
				fmt.Sprintf("binding %s has an environment, but no script_name", b.Name),
				"add the script_name of the Worker that has the class, or leave environment out")
		}
		if b.Name != "" && !jsname.IsIdentifier(b.Name) {
			k.add(Warning, "binding-name", join(at, "name"),
				fmt.Sprintf("the name of binding %s is not a JavaScript identifier", b.Name),
				"a name has letters, digits, _ and $, and does not begin with a digit")
		}
	}
}

// kinds are the keys of a config that define bindings, if wrangler compares
// their names.
var kinds = []string{
	"durable_objects", "kv_namespaces", "queues", "d1_databases", "vectorize",
	"ai_search_namespaces", "ai_search", "agent_memory", "hyperdrive",
	"r2_buckets", "logfwdr", "services", "analytics_engine_datasets", "browser", "analytics", "ai",
	"images", "stream", "media",
	"version_metadata", "unsafe", "vars", "secrets", "dispatch_namespaces", "mtls_certificates",
	"workflows", "pipelines", "k2",
	"secrets_store_secrets", "artifacts", "assets", "flagship", "worker_loaders",
	"vpc_services", "vpc_networks",
}

// Queues returns the names of the bindings to which the Worker sends messages.
func (c *Config) Queues() []string { return namesOf("queues", c.raw["queues"]) }

// bindingNames: bindings, variables and secrets of a Worker share one set of
// names, so each name must be unique.
func (k *checker) bindingNames() {
	taken := map[string]string{}
	for _, kind := range kinds[1:] {
		for _, name := range namesOf(kind, k.raw[kind]) {
			taken[name] = kind
		}
	}
	for i, b := range k.DurableObjects.Bindings {
		if other, ok := taken[b.Name]; ok && b.Name != "" {
			k.add(Error, "binding-name-taken", k.path("durable_objects", "bindings", i, "name"),
				fmt.Sprintf("the name %s is taken by another entry, in %s", b.Name, other),
				"bindings, vars and secrets need names of their own")
		}
		taken[b.Name] = "durable_objects"
	}
}

// namesOf returns the names of the bindings that a key of the config defines.
func namesOf(kind string, v any) []string {
	table, _ := v.(map[string]any)
	switch {
	case kind == "vars":
		return slices.Collect(maps.Keys(table))
	case kind == "queues":
		return stringsOf(table["producers"], "binding")
	case kind == "secrets":
		return stringsOf(table["required"], "")
	case table["bindings"] != nil:
		return stringsOf(table["bindings"], "name")
	case table != nil:
		return stringsOf([]any{table}, "binding")
	}
	return stringsOf(v, "binding")
}

// stringsOf returns the strings in an array, or the values of a key in the
// array's tables.
func stringsOf(v any, key string) []string {
	var out []string
	array, _ := v.([]any)
	for _, e := range array {
		if table, ok := e.(map[string]any); ok {
			e = table[key]
		}
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func (k *checker) bindingsNotInherited() {
	if k.lacksBindings() {
		k.add(Warning, "bindings-not-inherited", joined("env", k.Env),
			"durable_objects is set at the top level, but not here: environments do not inherit it",
			fmt.Sprintf("add durable_objects to env.%s; "+
				"if it needs no bindings, set them to []", k.Env))
	}
}

// lacksBindings reports whether an environment has no bindings although the top
// level has some.
func (k *checker) lacksBindings() bool {
	return k.Env != "" && k.positions.has("durable_objects") && !k.sets("durable_objects")
}

// boundClasses: if a binding names a class of this Worker, the class must be in
// the program, and live.
func (k *checker) boundClasses() {
	for _, class := range sortedKeys(k.bound) {
		l, b := k.classes[class], k.DurableObjects.Bindings[k.bound[class]]
		at := k.path("durable_objects", "bindings", k.bound[class], "class_name")
		switch {
		case l != nil && l.state == deleted:
			k.add(Error, "deleted-class-bound", at,
				fmt.Sprintf("class %s, bound as %s, is deleted by %s", class, b.Name, l.entry),
				"take the binding out, and deploy that first: "+
					"Cloudflare does not delete a class that the deployed Worker binds")
		case !k.registered[class]:
			k.add(Error, "class-not-registered", at,
				fmt.Sprintf("class %s, bound as %s, is not registered by the program",
					class, b.Name),
				k.howToRegister(class)+
					"; or give the binding the script_name of the Worker that has it")
		case l != nil && l.state == pending:
			k.add(Warning, "pending-class-bound", at,
				fmt.Sprintf("class %s, bound as %s, is yet to be transferred to this Worker",
					class, b.Name),
				"add the binding once the other Worker has deployed its side; "+
					"until then Cloudflare does not route it")
		}
	}
}

// registeredClasses: a class of the program needs a lifecycle entry, and
// usually a binding.
func (k *checker) registeredClasses() {
	for _, class := range sortedKeys(k.registered) {
		l := k.classes[class]
		_, isBound := k.bound[class]
		switch {
		case l.isLive():
			if l.state == live && !k.isNamed(class) && !k.lacksBindings() {
				k.add(Warning, "class-without-binding", l.path,
					fmt.Sprintf("class %s is registered by the program, but not bound", class),
					fmt.Sprintf("unless only other Workers use it, "+
						"add to durable_objects.bindings: name %q, class_name %q",
						bindingName(class), class))
			}
		case l != nil && l.state == deleted:
			if !isBound {
				k.deletedClassRegistered(class, l)
			}
		case isBound:
			k.notLive(Error, class, l,
				k.path("durable_objects", "bindings", k.bound[class], "class_name"))
		case l != nil && l.entry == "exports":
			// It is renamed or transferred. Cloudflare recommends keeping the class
			// for a while.
		default:
			k.notLive(Warning, class, l, k.lifecyclePath())
		}
	}
}

// isNamed reports whether a binding names a class, even if it is another
// Worker's class with that name.
func (k *checker) isNamed(class string) bool {
	return slices.ContainsFunc(k.DurableObjects.Bindings,
		func(b Binding) bool { return b.ClassName == class })
}

var wordEnd = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// bindingName returns the usual name of a class's binding.
func bindingName(class string) string {
	return strings.ToUpper(wordEnd.ReplaceAllString(class, "${1}_$2"))
}

// deletedClassRegistered: with exports, Cloudflare refuses to delete a class
// that is still in the code.
func (k *checker) deletedClassRegistered(class string, l *lifecycle) {
	severity := Warning
	if l.entry == "exports" {
		severity = Error
	}
	k.add(severity, "deleted-class-registered", l.path,
		fmt.Sprintf("class %s is deleted by %s, but still registered by the program",
			class, l.entry),
		fmt.Sprintf("take durable.Register(%q, …) out of the program", class))
}

// notLive reports a registered class that no entry makes live.
func (k *checker) notLive(s Severity, class string, l *lifecycle, path string) {
	message, hint := fmt.Sprintf("class %s is registered by the program, "+
		"but no migration or exports entry creates it", class), k.howToCreate(class)
	if l != nil {
		message = fmt.Sprintf("class %s is registered by the program, but %s has %s it to %s",
			class, l.entry, l.state, l.to)
		hint = fmt.Sprintf("use %s instead; if that is another Worker, "+
			"give the binding its script_name", l.to)
	}
	if l != nil && l.entry == "exports" {
		s = Warning // bindings with the old name continue to work for a while
	}
	k.add(s, "class-without-lifecycle", path, message, hint)
}

func (k *checker) lifecyclePath() string {
	if len(k.durableExports()) > 0 {
		return k.path("exports")
	}
	return k.path("migrations")
}

// liveClasses: a class that the config creates must be in the program. If the
// class is also bound, boundClasses has reported it.
func (k *checker) liveClasses() {
	for _, class := range sortedKeys(k.classes) {
		l := k.classes[class]
		if _, isBound := k.bound[class]; isBound || k.registered[class] || !l.isLive() {
			continue
		}
		k.add(Error, "lifecycle-without-class", l.path,
			fmt.Sprintf("class %s, live since %s, is not registered by the program",
				class, l.entry),
			fmt.Sprintf("%s; or end it: %s", k.howToRegister(class), howToEnd(class, l)))
	}
}

func (k *checker) howToRegister(class string) string {
	if len(k.registered) == 0 {
		return fmt.Sprintf("call durable.Register(%q, …) in main", class)
	}
	return fmt.Sprintf("call durable.Register(%q, …) in main, which registers %s", class,
		strings.Join(sortedKeys(k.registered), ", "))
}

func (k *checker) howToCreate(class string) string {
	if len(k.durableExports()) > 0 {
		return fmt.Sprintf("add to exports: %q with type \"durable-object\" and storage \"sqlite\"",
			class)
	}
	return fmt.Sprintf("add a migration with a new tag and new_sqlite_classes [%q]", class)
}

func howToEnd(class string, l *lifecycle) string {
	if l.entry == "exports" {
		return `give it the state "deleted" (which deletes its objects' data) or "renamed"`
	}
	return fmt.Sprintf("add a migration with a new tag and deleted_classes [%q] (which deletes "+
		"its objects' data), or renamed_classes", class)
}
