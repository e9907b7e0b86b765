//go:build !js

package harness

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
)

// dedupeTests test /dedupe and /sequence.
var dedupeTests = []test{
	{"the alarm empties the object of an expired key", (*server).testExpiredKey}, // first, before other objects exist
	{"the README's requests", (*server).testReadme},
	{"of 50 at once exactly one inserts", func(s *server) { s.race(1, 50) }},
	{"of 12 callers for each of 12 keys exactly one inserts", func(s *server) { s.race(12, 12) }},
	{"a TTL of 300 ms expires", (*server).testShortTTL},
	{"dedupe: bad input is 400", (*server).testBadKeys},
	{"is a dedupe.Store", func(s *server) { dedupetest.TestStore(s.t, s.store) }},
	{"stands the hammer", func(s *server) { dedupetest.Hammer(s.t, s.store) }},
	{"a sequence has no gap, and a key one number", (*server).testSequence},
	{"acknowledged claims and alarms survive SIGKILL", (*server).testSIGKILL},
}

func (s *server) testExpiredKey() {
	s.want("POST /dedupe/put_if_absent", `{"key":"alarm","ttl_seconds":1}`, 200, `{"inserted":true}`)
	if n := s.records(); n != 1 {
		s.t.Errorf("%d records on disk after the claim", n)
	}
	for end := time.Now().Add(10 * time.Second); s.records() > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%d records on disk 10 s after the claim", s.records())
		}
	}
	s.want("POST /dedupe/put_if_absent", `{"key":"alarm","ttl_seconds":60}`, 200, `{"inserted":true}`)
}

func (s *server) testReadme() {
	s.want("POST /dedupe/put_if_absent", `{"key":"alpha","ttl_seconds":60}`, 200, `{"inserted":true}`)
	s.want("POST /dedupe/put_if_absent", `{"key":"alpha","ttl_seconds":60}`, 200, `{"inserted":false}`)
	s.want("POST /dedupe/forget", `{"key":"alpha"}`, 200, `{"success":true}`)
	s.want("POST /dedupe/put_if_absent", `{"key":"alpha","ttl_seconds":60}`, 200, `{"inserted":true}`)
	s.want("GET /health", "", 200, `{"status":"ok"}`)
}

func (s *server) testShortTTL() {
	const put = "POST /dedupe/put_if_absent"
	for ttl := 300 * time.Millisecond; ; ttl *= 4 { // a busy machine may need longer for two requests
		const body = `{"key":"short %v","ttl_seconds":%v}`
		short, long := fmt.Sprintf(body, ttl, ttl.Seconds()), fmt.Sprintf(body, ttl, 60)
		begin := time.Now()
		s.want(put, short, 200, `{"inserted":true}`)
		status, text, err := s.send(s.t.Context(), put, short)
		if took := time.Since(begin); took > ttl && ttl < time.Minute {
			continue
		}
		if err != nil || status != 200 || text != `{"inserted":false}` {
			s.t.Errorf("within the TTL: %d %s %v", status, text, err)
		}
		time.Sleep(ttl + 100*time.Millisecond)
		s.want(put, long, 200, `{"inserted":true}`)
		s.want(put, long, 200, `{"inserted":false}`)
		return
	}
}

