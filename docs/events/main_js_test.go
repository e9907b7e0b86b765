package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/durable/durabletest"
)

func TestMain(m *testing.M) {
	main() // registers; durable.Run returns at once in a test program
	m.Run()
}

func send(t *testing.T, method, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://charges"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: durablehttp.Transport(durabletest.Worker(t))}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func wantTill(t *testing.T, want string) {
	t.Helper()
	if got := send(t, "GET", "/till"); got != want {
		t.Errorf("the till has %s, want %s", got, want)
	}
}

func TestAnOrderIsChargedOnce(t *testing.T) {
	order := durabletest.QueueMessage{Body: Order{"o1", 500}}
	for range 3 {
		results, err := durabletest.RunQueue(t, "orders", order, order)
		if err != nil || !results[0].IsAcked || !results[1].IsAcked {
			t.Errorf("%v, %v", results, err)
		}
		wantTill(t, "500")
	}
}

func TestWhatIsNoOrderIsNotDeliveredAgain(t *testing.T) {
	order := func(body any) durabletest.QueueMessage { return durabletest.QueueMessage{Body: body} }
	results, err := durabletest.RunQueue(t, "orders", order(Order{"o1", 500}), order(map[string]any{}), order("text"), order(Order{"o1", 600}))
	if err != nil {
		t.Error(err)
	}
	for i, r := range results {
		if !r.IsAcked {
			t.Errorf("message %d: %+v", i, r)
		}
	}
	wantTill(t, "500")
}

func TestAnOrderWaitsForTheTill(t *testing.T) {
	large := durabletest.QueueMessage{Body: Order{"o2", 900}}
	results, err := durabletest.RunQueue(t, "orders", durabletest.QueueMessage{Body: Order{"o1", 500}}, large)
	if err != nil || !results[0].IsAcked || results[1] != (durabletest.QueueResult{Delay: 2 * time.Second}) {
		t.Errorf("%v, %v", results, err)
	}
	wantTill(t, "500")
	if _, err := durabletest.RunScheduled(t, "0 3 * * *", time.Now()); err != nil {
		t.Error(err)
	}
	if results, err := durabletest.RunQueue(t, "orders", large); err != nil || !results[0].IsAcked {
		t.Errorf("%v, %v", results, err)
	}
	wantTill(t, "900")
}

func TestAFailureDelaysOnlyItsOrder(t *testing.T) {
	durabletest.Run(t, till(durabletest.Env(t, nil)), func(_ context.Context, state *durable.State) {
		if err := state.Storage().KV().Put("cents", "broken"); err != nil {
			t.Error(err)
		}
	})
	results, err := durabletest.RunQueue(t, "orders", durabletest.QueueMessage{Body: Order{"o1", 500}}, durabletest.QueueMessage{Body: "no order"})
	if err != nil || results[0] != (durabletest.QueueResult{Delay: 30 * time.Second}) || !results[1].IsAcked {
		t.Errorf("%v, %v", results, err)
	}
}

func TestOrdersAreSent(t *testing.T) {
	if got := send(t, "POST", "/orders/o1?cents=500"); got != "sent" {
		t.Error(got)
	}
	sent := durabletest.Sent(t, "ORDERS")
	var order Order
	if len(sent) != 1 || json.Unmarshal(sent[0].Body, &order) != nil || order != (Order{"o1", 500}) {
		t.Errorf("sent %v", sent)
	}
	if got := send(t, "POST", "/orders/o1?cents=x"); got != "cents must be a whole number" {
		t.Error(got)
	}
}

func TestTheTillIsClosedOnceEachNight(t *testing.T) {
	durabletest.RunQueue(t, "orders", durabletest.QueueMessage{Body: Order{"o1", 500}})
	night := time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)
	if _, err := durabletest.RunScheduled(t, "0 3 * * *", night); err != nil {
		t.Error(err)
	}
	wantTill(t, "0")
	durabletest.RunQueue(t, "orders", durabletest.QueueMessage{Body: Order{"o2", 200}})
	durabletest.RunScheduled(t, "0 3 * * *", night) // the same run again
	wantTill(t, "200")
	durabletest.RunScheduled(t, "0 3 * * *", night.AddDate(0, 0, 1))
	wantTill(t, "0")
	if _, err := durabletest.RunScheduled(t, "* * * * *", night); err == nil || err.Error() != `the cron trigger "* * * * *" is not known` {
		t.Errorf("an unknown trigger: %v", err)
	}
}
