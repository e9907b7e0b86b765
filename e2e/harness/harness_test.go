//go:build !js

// Package harness tests examples/harness as a user runs it: under wrangler dev,
// started by capdo dev, with both of its configs.
package harness

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/dev"
	"flow.internal/capdo/e2e/internal/request"
)

func TestMain(m *testing.M) { dev.Main(m) }

// TestHarness uses the default config: both classes are backed by SQLite.
func TestHarness(t *testing.T) {
	testConfig(t, "wrangler.jsonc", false, dedupeTests, storageTests, alarmTests, sqlTests, idTests, otherTests, guardTests)
}

// TestKeyValue uses the ticket's config: FlowDurableObject is backed by
// key-value storage. The class with SQL and the guard are as in the other
// config.
func TestKeyValue(t *testing.T) {
	testConfig(t, "wrangler.toml", true, dedupeTests, storageTests, alarmTests, sqlTests[:1], idTests, otherTests)
}

// test is a test on the server that all tests of a config share, one after
// another.
type test struct {
	name string
	run  func(*server)
}

func testConfig(t *testing.T, config string, isKV bool, groups ...[]test) {
	s := &server{dev.Start(t, "../../examples/harness/"+config, "/health"), t, isKV}
	for _, tests := range groups {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) { test.run(s.in(t)) })
		}
	}
}

// server is the running harness.
type server struct {
	*dev.Server
	t    *testing.T
	isKV bool // FlowDurableObject is backed by key-value storage
}

func (s *server) in(t *testing.T) *server {
	c := *s
	c.t = t
	return &c
}

var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 200}}

// request makes a request from "METHOD /path", with a JSON body unless it is
// empty.
func (s *server) request(ctx context.Context, line, body string) *http.Request {
	s.t.Helper()
	method, path, _ := strings.Cut(line, " ")
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// send returns the status and the body of an answer.
func (s *server) send(ctx context.Context, line, body string) (int, string, error) {
	a, err := request.Do(client, s.request(ctx, line, body))
	if err != nil {
		return 0, "", err
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if got := a.Header.Get(name); got != want {
			s.t.Errorf("%s: %s is %q", line, name, got)
		}
	}
	return a.Status, strings.TrimSpace(a.Body), nil
}

// want fails the test unless a request gets that status and that body.
func (s *server) want(line, body string, status int, answer string) {
	s.t.Helper()
	got, text, err := s.send(s.t.Context(), line, body)
	if err != nil || got != status || text != answer {
		s.t.Errorf("%s %.200s: %d %.300s %v, want %d %s", line, body, got, text, err, status, answer)
	}
}

// wantError fails the test unless a request gets that status, and an error with
// that code and field.
func (s *server) wantError(line, body string, status int, code, field string) (name string) {
	s.t.Helper()
	got, text, err := s.send(s.t.Context(), line, body)
	var f struct{ Error, Code, Name, Field string }
	if err == nil {
		err = json.Unmarshal([]byte(text), &f)
	}
	if err != nil || got != status || f.Code != code || f.Field != field || f.Error == "" || code == "invalid_input" && !strings.Contains(f.Error, field) {
		s.t.Errorf("%s %.200s: %d %s %v, want %d with code %s and field %q", line, body, got, text, err, status, code, field)
	}
	return f.Name
}

// decode sends a request that must succeed.
func (s *server) decode(v any, line, body string) {
	s.t.Helper()
	status, text, err := s.send(s.t.Context(), line, body)
	if err == nil {
		err = json.Unmarshal([]byte(text), v)
	}
	if err != nil || status != 200 {
		s.t.Fatalf("%s %s: %d %.300s %v", line, body, status, text, err)
	}
}