func (s *server) testBadKeys() {
	for _, bad := range []struct{ body, field, code string }{
		{``, "", "invalid_json"},
		{`{`, "", "invalid_json"},
		{`[]`, "", "invalid_json"},
		{`{"key":"k"} {}`, "", "invalid_json"},
		{`{"key":"\ud800"}`, "", "invalid_json"},
		{"{\"key\":\"\xff\"}", "", "invalid_json"},
		{`{}`, "key", "invalid_input"},
		{`{"key":7}`, "key", "invalid_input"},
		{`{"key":"k","ttl_second":7}`, "ttl_second", "invalid_input"},
		{`{"key":"k","ttl_seconds":"7"}`, "ttl_seconds", "invalid_input"},
		{`{"key":"k","encoding":"hex"}`, "encoding", "invalid_input"},
		{`{"key":"!","encoding":"base64"}`, "key", "invalid_input"},
		{`{"key":""}`, "key", "key_empty"},
		{`{"key":"k","ttl_seconds":-1}`, "ttl_seconds", "invalid_ttl"},
		{`{"key":"k","ttl_seconds":1e300}`, "ttl_seconds", "invalid_ttl"},
		{`{"key":"` + strings.Repeat("x", 2049) + `"}`, "key", "key_too_large"},
		{`{"key":"` + strings.Repeat("x", 20_000) + `"}`, "key", "key_too_large"},
	} {
		s.wantError("POST /dedupe/put_if_absent", bad.body, 400, bad.code, bad.field)
	}
	s.wantError("POST /dedupe/forget", `{}`, 400, "invalid_input", "key")
	s.wantError("POST /dedupe/forget?binding=NOPE", `{"key":"k"}`, 500, "no_binding", "")
	s.wantError("POST /dedupe/put_if_absent", `{"key":"`+strings.Repeat("x", 40_000)+`"}`, 413, "body_too_large", "")
	s.wantError("GET /dedupe/put_if_absent", "", 405, "method_not_allowed", "")
}

func (s *server) testSequence() {
	next := func(body string) (answer struct {
		N        int64 `json:"n"`
		Inserted bool  `json:"inserted"`
	}) {
		s.t.Helper()
		s.decode(&answer, "POST /sequence/next", body)
		return answer
	}
	for n := range int64(5) {
		body := fmt.Sprintf(`{"stream":"orders","key":"o-%d","hash":"h"}`, n)
		if a := next(body); a.N != n+1 || !a.Inserted {
			s.t.Errorf("%s: %+v", body, a)
		}
		if a := next(body); a.N != n+1 || a.Inserted {
			s.t.Errorf("%s again: %+v", body, a)
		}
	}
	s.wantError("POST /sequence/next", `{"stream":"orders","key":"o-1","hash":"other"}`, 409, "mismatch", "")
	if a := next(`{"stream":"others","key":"o-1","hash":"other"}`); a.N != 1 {
		s.t.Errorf("another stream starts with %d", a.N)
	}
	s.wantError("POST /sequence/next", `{"key":"k","hash":"h"}`, 400, "invalid_input", "stream")
	s.wantError("POST /sequence/next", `{"stream":"s","hash":"h"}`, 400, "invalid_input", "key")
	s.wantError("POST /sequence/next", `{"stream":"s","key":"k","hash":7}`, 400, "invalid_input", "hash")
	s.wantError("POST /sequence/next", `{"stream":"s","key":"k","hash":"`+strings.Repeat("h", 65)+`"}`, 400, "hash_too_large", "hash")
	s.wantError("POST /sequence/next", `{"stream":"`+strings.Repeat("s", 2049)+`","key":"k","hash":"h"}`, 400, "invalid_input", "stream")
	s.wantError("POST /sequence/next", `{"stream":"s","key":"`+strings.Repeat("k", 2049)+`","hash":"h"}`, 400, "key_too_large", "key")
}

