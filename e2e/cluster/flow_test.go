//go:build !js

package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/internal/worker"
)

// payments is the Worker of examples/flow-payments on two nodes.
func payments(t *testing.T) *lab {
	t.Helper()
	const example = "../../examples/flow-payments"
	b, err := worker.Build(example, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config := loadConfig(t, example)
	config.Vars = map[string]any{"CAPDO_LOCAL": "true", "DEMO": "true"}
	return newLabOf(t, b.Dir, config, 2, &network{why: "not needed"}, same)
}

// charges asks a node how often a payment was charged, until there is an
// answer. That does not reach the payment's flow.
func charges(t *testing.T, n *node, payment string) (count int) {
	t.Helper()
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		resp, err := probe.Get("http://" + n.options.Listen + "/payments/" + payment)
		if err != nil {
			continue
		}
		var a struct{ Charges int }
		err = json.NewDecoder(resp.Body).Decode(&a)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK && err == nil {
			return a.Charges
		}
	}
	t.Fatalf("node %d does not say how often %s was charged", n.number, payment)
	return 0
}

// The only request for a payment crashes the program before the charge. Then
// the node that has the payment's ledger dies, with its disk. Nobody repeats
// the request. The ledger's alarm runs on the other node, which charges the
// payment once.
func TestAFlowIsResumedByAnotherNode(t *testing.T) {
	t.Parallel()
	l := payments(t)
	dying, other := l.nodes[0], l.nodes[1]
	charges(t, other, "none") // the processor is an object of the other node from now on

	var payment string
	var died time.Time
	for try := 1; ; try++ {
		if try > 10 { // the flow has 3 s for each step
			t.Fatal("the machine is too slow")
		}
		payment = fmt.Sprint("pay_", try)
		if !crashes(t, dying, payment) {
			continue
		}
		dying.kill()
		died = time.Now()
		if charges(t, other, payment) == 0 {
			break
		}
		t.Log("the dying node resumed the payment itself before it was killed: again")
		dying.revive(t)
	}
	if err := os.RemoveAll(dying.options.Data); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(patient); charges(t, other, payment) == 0; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not charged within %v", patient)
		}
	}
	t.Logf("charged by node %d, %v after node %d had died", other.number, time.Since(died).Round(100*time.Millisecond), dying.number)
	time.Sleep(4 * time.Second) // longer than a lease of the flow
	if n := charges(t, other, payment); n != 1 {
		t.Errorf("%d charges", n)
	}
	// A repetition of the request would have crashed this node's program, too.
	if strings.Contains(other.log.String(), crashed) {
		t.Error("the request was repeated")
	}
}

// crashed is what the program prints.
const crashed = "crashing on purpose, before-charge"

// crashes sends the request for a payment to a node, once, and asks for a crash
// before the charge. It reports false if the ledger was too slow, so that the
// program did not come that far.
func crashes(t *testing.T, n *node, payment string) bool {
	t.Helper()
	body := fmt.Sprintf(`{"id":%q,"amount":1250,"currency":"EUR"}`, payment)
	r, err := http.NewRequest(http.MethodPost, "http://"+n.options.Listen+"/payments", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Crash", "before-charge")
	client := &http.Client{Timeout: patient, Transport: &http.Transport{DisableKeepAlives: true}}
	a, err := request.Do(client, r)
	switch {
	case a.Status == http.StatusInternalServerError:
		return true
	case a.Status == http.StatusServiceUnavailable:
		t.Logf("%s: %s", payment, a.Body)
		return false
	}
	t.Fatalf("%s: %d %s, %v", payment, a.Status, a.Body, err)
	return false
}
