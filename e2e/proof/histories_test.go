//go:build !js

package proof

import (
	"strings"
	"testing"
	"time"
)

var disturbed = load{targets: []string{"store", "ledger", "buckets", "leases"}, clients: 8, disturbed: true}

func TestHistoriesUnderKillsAbortsAndLostRepliesAreLinearizable(t *testing.T) {
	h := disturbed.run(t, newLab(t), *loadFor)
	judge(t, h)
	if h.kills == 0 || h.aborts == 0 || h.unknown == 0 || h.calls-h.unknown < 100 || h.repeated == 0 || h.fenced == 0 {
		t.Error("the load was not disturbed, or too much")
	}
}

// judge fails the test unless a history is linearizable.
func judge(t *testing.T, h *history) {
	t.Helper()
	begin := time.Now()
	v := check(h.ops)
	t.Logf("%v: %v; checked in %v", h, v, time.Since(begin).Round(time.Millisecond))
	if v.bad != nil || v.timeouts > 0 {
		t.Error("the history has no explanation")
	}
	if len(h.odd) > 0 {
		t.Errorf("%d errors that nobody expects, such as %s", len(h.odd), h.odd[0])
	}
}

func TestCheckerRejectsAStoreThatWaitsBetweenReadAndWrite(t *testing.T) {
	h := load{targets: []string{"racy"}, clients: 6}.run(t, newLab(t), 2*time.Second)
	v := check(h.ops)
	t.Logf("%v: %s", h, strings.SplitN(v.String(), "\n", 2)[0])
	if v.bad == nil {
		t.Error("the checker did not notice")
	}
}
