//go:build !js

package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever is answered, no cache keeps it and no browser takes it for something
// else: also what no handler of the harness writes, such as a redirect.
func TestEveryAnswerIsPrivate(t *testing.T) {
	requests := []string{"GET /", "GET /health", "PUT /health", "GET /nowhere", "GET //health", "GET /storage/../health", "OPTIONS *", "GET /" + strings.Repeat("x", 9000)}
	for _, r := range routes() {
		requests = append(requests, r.pattern)
	}
	for _, line := range requests {
		method, path, _ := strings.Cut(line, " ")
		w := httptest.NewRecorder()
		newMux().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%.40s: %d %v", line, w.Code, h)
		}
	}
}
