//go:build !js

package flowhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/memdedupe"
	"flow.internal/capdo/flow"
)

// program returns a flow with an entry that passes its input to work.
func program(t *testing.T, d flow.Delivery, work func(ctx context.Context, in map[string]any) (any, error)) *flow.Program {
	t.Helper()
	options := []flow.NodeOption{flow.Requires(flow.Dedupe)}
	if d != flow.AtLeastOnce {
		options = append(options, flow.Idempotent("/id", "", time.Hour))
	}
	f := flow.New("f").Node("in", flow.Pure, flow.Strict).Node("work", flow.Effectful, flow.BestEffort, options...).Edge("in", "work", d)
	in := flow.Func(func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil })
	p, err := flow.Compile(f, map[string]flow.Handler{"in": in, "work": flow.Func(work)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func fails(err error) func(context.Context, map[string]any) (any, error) {
	return func(context.Context, map[string]any) (any, error) { return nil, err }
}

// trigger serves a program at /f with a ledger.
func trigger(p *flow.Program, l dedupe.Ledger) *Trigger {
	return &Trigger{
		Routes:   map[string]*flow.Program{"/f": p},
		Bindings: func(*http.Request) (flow.Bindings, error) { return flow.Bindings{flow.Dedupe: l}, nil },
	}
}

const secret = "s3cret"

// send sends a request. It wants a status, and the code of a problem or a
// response.
func send(t *testing.T, h http.Handler, r *http.Request, status int, code string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp, body := w.Result(), w.Body.String()
	got := strings.TrimSpace(body)
	if status != http.StatusOK {
		var p failure
		if err := json.Unmarshal([]byte(body), &p); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" || p.Status != status ||
			p.Title != http.StatusText(status) || p.Detail == "" || p.Hint == "" || strings.Contains(got, secret) ||
			code == "rejected" && p.Detail != "the amount is not positive" {
			t.Errorf("%s: %v %s", got, err, resp.Header)
		}
		got = p.Code
	}
	if resp.StatusCode != status || got != code || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s, want %d %s", resp.StatusCode, body, status, code)
	}
	return resp
}

func post(path, body string) *http.Request {
	return httptest.NewRequest("POST", path, strings.NewReader(body))
}

func TestARequestRunsTheFlowOfItsPath(t *testing.T) {
	n := 0
	tr := trigger(program(t, flow.ExactlyOnce, func(_ context.Context, in map[string]any) (any, error) { n++; return n, nil }), memdedupe.NewLedger(nil))
	for range 3 {
		resp := send(t, tr, post("/f", `{"id":"a"}`), 200, "1")
		if resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s", resp.Header)
		}
	}
	send(t, tr, post("/f", `{"id":"a","more":1}`), 422, "mismatch")
	send(t, tr, post("/f", `{"id":"`+strings.Repeat("k", 2048)+`"}`), 400, "key_too_large")
	send(t, tr, post("/f/", `{}`), 404, "no_route")
	send(t, tr, post("/F", `{}`), 404, "no_route")
	for _, method := range []string{"GET", "PUT", "DELETE", "HEAD", "OPTIONS"} {
		if resp := send(t, tr, httptest.NewRequest(method, "/f", nil), 405, "method"); resp.Header.Get("Allow") != "POST" {
			t.Errorf("%s: %s", method, resp.Header)
		}
	}
	for body, code := range map[string]string{`{"id":"` + secret: "input", ``: "input", `7`: "no_key", `{}`: "no_key", `{"id":["` + secret + `"]}`: "no_key"} {
		send(t, tr, post("/f", body), 400, code)
	}
}

func TestABodyIsBounded(t *testing.T) {
	tr := trigger(program(t, flow.AtLeastOnce, func(_ context.Context, in map[string]any) (any, error) { return len(in), nil }), memdedupe.NewLedger(nil))
	send(t, tr, post("/f", `{"a":"`+strings.Repeat("x", 1<<20-8)+`"}`), 200, "1")
	send(t, tr, post("/f", `{"a":"`+strings.Repeat("x", 1<<20-7)+`"}`), 413, "too_large")
	tr.MaxBody = 10
	send(t, tr, post("/f", `{"a":1234}`), 200, "1")
	send(t, tr, post("/f", `{"a":12345}`), 413, "too_large")
}

func TestEachErrorHasItsStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
		retry  string
	}{
		{errors.New(secret), 500, "failed", ""},
		{fmt.Errorf("%s: %w", secret, dedupe.ErrOverloaded), 503, "overloaded", "1"},
		{fmt.Errorf("%s: %w", secret, dedupe.ErrUnknownOutcome), 503, "outcome_unknown", "1"},
		{fmt.Errorf("%s: %w", secret, dedupe.ErrFenced), 503, "fenced", "1"},
		{&flow.Rejection{Detail: "the amount is not positive", Hint: "a positive one"}, 422, "rejected", ""},
		{context.Canceled, 503, "cancelled", "1"},
		{context.DeadlineExceeded, 504, "deadline", "1"},
		{flow.ErrOutput, 500, "output", ""},
		{flow.ErrTooLarge, 413, "too_large", ""},
	} {
		tr := trigger(program(t, flow.AtLeastOnce, fails(c.err)), memdedupe.NewLedger(nil))
		var reported error
		tr.Report = func(_ *http.Request, err error) { reported = err }
		resp := send(t, tr, post("/f", `{"id":"`+secret+`"}`), c.status, c.code)
		if resp.Header.Get("Retry-After") != c.retry || errors.Is(reported, c.err) != (c.status >= 500) {
			t.Errorf("%v: Retry-After %q, reported %v", c.err, resp.Header.Get("Retry-After"), reported)
		}
	}
	panics := program(t, flow.AtLeastOnce, func(context.Context, map[string]any) (any, error) { panic(secret) })
	send(t, trigger(panics, memdedupe.NewLedger(nil)), post("/f", `{}`), 500, "failed")
}

func TestMissingBindingsAreListed(t *testing.T) {
	tr := trigger(program(t, flow.AtLeastOnce, fails(nil)), nil)
	w := httptest.NewRecorder()
	tr.ServeHTTP(w, post("/f", `{}`))
	var p failure
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 500 || p.Code != "not_bound" || len(p.Findings) != 1 || p.Findings[0].Node != "work" {
		t.Errorf("%d %s %v", w.Code, w.Body, err)
	}
	tr.Bindings = nil
	send(t, tr, post("/f", `{}`), 500, "not_bound")
	tr.Bindings = func(*http.Request) (flow.Bindings, error) { return nil, errors.New(secret) }
	send(t, tr, post("/f", `{}`), 500, "bindings")
}

func TestDuplicateInFlightGetsRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memdedupe.NewLedger(nil)
		tr := trigger(program(t, flow.ExactlyOnce, func(context.Context, map[string]any) (any, error) { time.Sleep(20 * time.Second); return "done", nil }), l)
		first := make(chan struct{})
		go func() { send(t, tr, post("/f", `{"id":"a"}`), 200, `"done"`); close(first) }()
		time.Sleep(time.Second)
		begin := time.Now()
		resp := send(t, tr, post("/f", `{"id":"a"}`), 409, "in_progress")
		// The lease was extended a second ago.
		if waited, again := time.Since(begin), resp.Header.Get("Retry-After"); waited != 10*time.Second || again != "29" {
			t.Errorf("waited %v, Retry-After %q", waited, again)
		}
		<-first
		send(t, tr, post("/f", `{"id":"a"}`), 200, `"done"`)
	})
}

func TestStartedWorkIsAConflict(t *testing.T) {
	tr := trigger(program(t, flow.AtMostOnce, func(context.Context, map[string]any) (any, error) { return "done", nil }), memdedupe.NewLedger(nil))
	send(t, tr, post("/f", `{"id":"a"}`), 200, `"done"`)
	if resp := send(t, tr, post("/f", `{"id":"a"}`), 409, "begun"); resp.Header.Get("Retry-After") != "" {
		t.Errorf("%s", resp.Header)
	}
}

