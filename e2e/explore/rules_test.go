//go:build !js

package explore

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

// callWasm is a WebAssembly module: (module (func (import "e" "f")) (func
// (export "f") (call 0))).
const callWasm = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x07\x01\x01e\x01f\x00\x00" +
	"\x03\x02\x01\x00\x07\x05\x01\x01f\x00\x01\x0a\x06\x01\x04\x00\x10\x00\x0b"

// rules is a workerd with the Worker of testdata/rules.mjs, which contains no
// Go.
type rules struct {
	t   *testing.T
	url string
}

func startRules(t *testing.T) *rules {
	t.Helper()
	wasm := filepath.Join(t.TempDir(), "call.wasm")
	if err := os.WriteFile(wasm, []byte(callWasm), 0o644); err != nil {
		t.Fatal(err)
	}
	s := worker.Serve(t, workerd.Config{
		Main: "rules.mjs", Modules: map[string]string{"rules.mjs": "testdata/rules.mjs", "call.wasm": wasm},
		Objects: workerd.Namespaces("Object"), Flags: []string{"unsafe_module", "experimental"},
	})
	return &rules{t, s.URL}
}

func (r *rules) get(path string) string {
	client := http.Client{Timeout: 40 * time.Second}
	a, err := request.Get(&client, r.url+path)
	if err != nil {
		return err.Error()
	}
	return a.Body
}

// start gets a path in the background. It returns a function that waits for the
// answer.
func (r *rules) start(path string) (wait func() string) {
	answer := make(chan string, 1)
	go func() { answer <- r.get(path) }()
	time.Sleep(150 * time.Millisecond) // until the request has started
	return func() string { return <-answer }
}

func (r *rules) want(path, want string) {
	r.t.Helper()
	r.check(path, r.get(path), want)
}

func (r *rules) check(path, got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: %s, not %s", path, got, want)
	}
}

// seen checks the notes that code has left, in order.
func (r *rules) seen(want ...string) {
	r.t.Helper()
	list := "[]"
	if len(want) > 0 {
		list = `["` + strings.Join(want, `","`) + `"]`
	}
	r.check("what has run", r.get("/seen?o=other"), list)
}

func TestRuleForeignIO(t *testing.T) { // 1
	t.Parallel()
	r := startRules(t)
	r.want("/keep?o=a", "null")
	got := r.get("/useForeign?o=b")
	if n := strings.Count(got, "Cannot perform I/O on behalf of a different"); n != 3 {
		t.Errorf("%d of 3 objects were refused: %s", n, got)
	}
}

func TestRulePromise(t *testing.T) { // 2
	t.Parallel()
	r := startRules(t)
	answer := r.start("/wait?o=a")
	r.want("/resolve?o=b", "null")
	r.check("/wait", answer(), `"my storage works"`)
	r.seen("continued")

	two := r.start("/waitForTwo?o=a")
	r.want("/resolveTwo?o=b", "null")
	two()
	r.seen("second", "first")

	gone := r.start("/wait?o=a")
	r.get("/abortAll")
	if got := gone(); !strings.Contains(got, "abortAll") {
		t.Errorf("the call of an object that was reset: %s", got)
	}
	r.want("/resolve?o=b", "null")
	time.Sleep(100 * time.Millisecond)
	r.seen()
}

// V8 makes the promise of new Promise itself after it has optimized the code
// around it, and loses the promise's context (workerd 1.20261117). Then code
// that awaits it runs in the context that resolves it. So the modules make
// promises with Promise.withResolvers.
func TestRuleOptimizedPromise(t *testing.T) { // 2
	t.Parallel()
	r := startRules(t)
	for how, name := range []string{"Promise.withResolvers", "new Promise"} {
		answer := r.begin(fmt.Sprintf("/waitOptimized/%d/100000?o=a", how))
		r.want("/resolve?o=b", "null")
		got := answer()
		t.Logf("%s: %s", name, got)
		if how == 0 {
			r.check(name, got, `"my storage works"`)
		}
	}
}

// begin is start for a request that notes "made" when it has started.
func (r *rules) begin(path string) (wait func() string) {
	wait = r.start(path)
	for end := time.Now().Add(30 * time.Second); !strings.Contains(r.get("/seen?o=c"), "made"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s has not started", path)
		}
	}
	return wait
}

