package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/durable/durabletest"
)

func TestMain(m *testing.M) {
	main() // registers; durable.Run returns at once in a test program
	m.Run()
}

// post sends a request to the Worker, with headers as "Name: value".
func post(t *testing.T, path, body string, headers ...string) (status int, answer string, replayed bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://shop"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
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
	return resp.StatusCode, strings.TrimSpace(string(b)), resp.Header.Get("Idempotent-Replayed") == "true"
}

func TestTheWorkerAnswers(t *testing.T) {
	const ada, form = "Authorization: Basic YWRhOg==", "Content-Type: application/x-www-form-urlencoded"
	tests := []struct {
		path, body string
		header     []string
		status     int
		answer     string
	}{
		{"/webhooks", "", []string{"Webhook-Id: evt_1"}, 503, "ask again"},
		{"/webhooks", "{}", []string{"Webhook-Id: evt_1"}, 200, "done"}, // the failed delivery was forgotten
		{"/webhooks", "{}", []string{"Webhook-Id: evt_1"}, 200, "seen"},
		{"/webhooks", "{}", nil, 400, ""},
		{"/orders/1041/pay?cents=500", "", nil, 200, "receipt 1"},
		{"/orders/1041/pay?cents=500", "", nil, 200, "receipt 1"},
		{"/orders/1041/pay?cents=600", "", nil, 422, ""},
		{"/orders/1042/pay?cents=500", "", nil, 200, "receipt 2"},
		{"/orders/1043/pay?cents=999999", "", nil, 402, "declined"},
		{"/orders/1043/pay?cents=999999", "", nil, 402, "declined"},
		{"/orders/1041/pay?cents=much", "", nil, 400, ""},
		{"/orders/1041/events/created", "", nil, 200, "1 new=true"},
		{"/orders/1041/events/paid", "", nil, 200, "2 new=true"},
		{"/orders/1041/events/created", "", nil, 200, "1 new=false"},
		{"/accounts/ada/deposits/d1?cents=500", "", nil, 200, "500"},
		{"/accounts/ada/deposits/d2?cents=200", "", nil, 200, "700"},
		{"/accounts/ada/deposits/d1?cents=500", "", nil, 200, "500"},
		{"/accounts/ada/deposits/d1?cents=many", "", nil, 400, ""},
		{"/charges", "cents=500", []string{ada, form}, 400, `{"`},
		{"/charges", "cents=500", []string{form, "Idempotency-Key: k1"}, 403, `{"`},
		{"/charges", "cents=much", []string{ada, form, "Idempotency-Key: k0"}, 400, "cents"},
		{"/charges", "cents=999999", []string{ada, form, "Idempotency-Key: k2"}, 402, "declined"},
	}
	for _, tt := range tests {
		if status, answer, _ := post(t, tt.path, tt.body, tt.header...); status != tt.status || !strings.HasPrefix(answer, tt.answer) {
			t.Errorf("POST %s: %d %s; want %d %s", tt.path, status, answer, tt.status, tt.answer)
		}
	}
	_, first, again := post(t, "/charges", "cents=500", ada, form, "Idempotency-Key: k1")
	status, second, replayed := post(t, "/charges", "cents=500", ada, form, "Idempotency-Key: k1")
	if status != 201 || first != "receipt 3" || first != second || again || !replayed {
		t.Errorf("first %q, then %d %q; replayed: %t, %t", first, status, second, again, replayed)
	}
}

