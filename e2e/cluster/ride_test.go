//go:build !js

package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// reply is the answer to a request.
type reply struct {
	Status, Outcome, Detail string
	took                    time.Duration
}

// claimWithin claims a key through a node. The Worker gives its ledger a
// deadline, so it repeats the claim with the same owner.
func claimWithin(n *node, key string, deadline time.Duration) (a reply, err error) {
	q := url.Values{"target": {"ledger"}, "op": {"claim"}, "key": {key}, "owner": {"owner of " + key}, "fingerprint": {"p"}, "lease": {lasting}, "ttl": {lasting}}
	if deadline > 0 {
		q.Set("patience", fmt.Sprint(deadline.Milliseconds()))
	}
	begin := time.Now()
	client := &http.Client{Timeout: 2 * patient}
	resp, err := client.Post("http://"+n.options.Listen+"/?"+q.Encode(), "", nil)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&a)
	a.took = time.Since(begin)
	return a, err
}

// A node is killed. Callers that ask other nodes for its keys, with a deadline
// longer than its lease, get an answer to their single call. With a shorter
// deadline they are told that the outcome is unknown. Without a deadline they
// soon get the same answer.
func TestCallsRideOverATakeover(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2, &network{why: "not needed"}, same)
	dead, other := l.nodes[0], l.nodes[1]
	const keys = 12
	for i := range keys {
		if a, err := claimWithin(dead, fmt.Sprint("key", i), patient); err != nil || a.Outcome != "acquired" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	dead.kill()
	var wg sync.WaitGroup
	took := make([]time.Duration, keys)
	for i := range keys - 2 {
		wg.Go(func() {
			a, err := claimWithin(other, fmt.Sprint("key", i), patient)
			if err != nil || a.Outcome != "acquired" {
				t.Errorf("with %v: %+v, %v", patient, a, err)
			}
			took[i] = a.took
		})
	}
	for i, deadline := range []time.Duration{4 * time.Second, 0} {
		wg.Go(func() {
			a, err := claimWithin(other, fmt.Sprint("key", keys-2+i), deadline)
			if err != nil || a.Status != "unknown" || a.took > lease/2 {
				t.Errorf("with %v: %+v, %v", deadline, a, err)
			}
			t.Logf("with a deadline of %v: %s after %v", deadline, a.Status, a.took.Round(time.Millisecond))
		})
	}
	wg.Wait()
	took = took[:keys-2]
	slices.Sort(took)
	t.Logf("after SIGKILL, with leases of %v: the first call succeeded after %v, the last after %v; node 2 ended by itself %d times",
		lease, took[0].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), other.ends.Load())
	if slices.Max(took) > patient {
		t.Errorf("a call took %v", slices.Max(took))
	}
}