// records counts the objects that have a record in their files, which wrangler
// dev keeps.
func (s *server) records() int {
	files, err := filepath.Glob(filepath.Join(s.Disk, "v3/do/*/*"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("no files of objects under %s: %v", s.Disk, err)
	}
	objects := map[string]bool{}
	for _, file := range files {
		// A file may disappear while it is read: then it has no record.
		if b, _ := os.ReadFile(file); bytes.Contains(b, []byte("_capdo_dedupe")) {
			name, _, _ := strings.Cut(filepath.Base(file), ".")
			objects[name] = true
		}
	}
	return len(objects)
}

// race makes concurrent callers insert each of several keys. Exactly one caller
// must insert each key.
func (s *server) race(keys, callers int) {
	s.t.Helper()
	inserted := make([]int, keys)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range keys * callers {
		wg.Go(func() {
			key := n % keys
			status, text, err := s.send(s.t.Context(), "POST /dedupe/put_if_absent", fmt.Sprintf(`{"key":"race %d of %d","ttl_seconds":60}`, key, keys))
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

// testSIGKILL kills everything while claims are in flight and an alarm is set.
// Afterwards each acknowledged claim, a value and the alarm's delivery must
// exist.
func (s *server) testSIGKILL() {
	const object = "?object=killed"
	s.want("POST /storage/put"+object, `{"key":"a","value":"kept"}`, 200, `{"success":true}`)
	acknowledged, sent := s.claimUntilKilled("first", func() {})
	var at int64
	more, moreSent := s.claimUntilKilled("second", func() { at = s.setAlarm(object, 5*time.Second, "") })
	for _, key := range append(acknowledged, more...) {
		s.want("POST /dedupe/put_if_absent", fmt.Sprintf(`{"key":%q,"ttl_seconds":3600}`, key), 200, `{"inserted":false}`)
	}
	s.want("GET /storage/get"+object+"&key=a", "", 200, `{"found":true,"value":"kept"}`)
	log := s.waitForDeliveries(object, 1)
	if log[0].ScheduledMS != at || log[0].DeliveredMS < at {
		s.t.Errorf("the alarm for %d: %+v", at, log)
	}
	s.t.Logf("%d claims sent, %d acknowledged, 2 kills, all acknowledged ones found", sent+moreSent, len(acknowledged)+len(more))
}

// claimUntilKilled makes eight callers claim keys. After some claims are
// acknowledged it calls before, kills everything, and restarts it.
func (s *server) claimUntilKilled(round string, before func()) (acknowledged []string, sent int) {
	s.t.Helper()
	const callers, enough = 8, 15
	var mu sync.Mutex
	var wg sync.WaitGroup
	reached := make(chan struct{})
	ctx, cancel := context.WithCancel(s.t.Context())
	for caller := range callers {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := fmt.Sprintf("%s round, caller %d, key %d", round, caller, n)
				status, text, err := s.send(ctx, "POST /dedupe/put_if_absent", fmt.Sprintf(`{"key":%q,"ttl_seconds":3600}`, key))
				mu.Lock()
				sent++
				if err == nil && status == 200 && text == `{"inserted":true}` {
					if acknowledged = append(acknowledged, key); len(acknowledged) == enough {
						close(reached)
					}
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(time.Minute):
		s.t.Errorf("in a minute fewer than %d claims were acknowledged", enough)
	}
	before()
	began := time.Now()
	s.Kill()
	if took := time.Since(began); took > 4*time.Second {
		s.t.Errorf("the kill took %v, so the alarm may have been delivered earlier", took)
	}
	cancel()
	wg.Wait()
	s.Run()
	return acknowledged, sent
}

// store returns the harness as a dedupe.Store with its own keys.
func (s *server) store(t *testing.T) dedupe.Store {
	return &store{server: s.in(t), prefix: t.Name() + "\x00"}
}

type store struct {
	*server
	prefix string
}

func (s *store) Name() string { return "dedupe.harness" }

func (s *store) PutIfAbsent(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
	text, err := s.do(ctx, "POST /dedupe/put_if_absent", key, ttl)
	return text == `{"inserted":true}`, wrap("PutIfAbsent", err)
}

func (s *store) Forget(ctx context.Context, key []byte) error {
	_, err := s.do(ctx, "POST /dedupe/forget", key, 0)
	return wrap("Forget", err)
}

func (s *store) do(ctx context.Context, path string, key []byte, ttl time.Duration) (string, error) {
	if len(key) > 0 && len(s.prefix)+len(key) <= dedupe.MaxKeySize { // a key at the size limit is unique enough without a prefix
		key = append([]byte(s.prefix), key...)
	}
	body, err := json.Marshal(map[string]any{"key": base64.StdEncoding.EncodeToString(key), "encoding": "base64", "ttl_seconds": seconds(ttl)})
	if err != nil {
		return "", err
	}
	status, text, err := s.send(ctx, path, string(body))
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

// seconds keeps a duration exact in a JSON number, down to the harness's
// rounding to ns.
func seconds(d time.Duration) float64 {
	s := d.Seconds()
	if time.Duration(math.Ceil(s*float64(time.Second))) < d {
		s = math.Nextafter(s, math.Inf(1))
	}
	return s
}