func TestADeadlineIs504AndAClientThatIsGone503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notices := func(ctx context.Context, _ map[string]any) (any, error) { <-ctx.Done(); return nil, ctx.Err() }
		ignores := func(context.Context, map[string]any) (any, error) { time.Sleep(time.Hour); return nil, nil }
		for _, work := range []func(context.Context, map[string]any) (any, error){notices, ignores} {
			tr := trigger(program(t, flow.ExactlyOnce, work), memdedupe.NewLedger(nil))
			begin := time.Now()
			send(t, tr, post("/f", `{"id":"a"}`), 504, "deadline")
			if took := time.Since(begin); took < 30*time.Second || took > 31*time.Second {
				t.Errorf("answered after %v", took)
			}
			tr.Timeout = 2 * time.Second
			begin = time.Now()
			send(t, tr, post("/f", `{"id":"b"}`), 504, "deadline")
			if took := time.Since(begin); took < 2*time.Second || took > 3*time.Second {
				t.Errorf("answered after %v", took)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			send(t, tr, post("/f", `{"id":"c"}`).WithContext(ctx), 503, "cancelled")
		}
		time.Sleep(time.Hour) // for handlers that ignore their context
	})
}

func TestAnAnswerSaysWhetherTheOutcomeIsKnown(t *testing.T) {
	for _, c := range []struct {
		err     error
		outcome string
	}{{errors.New("EOF"), "unknown"}, {context.DeadlineExceeded, "unknown"}, {dedupe.NoEffect(errors.New("503")), ""}, {&flow.Rejection{Detail: "no", Hint: "no"}, ""}} {
		w := httptest.NewRecorder()
		trigger(program(t, flow.ExactlyOnce, fails(c.err)), memdedupe.NewLedger(nil)).ServeHTTP(w, post("/f", `{"id":"a"}`))
		var p failure
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Outcome != c.outcome || (p.Node == "work") != (c.outcome != "") || (p.Fence == 1) != (c.outcome != "") {
			t.Errorf("%v: %s", c.err, w.Body)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ignores := func(context.Context, map[string]any) (any, error) { time.Sleep(30 * time.Minute); return "late", nil }
		tr := trigger(program(t, flow.ExactlyOnce, ignores), memdedupe.NewLedger(nil))
		w := httptest.NewRecorder()
		tr.ServeHTTP(w, post("/f", `{"id":"a"}`))
		if !strings.Contains(w.Body.String(), `"outcome":"unknown"`) {
			t.Errorf("%s", w.Body)
		}
		for range 50 { // longer than a lease
			send(t, tr, post("/f", `{"id":"a"}`), 409, "in_progress")
		}
		time.Sleep(30 * time.Minute)
		send(t, tr, post("/f", `{"id":"a"}`), 200, `"late"`)
	})
}

func TestABodyThatWasReadBeforeIsRefused(t *testing.T) {
	tr := trigger(program(t, flow.AtLeastOnce, fails(nil)), memdedupe.NewLedger(nil))
	r := post("/f", `{} `)
	r.Body.Read(make([]byte, 1))
	send(t, tr, r, 400, "body")
}

func TestTheDocumentHasEachAnswer(t *testing.T) {
	text, err := os.ReadFile("../../docs/spec/capabilities-and-binding.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{} // "400 input"
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, " | "); len(cells) == 3 {
			for _, code := range strings.FieldsFunc(cells[1], func(r rune) bool { return r == '`' }) {
				documented[strings.TrimPrefix(cells[0], "| ")+" "+code] = true
			}
		}
	}
	for _, row := range rows {
		if !documented[fmt.Sprint(row.status, " ", row.code)] {
			t.Errorf("%d %s is not documented", row.status, row.code)
		}
	}
	for _, other := range []string{"413 too_large", "422 rejected", "500 not_bound", "500 wrong_type", "500 failed"} {
		if !documented[other] {
			t.Errorf("%s is not documented", other)
		}
	}
}
