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

func TestDeadlineLeavesTheOutcomeUnknown(t *testing.T) {
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

// insert calls Next and PutIfAbsent, and returns what they say of it.
func insert(ctx context.Context, c *Client) (next, put bool, err error) {
	seq, nextErr := c.Sequencer().Next(ctx, []byte("s"), []byte("k"), nil, 0)
	put, putErr := c.Store().PutIfAbsent(ctx, []byte("k"), 0)
	return seq.Inserted && seq.N == 1, put, errors.Join(nextErr, putErr)
}

func TestInsertIsRepeatedUntilServerReturns(t *testing.T) {
	for name, fail := range failures {
		synctest.Test(t, func(t *testing.T) {
			a, c := newAway(t, 20*time.Second, fail)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begin := time.Now()
			next, put, err := insert(ctx, c)
			if took := time.Since(begin); !next || !put || err != nil || took > 24*time.Second {
				t.Errorf("%s: inserted %v, %v, %v after %v", name, next, put, err, took)
			}
			if len(a.owners) != 2 || a.owners[""] != 0 {
				t.Errorf("%s: %d owners of 2 calls", name, len(a.owners))
			}
		})
	}
}

// The server takes effect and its answers are lost, or it does not know whether
// the first ones took effect.
func TestRepeatedInsertReportsInserted(t *testing.T) {
	lost := func(*http.Response) (*http.Response, error) { return nil, errLost }
	unsure := func(*http.Response) (*http.Response, error) {
		return problemAnswer(503, "outcome_unknown", "1"), nil
	}
	for name, answer := range map[string]func(*http.Response) (*http.Response, error){"lost": lost, "unsure": unsure} {
		synctest.Test(t, func(t *testing.T) {
			a, c := newAway(t, 0, nil)
			until := time.Now().Add(5 * time.Second)
			c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := a.RoundTrip(r)
				if err == nil && time.Now().Before(until) {
					return answer(resp)
				}
				return resp, err
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			seq, err := c.Sequencer().Next(ctx, []byte("s"), []byte("k"), nil, 0)
			if !seq.Inserted || seq.N != 1 || err != nil || len(a.sent) < 3 {
				t.Errorf("%s: %+v, %v after %d requests", name, seq, err, len(a.sent))
			}
			until = time.Now().Add(5 * time.Second)
			inserted, err := c.Store().PutIfAbsent(ctx, []byte("k"), 0)
			if !inserted || err != nil || len(a.sent) < 6 || len(a.owners) != 2 {
				t.Errorf("%s: %v, %v after %d requests", name, inserted, err, len(a.sent))
			}
			if next, put, err := insert(ctx, c); next || put || err != nil {
				t.Errorf("%s: another call inserted %v, %v, %v", name, next, put, err)
			}
		})
	}
}

func TestInsertIsUnknownAtTheDeadline(t *testing.T) {
	for name, fail := range failures {
		synctest.Test(t, func(t *testing.T) {
			a, c := newAway(t, time.Hour, fail)
			for op, call := range map[string]func(ctx context.Context) error{
				"Next": func(ctx context.Context) error {
					_, err := c.Sequencer().Next(ctx, []byte("s"), []byte("k"), nil, 0)
					return err
				},
				"PutIfAbsentAs": func(ctx context.Context) error {
					_, err := c.Store().(dedupe.IdempotentStore).PutIfAbsentAs(ctx, "me", []byte("k"), 0)
					return err
				},
			} {
				a.sent = nil // the failures count from the first
				begin := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				wantUnknown(t, call(ctx), op, true)
				cancel()
				if took := time.Since(begin); took > 5*time.Second {
					t.Errorf("%s: %s after %v", name, op, took)
				}
			}
		})
	}
}

// A Forget has no owner: a repetition could remove a later record.
func TestForgetIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAway(t, time.Hour, failures["connections break"])
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		wantUnknown(t, c.Forget(ctx, []byte("k")), "Forget", true)
		wantUnknown(t, c.Store().Forget(ctx, []byte("k")), "Forget", true)
		if len(a.sent) != 2 {
			t.Errorf("%d requests for 2 calls", len(a.sent))
		}
	})
}

// plain is an API whose store and sequencer take no owners.
func plain() API {
	api := newBackend().API
	type store struct{ dedupe.Store }
	type sequencer struct{ dedupe.Sequencer }
	wrapped, numbers := api.Store, api.Sequencer
	api.Store = func(r *http.Request, tenant string) (dedupe.Store, error) {
		s, err := wrapped(r, tenant)
		return store{s}, err
	}
	api.Sequencer = func(r *http.Request, tenant string) (dedupe.Sequencer, error) {
		s, err := numbers(r, tenant)
		return sequencer{s}, err
	}
	return api
}

func TestWithoutOwnersTheClientDoesNotRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newAway(t, 0, nil)
		a.h = NewHandler(plain())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if next, put, err := insert(ctx, c); !next || !put || err != nil {
			t.Errorf("inserted %v, %v, %v", next, put, err)
		}
		if len(a.sent) != 4 || a.owners[""] != 2 {
			t.Errorf("%d requests, %d without an owner; want 2 of 4", len(a.sent), a.owners[""])
		}
		_, err := c.Store().(dedupe.IdempotentStore).PutIfAbsentAs(ctx, "me", []byte("other"), 0)
		if !errors.Is(err, ErrOwnerUnsupported) || errors.Is(err, dedupe.ErrUnknownOutcome) {
			t.Errorf("PutIfAbsentAs: %v", err)
		}
		_, err = c.Sequencer().(dedupe.IdempotentSequencer).NextAs(ctx, "me", []byte("s"), []byte("other"), nil, 0)
		if !errors.Is(err, ErrOwnerUnsupported) {
			t.Errorf("NextAs: %v", err)
		}
		c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := a.RoundTrip(r)
			if err == nil && resp.StatusCode == http.StatusOK {
				return nil, errLost
			}
			return resp, err
		})
		a.sent = nil
		_, err = c.Store().PutIfAbsent(ctx, []byte("other"), 0)
		wantUnknown(t, err, "PutIfAbsent", false)
		_, err = c.Sequencer().Next(ctx, []byte("s"), []byte("other"), nil, 0)
		wantUnknown(t, err, "Next", true)
		if len(a.sent) != 4 {
			t.Errorf("%d requests, want 2 for each of 2 calls", len(a.sent))
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
