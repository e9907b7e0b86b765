//go:build !js

package ledgerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
)

// away is a server that is unavailable for some time. It records owners and
// times.
type away struct {
	t     *testing.T
	until time.Time
	fail  func(r *http.Request, n int) (*http.Response, error)
	h     http.Handler

	mu     sync.Mutex
	sent   []time.Time
	owners map[string]int
}

func (a *away) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var m struct{ Owner string }
	if err := json.Unmarshal(body, &m); err != nil {
		a.t.Error(err)
	}
	a.mu.Lock()
	a.owners[m.Owner]++
	a.sent = append(a.sent, time.Now())
	n := len(a.sent)
	a.mu.Unlock()
	if time.Now().Before(a.until) {
		return a.fail(r, n)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w := httptest.NewRecorder()
	a.h.ServeHTTP(w, r)
	return w.Result(), nil
}

func problemAnswer(status int, code, retryAfter string) *http.Response {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/problem+json")
	if retryAfter != "" {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"status": status, "code": code})
	return w.Result()
}

var failures = map[string]func(r *http.Request, n int) (*http.Response, error){
	"connections break": func(*http.Request, int) (*http.Response, error) { return nil, errLost },
	"connections break, then are refused": func(_ *http.Request, n int) (*http.Response, error) {
		if n == 1 {
			return nil, errLost
		}
		return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
	},
	"the server does not know the outcome": func(*http.Request, int) (*http.Response, error) {
		return problemAnswer(503, "outcome_unknown", "1"), nil
	},
	"a proxy cannot reach the server": func(*http.Request, int) (*http.Response, error) { return problemAnswer(502, "", ""), nil },
	"nothing is answered": func(r *http.Request, _ int) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	},
}

func newAway(t *testing.T, d time.Duration, fail func(*http.Request, int) (*http.Response, error)) (*away, *Client) {
	a := &away{t: t, until: time.Now().Add(d), fail: fail, h: NewHandler(newBackend().API), owners: map[string]int{}}
	c, err := NewClient("http://ledger.example", redToken, &ClientOptions{HTTPClient: &http.Client{Transport: a}})
	if err != nil {
		t.Fatal(err)
	}
	return a, c
}

func TestCallsRideOverAServerThatIsAway(t *testing.T) {
	for name, fail := range failures {
		synctest.Test(t, func(t *testing.T) {
			a, c := newAway(t, 20*time.Second, fail)
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			claim, err := c.Claim(ctx, []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
			took := time.Since(begin)
			if err != nil || claim.Outcome != dedupe.Acquired || took > 24*time.Second {
				t.Fatalf("%s: %v, %v after %v", name, claim.Outcome, err, took)
			}
			if len(a.owners) != 1 || len(a.sent) > 25 {
				t.Errorf("%s: %d requests of %d owners", name, len(a.sent), len(a.owners))
			}
			t.Logf("%s: after %v, %d requests", name, took.Round(time.Millisecond), len(a.sent))
			a.until = time.Now().Add(20 * time.Second)
			if err := c.Complete(ctx, claim, []byte("r")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if len(a.owners) != 1 {
				t.Errorf("%s: another owner was sent", name)
			}
		})
	}
}

func TestADeadlineThatComesFirstLeavesTheOutcomeUnknown(t *testing.T) {
	for name, fail := range failures {
		synctest.Test(t, func(t *testing.T) {
			_, c := newAway(t, time.Hour, fail)
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			claim, err := c.Claim(ctx, []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
			wantUnknown(t, err, "Claim", true)
			if took := time.Since(begin); claim.Owner == "" || took > 5*time.Second {
				t.Errorf("%s: %+v after %v", name, claim, took)
			}
		})
	}
}

func TestTheServersRetryAfterIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAway(t, 20*time.Second, func(*http.Request, int) (*http.Response, error) {
			return problemAnswer(503, "outcome_unknown", "4"), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Claim(ctx, []byte("k"), dedupe.ClaimOptions{Lease: time.Minute}); err != nil {
			t.Fatal(err)
		}
		for i := range a.sent[1:] {
			if d := a.sent[i+1].Sub(a.sent[i]); d < 4*time.Second {
				t.Errorf("a request after %v", d)
			}
		}
	})
}

// Numbers of the sequencer have no owner. A caller that repeated the call could
// not learn whether the number is new.
func TestWhatHasNoOwnerIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAway(t, time.Hour, failures["connections break"])
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Sequencer().Next(ctx, []byte("s"), []byte("k"), nil, 0)
		wantUnknown(t, err, "Next", true)
		_, err = c.Store().PutIfAbsent(ctx, []byte("k"), 0)
		wantUnknown(t, err, "PutIfAbsent", false)
		if len(a.sent) != 2 {
			t.Errorf("%d requests for 2 calls", len(a.sent))
		}
	})
}

func TestAttemptsAreAtMostWhatTheOptionSays(t *testing.T) {
	for _, c := range []struct {
		option, want int
		deadline     bool
	}{{0, 3, false}, {5, 5, false}, {5, 5, true}, {1, 1, true}} {
		synctest.Test(t, func(t *testing.T) {
			a, client := newAway(t, time.Hour, failures["connections break"])
			client.attempts = c.option
			ctx := t.Context()
			if c.deadline {
				within, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				ctx = within
			}
			_, err := client.Claim(ctx, []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
			wantUnknown(t, err, "Claim", true)
			if len(a.sent) != c.want {
				t.Errorf("%d attempts, want %d", len(a.sent), c.want)
			}
		})
	}
}
