package wrangler

import (
	"fmt"
	"slices"
	"strings"
)

// Class is a Durable Object class that has, or may have, data.
type Class struct {
	Name string
	Key  string // identifies its data; stays the same when the class is renamed
	KV   bool   // key-value storage, not SQLite
}

// LiveClasses returns the classes of this Worker that are live after all
// migrations, or by exports, sorted by name. A class keeps the key that it was
// created with, through any number of renames. The key is the class's first
// name. If a class is created again after it was deleted, its key contains the
// migration's tag, so that it begins empty.
func (c *Config) LiveClasses() []Class {
	classes := map[string]Class{}
	for name, e := range c.durableExports() {
		if s := exportStates[e.stateName()].state; s == live || s == pending {
			classes[name] = Class{name, c.firstName(name), e.Storage == legacyKV}
		}
	}
	used := map[string]bool{}
	for _, m := range c.Migrations {
		create := func(name string, kv bool) {
			key := name
			if used[key] {
				key += "@" + m.Tag
			}
			used[key] = true
			classes[name] = Class{name, key, kv}
		}
		for _, name := range m.DeletedClasses {
			delete(classes, name)
		}
		for _, r := range m.RenamedClasses {
			was := classes[r.From]
			delete(classes, r.From)
			classes[r.To] = Class{r.To, was.Key, was.KV}
		}
		for _, t := range m.TransferredClasses {
			create(t.To, false)
		}
		for _, name := range m.NewClasses {
			create(name, true)
		}
		for _, name := range m.NewSQLiteClasses {
			create(name, false)
		}
	}
	var list []Class
	for _, name := range sortedKeys(classes) {
		list = append(list, classes[name])
	}
	return list
}

// firstName follows the renames in exports back to the oldest name of a class.
func (c *Config) firstName(class string) string {
	for range c.Exports { // a chain cannot be longer
		older := ""
		for name, e := range c.durableExports() {
			if e.stateName() == "renamed" && e.RenamedTo == class && name != class {
				older = name
			}
		}
		if older == "" {
			break
		}
		class = older
	}
	return class
}

// Unserved returns an error if the Worker needs something that only
// Cloudflare's network or wrangler dev has: bindings of other services, or
// classes of other Workers.
func (c *Config) Unserved() error {
	var names []string
	for _, kind := range append(slices.Clone(kinds), "triggers", "tail_consumers") {
		if v := c.raw[kind]; !slices.Contains([]string{"durable_objects", "vars", "secrets"},
			kind) && !isEmpty(v) {
			names = append(names, kind)
		}
	}
	inherited := ""
	if slices.Contains(names, "triggers") {
		inherited = `; it inherits triggers, unless it has "triggers": {"crons": []}`
	}
	if len(names) > 0 {
		return fmt.Errorf("%s has %s, which capdo serve cannot provide"+
			"\nhint: choose an environment with --env that does not have it"+inherited,
			c.Path, strings.Join(names, ", "))
	}
	for _, b := range c.DurableObjects.Bindings {
		if b.ScriptName != "" && b.ScriptName != c.Name {
			return fmt.Errorf("%s binds class %s of another Worker, %s, as %s: "+
				"capdo serve runs only one Worker"+
				"\nhint: move the class into this Worker",
				c.Path, b.ClassName, b.ScriptName, b.Name)
		}
	}
	return nil
}

// isEmpty reports whether a value of a config has no content.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, inner := range v {
			if !isEmpty(inner) {
				return false
			}
		}
		return true
	}
	return false
}
