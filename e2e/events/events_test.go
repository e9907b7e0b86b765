//go:build !js

// Package events tests docs/events under wrangler dev, which has queues and can
// trigger crons.
package events

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/dev"
	"flow.internal/capdo/e2e/internal/request"
)

func TestMain(m *testing.M) { dev.Main(m) }

var client = &http.Client{Timeout: 30 * time.Second}

// TestEvents sends orders, one of which the queue has to deliver again.
func TestEvents(t *testing.T) {
	s := dev.Start(t, "../../docs/events", "/till")
	send := func(method, path string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := request.Do(client, r)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(a.Body)
	}
	eventually := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s did not happen; the till has %s\n%s", what, send("GET", "/till"), s.Log)
			}
		}
	}
	logs := func(text string) func() bool {
		return func() bool { return strings.Contains(s.Log.String(), text) }
	}
	closeTill := func(due string) {
		t.Helper()
		if got := send("GET", "/cdn-cgi/handler/scheduled?cron=0+3+*+*+*&time="+due); got != "ok" {
			t.Errorf("the cron trigger: %s", got)
		}
	}

	for _, path := range []string{"/orders/a?cents=600", "/orders/a?cents=600", "/orders/b?cents=500"} {
		if got := send("POST", path); got != "sent" {
			t.Errorf("%s: %s", path, got)
		}
	}
	// The order a is charged once for its two messages, and b does not fit.
	eventually("a redelivery", logs(`"attempt":2,"err":"the till is full until it is closed"`))
	if got := send("GET", "/till"); got != "600" {
		t.Errorf("the till has %s", got)
	}
	closeTill("1795748400000")
	eventually("the closing", logs(`"msg":"the till is closed","cron":"0 3 * * *","cents":600}`))
	eventually("the order b", func() bool { return send("GET", "/till") == "500" })
	closeTill("1795748400000") // the same due time once more
	if got := send("GET", "/till"); got != "500" {
		t.Errorf("after a repeated trigger the till has %s", got)
	}
	if got := send("GET", "/cdn-cgi/handler/scheduled?cron=1+1+1+1+*"); got == "ok" {
		t.Errorf("a cron trigger that fails: %s", got)
	}
	eventually("the log of a failed event", logs(`the cron trigger "1 1 1 1 *" is not known`))
	closeTill("1795834800000")
	if got := send("GET", "/till"); got != "0" {
		t.Errorf("after the next trigger the till has %s", got)
	}
}
