package wrangler

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"flow.internal/capdo/internal/jsname"
)

// trigger is a list of a config that requests events for a handler.
type trigger struct {
	table, list string
	register    string // the function of package durable
	isHandled   bool
	event       string
}

func (k *checker) triggers() []trigger {
	return []trigger{
		{"triggers", "crons", "HandleScheduled", k.program.Scheduled, "cron triggers"},
		{"queues", "consumers", "HandleQueue", k.program.Queue, "queues"},
	}
}

// handlers: Cloudflare would accept a config that requests events which the
// program does not handle, but each event would fail. A list that is there and
// empty says that no events are wanted.
func (k *checker) handlers() {
	for _, t := range k.triggers() {
		list, isSet := k.tableOf(t.table)[t.list].([]any)
		wanted := slices.ContainsFunc(list, isPushed)
		name := t.table + "." + t.list
		switch {
		case wanted && !t.isHandled:
			k.add(Error, "no-handler", k.path(t.table, t.list),
				name+" is set, but the program does not handle "+t.event,
				fmt.Sprintf("call durable.%s(…) in main, or take %s out of the config",
					t.register, name))
		case t.isHandled && !wanted && !(isSet && len(list) == 0):
			k.add(Warning, "handler-without-trigger", k.path(t.table, t.list),
				fmt.Sprintf("the program handles %s, but the config has no %s", t.event, name),
				fmt.Sprintf("add %s; if there are none on purpose, set it to []", name))
		}
	}
}

// isPushed reports whether an entry of a list requests events. The messages of
// a queue whose consumer has the type http_pull are fetched over HTTP.
func isPushed(entry any) bool {
	consumer, _ := entry.(map[string]any)
	return consumer["type"] != "http_pull"
}

// crons: Cloudflare's expressions have five fields. Others have one for seconds
// or years.
func (k *checker) crons() {
	list, _ := k.tableOf("triggers")["crons"].([]any)
	for i, entry := range list {
		cron, ok := entry.(string)
		if n := len(strings.Fields(cron)); ok && n != 5 {
			k.add(Warning, "cron", k.path("triggers", "crons", i),
				fmt.Sprintf("the cron expression %.100q has %s, not five", cron, fields(n)),
				"the fields are minute, hour, day of the month, month, day of the week; "+
					"times are in UTC")
		}
	}
}

func fields(n int) string {
	if n == 1 {
		return "1 field"
	}
	return fmt.Sprintf("%d fields", n)
}

// consumerLimits are Cloudflare's.
// https://developers.cloudflare.com/queues/platform/limits/
var consumerLimits = []struct {
	key         string
	least, most float64
	unit        string
}{
	{"max_batch_size", 1, 100, "messages"},
	{"max_batch_timeout", 0, 60, "seconds"},
	{"max_retries", 0, 100, "retries"},
	{"retry_delay", 0, maxDelay, "seconds"},
	{"max_concurrency", 1, 250, "invocations"},
}

func (k *checker) consumers() {
	list, _ := k.tableOf("queues")["consumers"].([]any)
	for i, entry := range list {
		consumer, _ := entry.(map[string]any)
		for _, l := range consumerLimits {
			v, ok := number(consumer[l.key])
			if ok && (v < l.least || v > l.most || v != math.Trunc(v)) {
				k.add(Warning, "queue-consumer", k.path("queues", "consumers", i, l.key),
					fmt.Sprintf("%s %v is not a whole number from %v to %v", l.key, v, l.least,
						l.most), "it is a number of "+l.unit+"; leave it out for Cloudflare's default")
			}
		}
	}
}

// reachable are the kinds of bindings that Go code can use. unsafe is for
// anything.
var reachable = []string{"durable_objects", "queues", "vars", "secrets", "version_metadata",
	"unsafe"}

// unreachableBindings: Go has no API for most bindings.
func (k *checker) unreachableBindings() {
	for _, kind := range kinds {
		names := namesOf(kind, k.raw[kind])
		isInherited := k.Env != "" && !k.sets(kind) // and reported at the top level
		if len(names) == 0 || slices.Contains(reachable, kind) || isInherited {
			continue
		}
		k.add(Warning, "binding-unreachable", k.path(kind),
			fmt.Sprintf("%s binds %s, which Go code cannot reach", kind, strings.Join(names, ", ")),
			"Go reaches Durable Objects, queues, vars and secrets; "+
				"use other bindings in a Worker in JavaScript")
	}
}

// tableOf returns a table of the config or of its environment.
func (k *checker) tableOf(key string) map[string]any {
	table, _ := k.raw[key].(map[string]any)
	return table
}

// entrypoints: the exports that the config names for this Worker must exist. A
// Go program exports only its classes, which are Durable Objects, and the
// Worker.
func (k *checker) entrypoints() {
	workflows, _ := k.raw["workflows"].([]any)
	for i, e := range workflows {
		w, _ := e.(map[string]any)
		if script, _ := w["script_name"].(string); script == "" || script == k.Name {
			k.entrypoint(fmt.Sprintf("workflow %v is class %v", w["name"],
				w["class_name"]), "workflows", i)
		}
	}
	services, _ := k.raw["services"].([]any)
	for i, e := range services {
		s, _ := e.(map[string]any)
		entrypoint, _ := s["entrypoint"].(string)
		if s["service"] == any(k.Name) && k.Name != "" && entrypoint != "" &&
			entrypoint != "default" {
			k.entrypoint(fmt.Sprintf("service %v is entrypoint %s", s["binding"],
				entrypoint), "services", i)
		}
	}
	for _, name := range sortedKeys(k.Exports) {
		switch e := k.Exports[name]; {
		case e.Type == "workflow", e.Type == "worker" && name != "default":
			k.entrypoint(fmt.Sprintf("%s in exports is a %s", name, e.Type), "exports", name)
		}
	}
	containers, _ := k.raw["containers"].([]any)
	for i, e := range containers {
		c, _ := e.(map[string]any)
		if class, ok := c["class_name"].(string); ok && jsname.IsIdentifier(class) &&
			!k.registered[class] {
			k.add(Error, "entrypoint-missing", k.path("containers", i, "class_name"),
				fmt.Sprintf("the container's class %s is not registered by the program", class),
				k.howToRegister(class))
		}
	}
}

func (k *checker) entrypoint(what string, path ...any) {
	k.add(Error, "entrypoint-missing", k.path(path...), what+", which a Go program does not export",
		"put it into another Worker, in JavaScript, and name that Worker here")
}
