//go:build !js

package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// Answers about payments must not be cached, and browsers must not guess their
// type.
func TestEveryAnswerIsPrivate(t *testing.T) {
	program, err := compile()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"POST /payments", "GET /payments", "GET /payments/pay_1", "GET /payments/%20", "PUT /payments/pay_1", "GET //payments",
		"GET /nowhere", "GET /console/state", "GET /console/live", "POST /console", "GET /console/static/nothing"} {
		method, path, _ := strings.Cut(line, " ")
		w := httptest.NewRecorder()
		routes(program).ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", line, w.Code, h)
		}
	}
}
