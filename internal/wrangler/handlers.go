package wrangler

import (
	"fmt"

	"flow.internal/capdo/internal/jsname"
)

// handlers: a config can ask for events that no Go program handles. Cloudflare
// would take the deploy, and each event would fail.
func (k *checker) handlers() {
	hint := "have another Worker handle that, in JavaScript, which calls this one; an object's own schedule is its alarm"
	if crons, _ := k.tableOf("triggers")["crons"].([]any); len(crons) > 0 {
		k.add(Error, "no-handler", k.path("triggers", "crons"),
			"triggers.crons is set, but a Go program has no handler of scheduled events", hint)
	}
	if consumers, _ := k.tableOf("queues")["consumers"].([]any); len(consumers) > 0 {
		for i := range consumers {
			k.add(Error, "no-handler", k.path("queues", "consumers", i),
				"queues.consumers is set, but a Go program has no handler of queues", hint)
		}
	}
}

// tableOf returns a table of the config, or of an environment.
func (k *checker) tableOf(key string) map[string]any {
	table, _ := k.raw[key].(map[string]any)
	return table
}

// entrypoints: what the config says of this Worker's own exports must be there.
// A Go program exports its classes, all of them Durable Objects, and the
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
		"give it to another Worker, in JavaScript, and name that one here")
}
