//go:build !js

// Package payments tests examples/flow-payments and the shop of docs/dedupe in
// workerd. Whatever is killed, each payment must be charged once, and all
// callers must get the same answer.
package payments

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

func TestMain(m *testing.M) { worker.MainOf("../../examples/flow-payments", m) }

// lab runs the example in one workerd after another, on the same disk.
type lab struct {
	*worker.Server
	t   *testing.T
	end time.Time // until when callers repeat themselves
}

func start(t *testing.T, vars map[string]string) *lab {
	t.Helper()
	return open(t, &worker.Tested, workerd.Config{Objects: workerd.Namespaces("Ledger", "Processor"), Vars: vars})
}

func open(t *testing.T, b *worker.Built, c workerd.Config) *lab {
	t.Helper()
	c.Flags = []string{"enable_request_signal"}
	return &lab{b.Start(t, c), t, time.Now().Add(2 * time.Minute)}
}

// wantLog fails the test unless workerd prints a text in time. Its log may come
// later than its answer.
func (l *lab) wantLog(text string) {
	l.t.Helper()
	for !strings.Contains(l.Log(), text) {
		if time.Now().After(l.end) {
			l.t.Fatalf("workerd has not printed %q", text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}

// send sends a request. It returns the status, or 0 if there is no answer, and
// the body.
func (l *lab) send(method, path, body string, header ...string) (int, string) {
	return l.sendWithin(context.Background(), method, path, body, header...)
}

func (l *lab) sendWithin(ctx context.Context, method, path, body string, header ...string) (int, string) {
	r, err := http.NewRequestWithContext(ctx, method, l.URL+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	request.SetHeader(r, header...)
	a, err := request.Do(client, r)
	if err != nil {
		return 0, err.Error()
	}
	return a.Status, strings.TrimSpace(a.Body)
}

func body(payment string) string {
	return fmt.Sprintf(`{"id":%q,"amount":1250,"currency":"EUR"}`, payment)
}

// pay posts a payment until it gets 200, like the sender of a webhook, and
// returns the answer. It also stops at an error that no repetition changes. It
// asks once for a crash before the charge. It asks each time for a crash after
// the charge, which can happen only once for a payment.
func (l *lab) pay(payment, crash string) string {
	status, text := 0, ""
	for time.Now().Before(l.end) && (status < 400 || status == http.StatusConflict || status >= 500) {
		if status, text = l.send("POST", "/payments", body(payment), "Crash", crash); status == http.StatusOK {
			return text
		}
		if crash == "before-charge" {
			crash = ""
		}
		time.Sleep(50 * time.Millisecond)
	}
	l.t.Errorf("%s got no answer: %d %s", payment, status, text)
	return ""
}

// leave posts a payment and waits at most 15 ms for the answer. It reports
// whether there was none.
func (l *lab) leave(payment string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(15))*time.Millisecond)
	defer cancel()
	status, _ := l.sendWithin(ctx, "POST", "/payments", body(payment))
	return status == 0
}

// answer is an answer of the example.
type answer struct {
	Payment, Charge string
	Sequence        int64
}

// books has all answers, by payment.
type books struct {
	mu      sync.Mutex
	answers map[string]map[string]int
}

func (b *books) add(payment, answer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answers == nil {
		b.answers = map[string]map[string]int{}
	}
	if b.answers[payment] == nil {
		b.answers[payment] = map[string]int{}
	}
	b.answers[payment][answer]++
}

// audit checks that each payment was charged once and has one answer, and that
// the numbers are 1 to N.
func (b *books) audit(l *lab) {
	l.t.Helper()
	charges, numbers := map[string]bool{}, map[int64]bool{}
	for payment, answers := range b.answers {
		if len(answers) != 1 {
			l.t.Errorf("%s has several answers: %v", payment, answers)
		}
		for text := range answers {
			var a answer
			if err := json.Unmarshal([]byte(text), &a); err != nil || a.Payment != payment || charges[a.Charge] || numbers[a.Sequence] {
				l.t.Errorf("%s: %s, %v", payment, text, err)
			}
			charges[a.Charge], numbers[a.Sequence] = true, true
		}
		want := fmt.Sprintf(`{"charges":1,"payment":%q}`, payment)
		if status, text := l.send("GET", "/payments/"+payment, ""); status != 200 || text != want {
			l.t.Errorf("%s: %d %s, want %s", payment, status, text, want)
		}
	}
	for n := range int64(len(b.answers)) {
		if !numbers[n+1] {
			l.t.Errorf("no payment has number %d", n+1)
		}
	}
}

var demo = map[string]string{"CAPDO_LOCAL": "true", "DEMO": "true"}

func TestEachPaymentIsChargedOnceThoughAllIsKilled(t *testing.T) {
	const payments, callers, kills = 16, 6, 3
	l, b := start(t, demo), books{}
	var left atomic.Int64
	progress := make(chan struct{}, payments*callers)
	queue := make(chan int)
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			for n := range queue {
				payment := fmt.Sprint("pay_", n/callers)
				crash := []string{"", "before-charge", "after-charge", ""}[n/callers%4] // for the first of its callers
				if n%4 == 0 && l.leave(payment) {
					left.Add(1)
				}
				b.add(payment, l.pay(payment, crash))
				progress <- struct{}{}
			}
		})
	}
	go func() {
		defer close(queue)
		for n := range payments * callers {
			queue <- n
		}
	}()
	for n := range payments * callers {
		<-progress
		if n%(payments*callers/(kills+1)) == payments*callers/(kills+1)-1 && n < payments*callers-1 {
			l.Restart()
		}
	}
	wg.Wait()
	b.audit(l)
	if len(b.answers) != payments {
		t.Errorf("answers for %d payments", len(b.answers))
	}
	log := l.AllLogs()
	before, after := strings.Count(log, "crashing on purpose, before-charge"), strings.Count(log, "crashing on purpose, after-charge")
	if before == 0 || after == 0 || left.Load() == 0 {
		t.Errorf("%d crashes before a charge, %d after one, %d requests left alone", before, after, left.Load())
	}
	t.Logf("%d payments of %d callers each, %d kills, %d crashes before a charge, %d after one, %d requests left alone",
		payments, callers, kills, before, after, left.Load())
}