func TestRuleTimeout(t *testing.T) { // 3
	t.Parallel()
	r := startRules(t)
	r.want("/arm/300?o=a", "null")
	r.want("/clearForeign?o=b", "null")
	time.Sleep(600 * time.Millisecond)
	r.seen("timeout")

	r.want("/arm/300?o=a", "null")
	r.get("/abortAll")
	time.Sleep(600 * time.Millisecond)
	r.seen()
}

func TestRuleSection(t *testing.T) { // 4
	t.Parallel()
	r := startRules(t)
	waiting := r.start("/wait?o=a")
	section := r.start("/section/600?o=a")
	event := r.start("/event?o=a")
	r.want("/resolve?o=b", "null")
	section()
	event()
	r.check("/wait", waiting(), `"my storage works"`)
	got := strings.Split(strings.Trim(r.get("/seen?o=other"), "[]"), ",")
	end := slices.Index(got, `"the end"`)
	for name, isBefore := range map[string]bool{`"own I/O"`: true, `"own timeout"`: true, `"timeout from before"`: false, `"event"`: false, `"continued"`: false} {
		if at := slices.Index(got, name); at < 0 || at < end != isBefore {
			t.Errorf("%s in %v", name, got)
		}
	}

	transaction := r.start("/transaction/600?o=a")
	event = r.start("/event?o=a")
	transaction()
	event()
	r.seen("the end", "event")

	if got := r.get("/fail?o=a"); !strings.Contains(got, "as told") {
		t.Errorf("a failed section: %s", got)
	}
}

func TestRuleGate(t *testing.T) { // 4
	t.Parallel()
	r := startRules(t)
	var calls sync.WaitGroup
	for range 30 {
		calls.Go(func() { r.get("/add?o=a") })
	}
	calls.Wait()
	r.want("/add?o=a", "31")
}

// The rule holds in production, by workerd's source. Local workerd's clock
// continues, so the explorer tries both. If this test fails, workerd has
// changed to the behavior of production.
func TestRuleClock(t *testing.T) { // 5
	t.Parallel()
	r := startRules(t)
	var clocks [2]float64
	if err := json.Unmarshal([]byte(r.get("/clock?o=a")), &clocks); err != nil || clocks[0] <= 50 || clocks[1] <= 50 {
		t.Errorf("during a computation longer than the 20 ms of a timeout the clocks advanced by %v ms, %v", clocks, err)
	}
}

func TestRuleHung(t *testing.T) { // 6
	t.Parallel()
	r := startRules(t)
	start := time.Now()
	if got := r.get("/hang"); got == "" || time.Since(start) > 10*time.Second {
		t.Errorf("%q after %v", got, time.Since(start))
	}
	r.want("/hangWithTimeout", "answered by a timeout")
}

func TestRuleReset(t *testing.T) { // 7
	t.Parallel()
	r := startRules(t)
	before := r.get("/instance?o=a")
	held := r.start("/hold/60000?o=a")
	r.get("/abortAll")
	if got := held(); !strings.Contains(got, "abortAll") {
		t.Errorf("the open call: %s", got)
	}
	time.Sleep(500 * time.Millisecond)
	r.seen() // not even a finally block ran
	if r.get("/instance?o=a") == before {
		t.Error("the instance is the same after a reset")
	}

	before = r.get("/instance?o=b")
	held = r.start("/hold/2000?o=b")
	r.want("/evict?o=b", `"nothing failed"`) // the eviction waits for the call
	r.seen("timeout", "finally")
	r.check("/hold", held(), "null")
	if r.get("/instance?o=b") == before {
		t.Error("the instance is the same after an eviction")
	}
}

func TestRuleAbort(t *testing.T) { // 8, 9
	t.Parallel()
	r := startRules(t)
	held := r.start("/hold/60000?o=a")
	if got := r.get("/abort?o=a"); got != `"as told (reset)"` {
		t.Errorf("the call that aborts: %s", got)
	}
	if got := held(); got != `"as told (reset)"` {
		t.Errorf("the other open call: %s", got)
	}
	r.want("/get?o=a", "null")
	r.seen()
}

func TestRuleTermination(t *testing.T) { // 9
	t.Parallel()
	r := startRules(t)
	r.get("/terminate?o=a")
	r.want("/isInside?o=b", "true")
	r.seen()
}
