//go:build !js

package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/request"
)

// mostMemory is the limit of wasm memory, in bytes. An isolate has 128 MB,
// including JavaScript's memory, and wasm memory never shrinks.
const mostMemory = 96 << 20

// wasm returns the size of the program's memory, in bytes.
func (l *lab) wasm() int {
	return ask[struct{ Memory int }](l, "/stats", nil).Memory
}

// reply is the service's answer to a request.
type reply struct {
	status     int
	retryAfter string
	text       string
}

// code returns the code of a problem, or "" for another answer.
func (r reply) code() string {
	var p struct{ Code string }
	json.Unmarshal([]byte(r.text), &p)
	return p.Code
}

// crowdClient makes any number of concurrent requests.
var crowdClient = &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 10}}

// send makes a request of a tenant. A path below /v1/ goes to the ledger's API.
// Otherwise it calls the handler behind the middleware, with path as the key.
func (l *lab) send(ctx context.Context, tenant, path string, header map[string]string, body []byte) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", l.server.URL+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for name, value := range l.header(tenant, header) {
		r.Header.Set(name, value)
	}
	a, err := request.Do(crowdClient, r)
	return reply{a.Status, a.Header.Get("Retry-After"), a.Body}, err
}

func (l *lab) header(tenant string, more map[string]string) map[string]string {
	h := map[string]string{
		"Authorization": "Bearer " + tenant + "-0123456789abcdef0123456789abcdef",
		"Tenant":        tenant,
		"Content-Type":  "application/json",
	}
	for name, value := range more {
		h[name] = value
	}
	return h
}

// tenantsClaim claims a key over the API.
func tenantsClaim(key string, wait time.Duration) []byte {
	b, _ := json.Marshal(map[string]any{"key": []byte(key), "owner": []byte(rand()), "lease_ms": 3_600_000, "wait_ms": wait.Milliseconds()})
	return b
}

var owners struct {
	sync.Mutex
	n int
}

func rand() string {
	owners.Lock()
	defer owners.Unlock()
	owners.n++
	return fmt.Sprint("owner ", owners.n)
}

// held is a claim in the API's form.
type held struct {
	Outcome, Ledger, Fence string
	key, owner             []byte
}

func (l *lab) hold(tenant, key string) held {
	l.Helper()
	h := held{key: []byte(key), owner: []byte(rand())}
	b, _ := json.Marshal(map[string]any{"key": h.key, "owner": h.owner, "lease_ms": 3_600_000})
	r, err := l.send(l.Context(), tenant, "/v1/claims", nil, b)
	if err != nil || json.Unmarshal([]byte(r.text), &h) != nil || h.Outcome != "acquired" {
		l.Fatalf("%s claims: %d %s, %v", tenant, r.status, r.text, err)
	}
	return h
}

func (h *held) completion(result []byte) []byte {
	b, _ := json.Marshal(map[string]any{"ledger": h.Ledger, "key": h.key, "owner": h.owner, "fence": h.Fence, "result": result})
	return b
}

// stall sends a request without its last byte, over a connection that stays
// open until the test ends. It does not wait for an answer.
func (l *lab) stall(tenant, path string, header map[string]string, body []byte, chunked bool) {
	l.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.server.URL, "http://"))
	if err != nil {
		l.Fatal(err)
	}
	l.stalled = append(l.stalled, conn)
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: localhost\r\n", path)
	for name, value := range l.header(tenant, header) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	if chunked {
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n", len(body))
	} else {
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
	}
	b.Write(body[:len(body)-1])
	l.calls.Go(func() {
		conn.SetDeadline(time.Now().Add(time.Minute))
		conn.Write(b.Bytes())
	})
}

// leave closes the stalled connections.
func (l *lab) leave() {
	for _, conn := range l.stalled {
		conn.Close()
	}
	l.stalled = nil
}

// recovers waits until a tenant can make its most important calls again, which
// shows that nothing of its load remains.
func (l *lab) recovers(tenant string) {
	l.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		// As much as fits into half of the budget, at the same time.
		total, wait := l.at(12, func(i int) (reply, error) {
			header := map[string]string{"Idempotency-Key": "recovery-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + strconv.Itoa(i), "Takes": "700"}
			return l.send(l.Context(), tenant, "/charges", header, make([]byte, 700<<10))
		})
		wait()
		if total.by["200"] == 12 {
			return
		}
		if time.Now().After(end) {
			l.Errorf("%s is still not served: %v", tenant, total.by)
			return
		}
	}
}

// sum counts replies by status and code.
type sum struct {
	sync.Mutex
	by     map[string]int
	silent int // refusals without Retry-After
}

func (s *sum) add(r reply, err error) {
	s.Lock()
	defer s.Unlock()
	if s.by == nil {
		s.by = map[string]int{}
	}
	if r.status == http.StatusServiceUnavailable && r.retryAfter == "" {
		s.silent++
	}
	switch {
	case err != nil:
		s.by["error"]++
	default:
		s.by[strings.TrimSpace(fmt.Sprint(r.status, " ", r.code()))]++
	}
}

// at makes n requests at the same time.
func (l *lab) at(n int, request func(i int) (reply, error)) (total *sum, wait func()) {
	total = &sum{}
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		l.calls.Go(func() {
			defer wg.Done()
			total.add(request(i))
		})
	}
	return total, wg.Wait
}

