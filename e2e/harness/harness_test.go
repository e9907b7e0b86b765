//go:build !js

// Package harness tests examples/harness as its user sees it: under wrangler dev, started by capdo dev.
package harness

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/e2e/internal/dev"
)

func TestMain(m *testing.M) { dev.Main(m) }

// server is the harness as it is served.
type server struct {
	*dev.Server
	t testing.TB
}

// start serves the harness on a disk of its own.
func start(t testing.TB) *server {
	t.Helper()
	return &server{dev.Start(t, "../../examples/harness", "/health"), t}
}

var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 200}}

// post sends a body and returns the status and the JSON that comes back, as text.
func (s *server) post(ctx context.Context, path, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", s.URL+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(b)), err
}

// want fails the test unless a POST gives that status and a body that starts so.
func (s *server) want(path, body string, status int, start string) {
	s.t.Helper()
	got, text, err := s.post(s.t.Context(), path, body)
	if err != nil || got != status || !strings.HasPrefix(text, start) {
		s.t.Errorf("POST %s %s: %d %s %v, want %d %s", path, body, got, text, err, status, start)
	}
}

func TestHarness(t *testing.T) {
	s := start(t)
	t.Run("the alarm empties the object of an expired key", func(t *testing.T) { // first, while there is no other object
		s := s.in(t)
		s.want("/dedupe/put_if_absent", `{"key":"alarm","ttl_seconds":1}`, 200, `{"inserted":true}`)
		if n := s.records(); n != 1 {
			t.Errorf("%d records on disk after the claim", n)
		}
		for end := time.Now().Add(10 * time.Second); s.records() > 0; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d records on disk 10 s after the claim", s.records())
			}
		}
		s.want("/dedupe/put_if_absent", `{"key":"alarm","ttl_seconds":60}`, 200, `{"inserted":true}`)
	})
	t.Run("the README's requests", func(t *testing.T) {
		s := s.in(t)
		s.want("/dedupe/put_if_absent", `{"key":"alpha","ttl_seconds":60}`, 200, `{"inserted":true}`)
		s.want("/dedupe/put_if_absent", `{"key":"alpha","ttl_seconds":60}`, 200, `{"inserted":false}`)
		s.want("/dedupe/forget", `{"key":"alpha"}`, 200, `{"success":true}`)
		s.want("/dedupe/put_if_absent", `{"key":"alpha","ttl_seconds":60}`, 200, `{"inserted":true}`)
		resp, err := client.Get(s.URL + "/health")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || strings.TrimSpace(string(b)) != `{"status":"ok"}` {
			t.Errorf("GET /health: %d %s", resp.StatusCode, b)
		}
	})
	t.Run("bad input is 400 with an error", func(t *testing.T) {
		s := s.in(t)
		for _, body := range []string{``, `{`, `[]`, `{}`, `{"key":7}`, `{"key":""}`, `{"key":"k","ttl_seconds":-1}`, `{"key":"k","ttl_seconds":1e300}`,
			`{"key":"k","encoding":"hex"}`, `{"key":"!","encoding":"base64"}`, `{"key":"` + strings.Repeat("x", 2049) + `"}`, `{"key":"` + strings.Repeat("x", 20_000) + `"}`} {
			s.want("/dedupe/put_if_absent", body, 400, `{"error":"`)
		}
		s.want("/dedupe/forget", `{}`, 400, `{"error":"`)
	})
	t.Run("a claim from elsewhere needs a token", func(t *testing.T) {
		s := s.in(t)
		r, err := http.NewRequest("POST", s.URL+"/dedupe/forget", strings.NewReader(`{"key":"alpha"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "harness.example.com"
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
	t.Run("of 50 at once exactly one inserts", func(t *testing.T) { s.in(t).race(1, 50) })
	t.Run("of 12 callers for each of 12 keys exactly one inserts", func(t *testing.T) { s.in(t).race(12, 12) })
	t.Run("a TTL of 300 ms expires", func(t *testing.T) {
		s := s.in(t)
		s.want("/dedupe/put_if_absent", `{"key":"short","ttl_seconds":0.3}`, 200, `{"inserted":true}`)
		s.want("/dedupe/put_if_absent", `{"key":"short","ttl_seconds":0.3}`, 200, `{"inserted":false}`)
		time.Sleep(400 * time.Millisecond)
		s.want("/dedupe/put_if_absent", `{"key":"short","ttl_seconds":60}`, 200, `{"inserted":true}`)
		s.want("/dedupe/put_if_absent", `{"key":"short","ttl_seconds":60}`, 200, `{"inserted":false}`)
	})
	t.Run("is a dedupe.Store", func(t *testing.T) { dedupetest.TestStore(t, s.store) })
	t.Run("stands the hammer", func(t *testing.T) { dedupetest.Hammer(t, s.store) })
}

func (s *server) in(t testing.TB) *server {
	c := *s
	c.t = t
	return &c
}

// records counts the objects whose files, as wrangler dev keeps them, have a record.
func (s *server) records() int {
	files, err := filepath.Glob(filepath.Join(s.Disk, "v3/do/*/*"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no files of objects under %s: %v", s.Disk, err)
	}
	objects := map[string]bool{}
	for _, file := range files {
		// A file may go while it is looked at: then it has none.
		if b, _ := os.ReadFile(file); bytes.Contains(b, []byte("_capdo_dedupe")) {
			name, _, _ := strings.Cut(filepath.Base(file), ".")
			objects[name] = true
		}
	}
	return len(objects)
}

// race has callers at once for each of a number of keys, of which one each must insert.
func (s *server) race(keys, callers int) {
	s.t.Helper()
	inserted := make([]int, keys)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range keys * callers {
		wg.Go(func() {
			key := n % keys
			status, text, err := s.post(s.t.Context(), "/dedupe/put_if_absent", fmt.Sprintf(`{"key":"race %d of %d","ttl_seconds":60}`, key, keys))
			if err != nil || status != 200 {
				s.t.Errorf("%d %s %v", status, text, err)
			}
			if text == `{"inserted":true}` {
				mu.Lock()
				inserted[key]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for key, n := range inserted {
		if n != 1 {
			s.t.Errorf("key %d was inserted %d times", key, n)
		}
	}
}

// TestSIGKILL kills everything while claims are on their way, and looks afterwards for each that was acknowledged.
func TestSIGKILL(t *testing.T) {
	s := start(t)
	var mu sync.Mutex
	var acknowledged []string
	sent := 0
	for round := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for caller := range 8 {
			wg.Go(func() {
				for n := 0; ctx.Err() == nil && n < 1000; n++ {
					key := fmt.Sprintf("round %d caller %d key %d", round, caller, n)
					status, text, err := s.post(ctx, "/dedupe/put_if_absent", fmt.Sprintf(`{"key":%q,"ttl_seconds":3600}`, key))
					mu.Lock()
					sent++
					if err == nil && status == 200 && text == `{"inserted":true}` {
						acknowledged = append(acknowledged, key)
					}
					mu.Unlock()
				}
			})
		}
		time.Sleep(1200 * time.Millisecond)
		s.Kill()
		cancel()
		wg.Wait()
		s.Run()
	}
	if len(acknowledged) < 20 {
		t.Errorf("only %d claims were acknowledged", len(acknowledged))
	}
	for _, key := range acknowledged {
		s.want("/dedupe/put_if_absent", fmt.Sprintf(`{"key":%q,"ttl_seconds":3600}`, key), 200, `{"inserted":false}`)
	}
	t.Logf("%d claims sent, %d acknowledged, 2 kills, all acknowledged ones found", sent, len(acknowledged))
}

// store returns the harness as a dedupe.Store whose keys are its own.
func (s *server) store(t *testing.T) dedupe.Store {
	return &store{server: s.in(t), prefix: t.Name() + "\x00"}
}

type store struct {
	*server
	prefix string
}

func (s *store) Name() string { return "dedupe.harness" }

func (s *store) PutIfAbsent(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
	text, err := s.do(ctx, "/dedupe/put_if_absent", key, ttl)
	return text == `{"inserted":true}`, wrap("PutIfAbsent", err)
}

func (s *store) Forget(ctx context.Context, key []byte) error {
	_, err := s.do(ctx, "/dedupe/forget", key, 0)
	return wrap("Forget", err)
}

func (s *store) do(ctx context.Context, path string, key []byte, ttl time.Duration) (string, error) {
	if len(key) > 0 && len(s.prefix)+len(key) <= dedupe.MaxKeySize { // at the limit a key is rare enough by itself
		key = append([]byte(s.prefix), key...)
	}
	body, err := json.Marshal(map[string]any{"key": base64.StdEncoding.EncodeToString(key), "encoding": "base64", "ttl_seconds": seconds(ttl)})
	if err != nil {
		return "", err
	}
	status, text, err := s.post(ctx, path, string(body))
	if err == nil && status != 200 {
		err = errors.New(text)
		for _, known := range []error{dedupe.ErrKeyEmpty, dedupe.ErrKeyTooLarge, dedupe.ErrInvalidTTL} {
			if strings.Contains(text, known.Error()) {
				err = known
			}
		}
	}
	return text, err
}

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &dedupe.Error{Op: op, Kind: dedupe.Other, Err: err}
}

// seconds keeps a duration exact through JSON's numbers, down to the harness's rounding to ns.
func seconds(d time.Duration) float64 {
	s := d.Seconds()
	if time.Duration(math.Ceil(s*float64(time.Second))) < d {
		s = math.Nextafter(s, math.Inf(1))
	}
	return s
}