// In TestRecoveryCompletesWhatWasCharged a holder crashes after the bank's
// charge and before it records it.
func TestRecoveryCompletesWhatWasCharged(t *testing.T) {
	env := durabletest.Env(t, nil)
	ledger, err := orders(env)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := fingerprintOf(500)
	claim, err := ledger.Claim(t.Context(), []byte("1044"), dedupe.ClaimOptions{Fingerprint: fingerprint, Lease: time.Millisecond})
	if err != nil || claim.Outcome != dedupe.Acquired {
		t.Fatal(claim.Outcome, err)
	}
	if receipt, err := askBank(t.Context(), env, orderReference("1044"), claim, 500); string(receipt) != "receipt 1" || err != nil {
		t.Fatalf("%q, %v", receipt, err)
	}
	bank := env.Object("BANK", "bank")
	for fence := claim.Fence; fence == claim.Fence; time.Sleep(10 * time.Millisecond) { // until the alarm has called resume, and resume the bank
		durabletest.Run(t, bank, func(ctx context.Context, state *durable.State) {
			rows, err := state.Storage().SQL().Exec("SELECT fence FROM fences WHERE id = 'orders/1044'")
			if err != nil {
				t.Fatal(err)
			}
			if fence, err = durable.One[int64](rows); err != nil {
				t.Fatal(err)
			}
		})
	}
	replay, err := ledger.Claim(t.Context(), []byte("1044"), dedupe.ClaimOptions{Fingerprint: fingerprint, Lease: time.Minute, Wait: 20 * time.Second})
	if err != nil || replay.Outcome != dedupe.Replay || string(replay.Result) != "receipt 1" || replay.Attempt != 2 {
		t.Errorf("afterwards: %s, attempt %d, %q, %v", replay.Outcome, replay.Attempt, replay.Result, err)
	}
}

func TestTheBankRefusesWhoComesLate(t *testing.T) {
	env := durabletest.Env(t, nil)
	for _, tt := range []struct {
		method string
		fence  int64
		query  string
		status int
		want   string
	}{
		{"GET", 20, "", 404, "nothing was charged"},
		{"POST", 20, "?cents=500", 200, "receipt 1"},
		{"POST", 19, "?cents=500", 409, "a newer attempt has taken over"},
		{"GET", 19, "", 409, "a newer attempt has taken over"},
		{"POST", 21, "?cents=500", 200, "receipt 1"},
		{"GET", 0, "", 200, `{"cents":500,"receipt":"receipt 1"}`},
		{"POST", 22, "?cents=999999", 402, "declined"},
		{"POST", 22, "?cents=many", 400, "cents"},
		{"GET", 30, "", 200, `{"cents":500,"receipt":"receipt 1"}`},
		{"POST", 29, "?cents=500", 409, "a newer attempt has taken over"},
	} {
		status, body, err := callBank(t.Context(), env, tt.method, orderReference("1"), tt.fence, tt.query)
		if status != tt.status || !strings.HasPrefix(string(body), tt.want) || err != nil {
			t.Errorf("%s with fence %d: %d %s, %v; want %d %s", tt.method, tt.fence, status, body, err, tt.status, tt.want)
		}
	}
}

func TestAskBankLooksBeforeItChargesAgain(t *testing.T) {
	env := durabletest.Env(t, nil)
	for attempt, cents := range []int64{500, 700} { // the second request replays the first, so the bank never sees its amount
		receipt, err := askBank(t.Context(), env, orderReference("1"), dedupe.Claim{Attempt: attempt + 1, Fence: 1}, cents)
		if string(receipt) != "receipt 1" || err != nil {
			t.Errorf("attempt %d: %q, %v", attempt+1, receipt, err)
		}
	}
	if p, err := look(t.Context(), env, orderReference("1"), 0); p.Cents != 500 || err != nil {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestReferencesDoNotMeet(t *testing.T) {
	seen := map[string]bool{}
	for _, pair := range [][2]string{{"a", "b/c"}, {"a/b", "c"}, {"a", "b%2Fc"}, {"a%2Fb", "c"}} {
		seen[chargeReference(pair[0], pair[1])] = true
	}
	seen[orderReference("a/b")] = true
	if len(seen) != 5 {
		t.Errorf("%v", seen)
	}
}

func TestFailuresAreDisposedOf(t *testing.T) {
	tests := []struct {
		err  error
		want dedupe.Disposition
	}{
		{errDeclined, dedupe.StoreResult},
		{dedupe.NoEffect(errors.New("busy")), dedupe.ReleaseClaim},
		{unknown(durable.ErrDisconnected, "r", 1), dedupe.LeaveToLease},
		{context.DeadlineExceeded, dedupe.LeaveToLease},
	}
	for _, tt := range tests {
		if got := afterFailure(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}