// modest makes the calls of another tenant, which must succeed.
func (l *lab) modest(during string) {
	l.Helper()
	for i := range 5 {
		h := l.hold("modest", fmt.Sprint(during, i))
		r, err := l.send(l.Context(), "modest", "/v1/claims/complete", nil, h.completion(bytes.Repeat([]byte("r"), 1000)))
		if err != nil || r.status != 200 {
			l.Errorf("%s: another tenant's completion: %d %s, %v", during, r.status, r.text, err)
		}
		r, err = l.send(l.Context(), "modest", "/charges", map[string]string{"Idempotency-Key": fmt.Sprint(during, i)}, make([]byte, 1000))
		if err != nil || !strings.HasPrefix(r.text, "charged for 1000 bytes") {
			l.Errorf("%s: another tenant's charge: %d %s, %v", during, r.status, r.text, err)
		}
	}
}

// One tenant cannot use all of the isolate's memory. Another tenant is served
// meanwhile.
func TestATenantsLoadLeavesRoom(t *testing.T) {
	f := newFigures()
	defer func() { t.Logf("figures\n%s", f) }()
	key := func(i int) map[string]string { return map[string]string{"Idempotency-Key": fmt.Sprint("k", i)} }
	large := bytes.Repeat([]byte("b"), 1<<20)
	slow := func(i int) map[string]string {
		h := key(i)
		h["Takes"] = "3000"
		return h
	}
	for _, c := range []struct {
		name string
		load func(l *lab) (total *sum, wait func())
	}{
		{"3,000 wait for 100 keys, over the API", func(l *lab) (*sum, func()) {
			for i := range 100 {
				l.hold("greedy", fmt.Sprint("k", i))
			}
			ctx, leave := context.WithCancel(l.Context())
			total, wait := l.at(3000, func(i int) (reply, error) {
				return l.send(ctx, "greedy", "/v1/claims", nil, tenantsClaim(fmt.Sprint("k", i%100), 30*time.Second))
			})
			return total, func() { leave(); wait() }
		}},
		{"60 completions of 1 MiB", func(l *lab) (*sum, func()) {
			var claims []held
			for i := range 60 {
				claims = append(claims, l.hold("greedy", fmt.Sprint("k", i)))
			}
			return l.at(60, func(i int) (reply, error) {
				return l.send(l.Context(), "greedy", "/v1/claims/complete", nil, claims[i].completion(large))
			})
		}},
		{"100 uploads that stall", func(l *lab) (*sum, func()) {
			h := l.hold("greedy", "k")
			for range 100 {
				l.stall("greedy", "/v1/claims/complete", nil, h.completion(large), false)
			}
			return &sum{}, func() {}
		}},
		{"100 uploads without a length that stall", func(l *lab) (*sum, func()) {
			h := l.hold("greedy", "k")
			for range 100 {
				l.stall("greedy", "/v1/claims/complete", nil, h.completion(large), true)
			}
			return &sum{}, func() {}
		}},
		{"3,000 requests for 100 keys, behind the middleware", func(l *lab) (*sum, func()) {
			ctx, leave := context.WithCancel(l.Context())
			total, wait := l.at(3000, func(i int) (reply, error) {
				h := key(i % 100)
				h["Takes"] = "20000"
				return l.send(ctx, "greedy", "/charges", h, []byte("body"))
			})
			return total, func() { leave(); wait() }
		}},
		{"100 requests of 1 MiB, behind the middleware", func(l *lab) (*sum, func()) {
			return l.at(100, func(i int) (reply, error) { return l.send(l.Context(), "greedy", "/charges", slow(i), large) })
		}},
		{"100 uploads that stall, behind the middleware", func(l *lab) (*sum, func()) {
			for i := range 100 {
				l.stall("greedy", "/charges", key(i), large, i%2 == 0)
			}
			return &sum{}, func() {}
		}},
		{"100 replays of 1 MiB", func(l *lab) (*sum, func()) {
			h := l.hold("greedy", "k")
			if r, err := l.send(l.Context(), "greedy", "/v1/claims/complete", nil, h.completion(large)); err != nil || r.status != 200 {
				l.Fatalf("%d %s, %v", r.status, r.text, err)
			}
			return l.at(100, func(i int) (reply, error) {
				return l.send(l.Context(), "greedy", "/v1/claims", nil, tenantsClaim("k", 0))
			})
		}},
		{"five tenants, each with completions, charges, and uploads that stall", func(l *lab) (*sum, func()) {
			tenant := func(i int) string { return fmt.Sprint("greedy", 1+i%5) }
			var claims []held
			for i := range 50 {
				claims = append(claims, l.hold(tenant(i), fmt.Sprint("k", i)))
			}
			for i := range 50 {
				l.stall(tenant(i), "/charges", key(i), large[:50_000], i%2 == 0)
			}
			return l.at(150, func(i int) (reply, error) {
				if i >= 50 {
					return l.send(l.Context(), tenant(i), "/charges", slow(i), large[:300_000])
				}
				return l.send(l.Context(), tenant(i), "/v1/claims/complete", nil, claims[i].completion(large))
			})
		}},
		{"100 responses of 900 KiB, behind the middleware", func(l *lab) (*sum, func()) {
			return l.at(100, func(i int) (reply, error) {
				h := slow(i)
				h["Size"] = "900000"
				return l.send(l.Context(), "greedy", "/charges", h, nil)
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := start(t)
			l.modest("before")
			before := l.wasm()
			total, wait := c.load(l)
			time.Sleep(2 * time.Second) // until the load has built up
			l.modest("meanwhile")
			meanwhile := l.wasm()
			wait()
			l.leave()
			l.modest("afterwards")
			l.recovers("greedy")
			after := l.wasm()
			f.row(c.name, "%d MiB, then %d, then %d; %v", before>>20, meanwhile>>20, after>>20, total.by)
			if after > mostMemory {
				t.Errorf("wasm memory grew to %d MiB", after>>20)
			}
			if total.silent > 0 {
				t.Errorf("%d refusals have no Retry-After", total.silent)
			}
		})
	}
}
