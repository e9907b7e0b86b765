package shim

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func TestEntry(t *testing.T) {
	got := Entry(Description{
		Fetch: true, Scheduled: true, Queue: true,
		Classes: []Class{
			{Name: "Plain"},
			{Name: "Everything", Events: []string{"fetch", "alarm", "webSocketMessage", "webSocketClose", "webSocketError"}, Methods: []string{"get", "putIfAbsent"}, Retryable: []string{"get", "putIfAbsent"}},
		},
	})
	const golden = "testdata/entry.mjs"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the entry differs from %s (go test ./internal/shim -update rewrites it):\n%s", golden, got)
	}
}

// workerd calls the handlers that the default export has.
func TestEntryExportsOnlyRegisteredHandlers(t *testing.T) {
	for _, c := range []struct {
		d               Description
		imports, export string
	}{
		{Description{}, "{ start, GoObject }", "{}"},
		{Description{Fetch: true}, "{ start, fetchWorker, GoObject }", "{ fetch: fetchWorker }"},
		{Description{Scheduled: true}, "{ start, scheduledWorker, GoObject }", "{ scheduled: scheduledWorker }"},
		{Description{Fetch: true, Queue: true}, "{ start, fetchWorker, queueWorker, GoObject }", "{ fetch: fetchWorker, queue: queueWorker }"},
	} {
		entry := Entry(c.d)
		for _, line := range []string{"import " + c.imports + ` from "./shim.mjs";`, "export default " + c.export + ";"} {
			if !strings.Contains(entry, "\n"+line+"\n") {
				t.Errorf("%+v: no line %s in\n%s", c.d, line, entry)
			}
		}
	}
}

// A promise made by new Promise can lose its context; see
// TestRuleOptimizedPromise in e2e/explore.
func TestModulesMakePromisesWithResolvers(t *testing.T) {
	for _, name := range append(Modules[:len(Modules):len(Modules)], "testing.mjs", "restart.mjs", "events.mjs") {
		b, err := Files.ReadFile("js/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "new Promise(") {
			t.Errorf("%s has new Promise; use Promise.withResolvers", name)
		}
	}
}
