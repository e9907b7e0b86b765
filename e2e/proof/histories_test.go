//go:build !js

package proof

import (
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/soak"
)

var disturbed = load{targets: []string{"store", "ledger", "buckets", "embedded", "sequence"}, clients: 12, disturbed: true}

// On a busy machine not every event happens within one round.
const maxRounds = 12

func TestHistoriesAreLinearizable(t *testing.T) {
	total := figures{}
	for n := 0; n < maxRounds && !t.Failed() && (n == 0 || len(total.missing()) > 0); n++ {
		h := disturbed.run(t, newLab(t), *loadFor)
		judge(t, h)
		total.add(h.figures)
	}
	if missing := total.missing(); len(missing) > 0 {
		t.Errorf("no %s: the load is too weak", strings.Join(missing, ", no "))
	}
	if total[operations]-total[unknown] < 100 {
		t.Error("almost all outcomes are unknown: there were too many faults")
	}
}

// judge fails the test unless a history is linearizable.
func judge(t *testing.T, h *history) {
	t.Helper()
	begin := time.Now()
	v := check(h.ops)
	t.Logf("%v: %v; checked in %v", h.figures, v, time.Since(begin).Round(time.Millisecond))
	if v.bad != nil || v.timeouts > 0 {
		t.Error("the history has no explanation")
	}
	if len(h.odd) > 0 {
		t.Errorf("%d unexpected errors, such as %s", len(h.odd), h.odd[0])
	}
}

func TestCheckerRejectsARacyStore(t *testing.T) {
	h := load{targets: []string{"racy"}, clients: 6}.run(t, newLab(t), 2*time.Second)
	v := check(h.ops)
	t.Logf("%d operations: %s", h.figures[operations], strings.SplitN(v.String(), "\n", 2)[0])
	if v.bad == nil {
		t.Errorf("the checker did not notice; %d outcomes are unknown", h.figures[unknown])
	}
}

// round is the duration of a soak's histories. Each history is judged and then
// dropped.
const round = 20 * time.Second

func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("without -soak")
	}
	end := soak.Progress(*soakFor)
	total := figures{}
	rounds := 0
	begin := time.Now()
	for time.Since(begin) < *soakFor && !t.Failed() {
		left := max(min(round, *soakFor-time.Since(begin)), time.Second)
		h := disturbed.run(t, newLab(t), left)
		judge(t, h)
		rounds++
		total.add(h.figures)
	}
	end()
	verdict := "each linearizable"
	if t.Failed() {
		verdict = "the last one has no explanation"
	}
	t.Logf("%d rounds in %v: %v: %s", rounds, time.Since(begin).Round(time.Second), total, verdict)
}
