package problem_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"flow.internal/capdo/internal/problem"
)

func TestAProblemIsWrittenWhole(t *testing.T) {
	type more struct {
		problem.Problem
		Node string `json:"node"`
	}
	for name, c := range map[string]struct {
		write      func(w *httptest.ResponseRecorder)
		body, wait string
	}{
		"a problem": {
			func(w *httptest.ResponseRecorder) {
				problem.Problem{Status: 409, Code: "in_progress", Detail: "d", Hint: "h", RetryAfter: 1001 * time.Millisecond}.Write(w)
			},
			`{"status":409,"title":"Conflict","code":"in_progress","detail":"d","hint":"h"}`, "2",
		},
		"one with more members": {
			func(w *httptest.ResponseRecorder) {
				p := more{problem.Problem{Status: 409, Code: "c"}, "n"}
				problem.Write(w, &p.Problem, &p)
			},
			`{"status":409,"title":"Conflict","code":"c","detail":"","node":"n"}`, "",
		},
	} {
		w := httptest.NewRecorder()
		c.write(w)
		h := w.Header()
		if w.Code != 409 || w.Body.String() != c.body+"\n" || h.Get("Retry-After") != c.wait {
			t.Errorf("%s: %d %s, Retry-After %q", name, w.Code, w.Body, h.Get("Retry-After"))
		}
		if h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", name, h)
		}
	}
}
