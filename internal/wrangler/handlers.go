package wrangler

import (
	"fmt"

	"flow.internal/capdo/internal/jsname"
)

// handlers: a config can request events that no Go program handles. Cloudflare
// would accept the deploy, but each event would fail.
func (k *checker) handlers() {
	hint := "handle the event in another Worker, in JavaScript, which calls this one; " +
		"for an object's own schedule use its alarm"
	if crons, _ := k.tableOf("triggers")["crons"].([]any); len(crons) > 0 {
		k.add(Error, "no-handler", k.path("triggers", "crons"),
			"triggers.crons is set, but a Go program has no handler for scheduled events", hint)
	}
	if consumers, _ := k.tableOf("queues")["consumers"].([]any); len(consumers) > 0 {
		for i := range consumers {
			k.add(Error, "no-handler", k.path("queues", "consumers", i),
				"queues.consumers is set, but a Go program has no handler for queues", hint)
		}
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
