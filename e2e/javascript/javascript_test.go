//go:build !js

// Package javascript tests RPC between Go and JavaScript in both directions,
// and requests that leave the Worker.
package javascript

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

func TestMain(m *testing.M) { worker.Main(m) }

// serve serves the Worker, and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	return worker.Start(t, workerd.Config{
		Main: "main.mjs", Modules: map[string]string{"clone.mjs": "testdata/clone.mjs"},
		Objects: workerd.Namespaces("Ledger", "Abacus"), Private: true,
	}).URL
}

func get(t *testing.T, url string) (status int, header http.Header, body string) {
	t.Helper()
	client := http.Client{Timeout: 30 * time.Second}
	a, err := request.Get(&client, url)
	if err != nil {
		t.Fatal(err)
	}
	return a.Status, a.Header, strings.TrimSpace(a.Body)
}

func TestGoAndJavaScript(t *testing.T) {
	worker := serve(t)

	t.Run("JavaScript calls the methods of a Go class with its own values", func(t *testing.T) {
		want := `[42,"1152921504606846977n",` +
			`{"id":"p","amount":42,"at":"1970-01-01T00:00:00.005Z","raw":[0,255],"tags":["é"],"labels":{"x":1},"parent":null},` +
			`{"name":"Error","message":"durable: a string does not fit Go's int64 unchanged (argument 1 of add)"},` +
			`{"name":"Declined","message":"no funds","code":51},` +
			`{"name":"TypeError","message":"The RPC receiver does not implement the method \"nothing\"."}]`
		if _, _, got := get(t, worker+"/js"); !sameJSON(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})

	t.Run("Go calls the methods of a JavaScript class with its own values", func(t *testing.T) {
		want := `[42,1152921504606846976,{"name":"RangeError","message":"too far","code":7,"remote":true},` +
			`"durable: a JavaScript Map has no equivalent in Go (result of map)",` +
			`"durable: a JavaScript Float64Array has no equivalent in Go (result of floats, at [key][0])",` +
			`"map[__proto__:1 constructor:2 hasOwnProperty:5 then:3 toJSON:4]"]`
		if _, _, got := get(t, worker+"/abacus"); !sameJSON(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})

	t.Run("a request leaves the Worker through net/http's client", func(t *testing.T) {
		outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Answer", r.Header.Get("X-Question")+" not")
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprintf(w, "%s %s", r.Method, body)
		}))
		defer outside.Close()
		status, header, body := get(t, worker+"/outbound?url="+url.QueryEscape(outside.URL))
		if status != http.StatusTeapot || header.Get("X-Answer") != "why not" || body != "POST hello" {
			t.Errorf("%d %q %q", status, header.Get("X-Answer"), body)
		}
		outside.Close()
		if status, _, body = get(t, worker+"/outbound?url="+url.QueryEscape(outside.URL)); status != http.StatusBadGateway {
			t.Errorf("an unreachable server: %d %q", status, body)
		}
	})
}

// sameJSON compares JSON texts. Integers beyond 2^53 must have the same digits.
func sameJSON(got, want string) bool {
	return decode(got) != "" && decode(got) == decode(want)
}

func decode(text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return ""
	}
	return fmt.Sprintf("%#v", v)
}
