//go:build !js

package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// No answer may be cached, and browsers must not guess its type. This includes
// answers that no handler writes, such as redirects.
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