func TestACrashBeforeOrAfterTheChargeDelaysIt(t *testing.T) {
	l, b := start(t, demo), books{}
	for _, point := range []string{"before-charge", "after-charge"} {
		status, text := l.send("POST", "/payments", body(point), "Crash", point)
		if status != 500 {
			t.Errorf("the crash %s: %d %s", point, status, text)
		}
		l.wantLog("crashing on purpose, " + point)
		want := map[string]string{"before-charge": `{"charges":0,"payment":"before-charge"}`, "after-charge": `{"charges":1,"payment":"after-charge"}`}[point]
		if status, text := l.send("GET", "/payments/"+point, ""); status != 200 || text != want {
			t.Errorf("after the crash %s: %d %s", point, status, text)
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { b.add(point, l.pay(point, "")) })
		}
		wg.Wait()
		b.add(point, l.pay(point, point)) // a finished payment does not reach that point
	}
	b.audit(l)
}

func TestInvalidPaymentsAreRefused(t *testing.T) {
	l := start(t, map[string]string{"CAPDO_LOCAL": "true", "PAYMENTS_TOKEN": "t0ken"})
	want := `{"payment":"pay_1","charge":"ch_1","sequence":1}`
	if status, text := l.send("POST", "/payments", body("pay_1"), "Crash", "before-charge"); status != 200 || text != want {
		t.Errorf("without DEMO nothing crashes: %d %s", status, text)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
		header             []string
	}{
		{"POST", "/payments", `{"id":"pay_1","amount":1,"currency":"EUR"}`, 422, `"code":"mismatch"`, nil},
		{"POST", "/payments", `{"id":"pay_1","amount":1.25e3,"currency":"EUR","delivery":2}`, 200, want, nil},
		{"POST", "/payments", `{"id":"pay 2","amount":1,"currency":"EUR"}`, 422, "the id is not valid", nil},
		{"POST", "/payments", `{"id":"pay_2","amount":0,"currency":"EUR"}`, 422, "the amount is not valid", nil},
		{"POST", "/payments", `{"id":"pay_2","amount":1,"currency":"euro"}`, 422, "the currency is not valid", nil},
		{"POST", "/payments", `{"id":"pay_2","amount":"1","currency":"EUR"}`, 400, `"code":"input"`, nil},
		{"POST", "/payments", strings.Repeat("x", 4<<10+1), 413, `"code":"too_large"`, nil},
		{"GET", "/payments", "", 405, `"code":"method"`, nil},
		{"GET", "/", "", 404, `"code":"no_route"`, nil},
		{"GET", "/payments/a%20b", "", 400, "an id has", nil},
		{"GET", "/payments/pay_2", "", 200, `{"charges":0,"payment":"pay_2"}`, nil},
		{"POST", "/payments", body("pay_3"), 415, "unsupported_media_type", []string{"Content-Type", "text/plain"}},
		{"POST", "/payments", body("pay_3"), 403, "foreign_origin", []string{"Origin", "http://evil.example"}},
		{"POST", "/payments", body("pay_3"), 403, "foreign_origin", []string{"Sec-Fetch-Site", "cross-site"}},
		{"GET", "/console/state", "", 403, "foreign_origin", []string{"Sec-Fetch-Site", "same-site"}},
		{"GET", "/console/state", "", 401, "requires a token", []string{"Host", "pay.example.com"}},
		{"POST", "/payments", body("pay_3"), 401, "PAYMENTS_TOKEN", []string{"CF-Connecting-IP", "192.0.2.7"}},
		{"POST", "/payments", body("pay_3"), 401, "PAYMENTS_TOKEN", []string{"Host", "pay.example.com"}},
		{"POST", "/payments", body("pay_3"), 401, "PAYMENTS_TOKEN", []string{"Host", "pay.example.com", "Authorization", "Bearer t"}},
		{"POST", "/payments", body("pay_3"), 200, `"sequence":2`, []string{"Host", "pay.example.com", "Authorization", "Bearer t0ken"}},
	} {
		if status, text := l.send(c.method, c.path, c.body, c.header...); status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s %s %.60s: %d %s, want %d %s", c.method, c.path, c.body, status, text, c.status, c.text)
		}
	}
}

// On a deployed Worker no request counts as local, whatever headers a client
// writes.
func TestNobodyIsLocalWhereItIsDeployed(t *testing.T) {
	l := start(t, map[string]string{"PAYMENTS_TOKEN": "t0ken"})
	for _, header := range [][]string{
		nil,
		{"Host", "localhost"},
		{"Host", "127.0.0.1", "CF-Connecting-IP", "127.0.0.1"},
		{"Host", "pay.example.com", "MF-Original-URL", "http://localhost/payments"},
	} {
		for _, r := range [][]string{{"POST", "/payments", body("pay_1")}, {"GET", "/payments/pay_1", ""}, {"GET", "/console/state", ""}} {
			if status, text := l.send(r[0], r[1], r[2], header...); status != 401 {
				t.Errorf("%s %s with %q: %d %s", r[0], r[1], header, status, text)
			}
		}
	}
}
