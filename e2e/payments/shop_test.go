//go:build !js

package payments

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

const shopDir = "../../docs/dedupe"

// shopLease is the shop's lease in these tests. bankPatience is how long it
// waits for the bank.
const (
	shopLease    = 2 * time.Second
	bankPatience = time.Second
)

// shopChanges make a version of docs/dedupe with shorter times, a ledger that
// fails at random if the variable TROUBLE is set, and a header with its
// version.
var shopChanges = []worker.Change{
	{File: shopDir + "/pay.go", Old: "lease = 30 * time.Second", New: "lease = 2 * time.Second"},
	{File: shopDir + "/pay.go", Old: "bankTimeout = 10 * time.Second", New: "bankTimeout = time.Second"},
	{File: shopDir + "/main.go", Old: "dedupe.Observed(ledger,", New: "dedupe.Observed(troubled(env, ledger),"},
	{File: shopDir + "/main.go", Old: "func httpLedger(", New: "func calmHTTPLedger("},
	{File: shopDir + "/main.go", Old: "	return mux\n", New: "	return versioned(mux)\n"},
}

// buildShop builds a version of the shop.
func buildShop(t *testing.T, version string) *worker.Built {
	t.Helper()
	trouble, err := os.ReadFile("testdata/trouble.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	b, err := worker.BuildWith(shopDir, t.TempDir(), append(shopChanges[:len(shopChanges):len(shopChanges)], worker.Change{
		File: shopDir + "/trouble.go", New: strings.Replace(string(trouble), `"VERSION"`, strconv.Quote(version), 1),
	}))
	if err != nil {
		t.Fatal(err)
	}
	return &b
}

// shop is the shop's Worker with its payment processor.
type shop struct {
	*lab
	versions []*worker.Built
	deploys  int
	bank     *processor
}

func openShop(t *testing.T, bank *processor, trouble bool, versions ...*worker.Built) *shop {
	t.Helper()
	vars := map[string]string{"BANK_URL": bank.open(t)}
	if trouble {
		vars["TROUBLE"] = "true"
	}
	l := open(t, versions[0], workerd.Config{Vars: vars, Private: true})
	return &shop{l, versions, 0, bank}
}

// deploy ends the program, whatever it does, and starts the next version on the
// same disk.
func (s *shop) deploy() {
	s.deploys++
	s.Use(s.versions[s.deploys%len(s.versions)])
	s.Restart()
	resp, err := client.Get(s.URL)
	if err != nil {
		s.t.Error(err)
		return
	}
	resp.Body.Close()
	if got, want := resp.Header.Get("Shop-Version"), fmt.Sprint(s.deploys%len(s.versions)+1); got != want {
		s.t.Errorf("version %q answered, want %q", got, want)
	}
}

// purchase is what a customer pays for: an order, or a charge with an
// Idempotency-Key.
type purchase struct {
	reference string // the bank's reference
	path      string
	header    []string
	body      string
	paid      int // status
	cents     int64
}

func order(id string, cents int64) purchase {
	return purchase{"orders/" + id, fmt.Sprintf("/orders/%s/pay?cents=%d", id, cents), nil, "", http.StatusOK, cents}
}

func keyed(key string, cents int64) purchase {
	header := []string{"Idempotency-Key", key, "Authorization", "Basic YWRhOg==", "Content-Type", "application/x-www-form-urlencoded"}
	return purchase{"charges/ada/" + key, "/charges", header, fmt.Sprintf("cents=%d", cents), http.StatusCreated, cents}
}

func (s *shop) try(ctx context.Context, p purchase) (int, string) {
	return s.sendWithin(ctx, "POST", p.path, p.body, p.header...)
}

// unknown checks an answer with an unknown outcome. It must contain what a
// client needs to ask the processor.
func (s *shop) unknown(p purchase, text string) {
	s.t.Helper()
	var a struct {
		Outcome, Ask, Reference string
		Fence                   int64
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil || a.Outcome != "unknown" || a.Ask != "the bank" || a.Reference != p.reference || a.Fence <= 0 {
		s.t.Errorf("%s: %s, %v", p.reference, text, err)
	}
}

func TestTheShop(t *testing.T) {
	versions := []*worker.Built{buildShop(t, "1"), buildShop(t, "2")}
	t.Run("charges once", func(t *testing.T) { chargesOnce(t, versions) })
	t.Run("reports unknown outcomes", func(t *testing.T) { saysWhatItDoesNotKnow(t, versions) })
}

// chargesOnce has customers that hang up and come back, a ledger that
// is overloaded or loses answers at every call, a processor that is busy, slow,
// or breaks off before or after it has charged, and deploys in the middle of it
// all. Each purchase is charged once, with each kind of processor.
func chargesOnce(t *testing.T, versions []*worker.Built) {
	const purchases, callers, deploys = 12, 3, 3
	for name, bank := range map[string]*processor{
		"with idempotency keys":  {keys: true, late: true},
		"with fences":            {fences: true, late: true},
		"that can only be asked": {},
	} {
		t.Run("a processor "+name, func(t *testing.T) {
			bank.trouble = true
			s := openShop(t, bank, true, versions...)
			var list []purchase
			for n := range purchases {
				list = append(list, order(fmt.Sprint("o", n), int64(100+n)), keyed(fmt.Sprint("k", n), int64(200+n)))
			}
			c := &customers{shop: s, answers: map[string]map[string]int{}, statuses: map[int]int{}, progress: make(chan struct{}, len(list)*callers)}
			var wg sync.WaitGroup
			for _, p := range list {
				for range callers {
					wg.Go(func() { c.buy(p) })
				}
			}
			for n := range len(list) * callers {
				<-c.progress
				if every := len(list) * callers / (deploys + 1); n%every == every-1 && s.deploys < deploys {
					s.deploy()
				}
			}
			wg.Wait()
			c.audit(list)
		})
	}
}

// customers buy, and record their answers.
type customers struct {
	*shop
	progress chan struct{}

	mu       sync.Mutex
	answers  map[string]map[string]int // by reference
	statuses map[int]int
}

// buy repeats a purchase until it is paid. Sometimes the customer disconnects.
func (c *customers) buy(p purchase) {
	defer func() { c.progress <- struct{}{} }()
	status, text := 0, ""
	for time.Now().Before(c.end) {
		patience := 20 * time.Second
		if rand.IntN(4) == 0 {
			patience = time.Duration(rand.IntN(300)) * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		status, text = c.try(ctx, p)
		cancel()
		c.mu.Lock()
		c.statuses[status]++
		c.mu.Unlock()
		switch status {
		case p.paid:
			c.mu.Lock()
			if c.answers[p.reference] == nil {
				c.answers[p.reference] = map[string]int{}
			}
			c.answers[p.reference][text]++
			c.mu.Unlock()
			return
		case http.StatusBadGateway:
			c.unknown(p, text)
		case 0, http.StatusConflict, http.StatusServiceUnavailable, http.StatusInternalServerError: // a killed program causes 500
		default:
			c.t.Errorf("%s: %d %s", p.reference, status, text)
			return
		}
		time.Sleep(time.Duration(50+rand.IntN(100)) * time.Millisecond)
	}
	c.t.Errorf("%s was not paid: %d %s", p.reference, status, text)
}

// audit compares the customers' answers with the processor's charges.
func (c *customers) audit(list []purchase) {
	c.bank.mu.Lock()
	defer c.bank.mu.Unlock()
	for _, p := range list {
		charges := c.bank.charges[p.reference]
		if len(charges) != 1 || charges[0].cents != p.cents {
			c.t.Errorf("%s was charged %d times: %+v", p.reference, len(charges), charges)
			continue
		}
		if receipts := c.answers[p.reference]; len(receipts) != 1 || receipts[charges[0].receipt] == 0 {
			c.t.Errorf("%s is %q, but customers got %v", p.reference, charges[0].receipt, receipts)
		}
	}
	if len(c.bank.charges) != len(list) {
		c.t.Errorf("%d references were charged, but %d purchases were made", len(c.bank.charges), len(list))
	}
	if c.deploys < 3 || c.statuses[http.StatusBadGateway] == 0 || c.statuses[0] == 0 || c.bank.asked == 0 || len(c.bank.troubles) < 4 {
		c.t.Errorf("too few failures: statuses %v, the bank was asked %d times, troubles %v", c.statuses, c.bank.asked, c.bank.troubles)
	}
	c.t.Logf("%d purchases, %d deploys, statuses %v, the bank was asked %d times, troubles %v", len(list), c.deploys, c.statuses, c.bank.asked, c.bank.troubles)
}

// saysWhatItDoesNotKnow goes through each trouble by itself.
func saysWhatItDoesNotKnow(t *testing.T, versions []*worker.Built) {
	bank := &processor{keys: true, script: map[string][]string{}}
	s := openShop(t, bank, false, versions...)
	for _, make := range []func(string, int64) purchase{order, keyed} {
		for _, trouble := range []string{"breaks before", "breaks after", "slow", "busy", "killed", "left"} {
			p := make(strings.ReplaceAll(trouble, " ", "-"), 500)
			bank.script[p.reference] = []string{trouble}
			s.goThrough(t, p, trouble)
		}
	}
}

// goThrough makes a purchase with one trouble and repeats it.
func (s *shop) goThrough(t *testing.T, p purchase, trouble string) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	switch trouble {
	case "killed":
		s.bank.onCharge(func() { go s.deploy() })
	case "left":
		s.bank.onCharge(leave)
	}
	begin := time.Now()
	status, text := s.try(ctx, p)
	want := map[string]int{"busy": http.StatusServiceUnavailable, "killed": 0, "left": 0}
	if w, ok := want[trouble]; ok && status != w || !ok && status != http.StatusBadGateway {
		t.Errorf("%s: %d %s", p.reference, status, text)
	}
	if status == http.StatusBadGateway {
		s.unknown(p, text)
	}
	if id, ok := strings.CutPrefix(p.reference, "orders/"); ok && (trouble == "breaks after" || trouble == "breaks before") {
		asked := map[string]string{"breaks after": fmt.Sprintf(`{"cents":500,"receipt":%q}`, s.bank.receipt(p.reference)), "breaks before": `{"cents":0,"receipt":""}`}
		if status, text := s.send("GET", "/orders/"+id+"/payment", ""); status != 200 || text != asked[trouble] {
			t.Errorf("%s, asked for: %d %s", p.reference, status, text)
		}
	}
	for status = 0; status != p.paid && time.Now().Before(s.end); time.Sleep(20 * time.Millisecond) {
		status, text = s.try(t.Context(), p)
	}
	if again := time.Since(begin); trouble == "busy" && again > shopLease {
		t.Errorf("%s: an attempt that did nothing was repeated only after %v", p.reference, again)
	}
	if text != s.bank.receipt(p.reference) || s.bank.count(p.reference) != 1 {
		t.Errorf("%s: %d %q after %d charges, of %q", p.reference, status, text, s.bank.count(p.reference), s.bank.receipt(p.reference))
	}
	if trouble == "left" && s.bank.posts(p.reference) != 1 {
		t.Errorf("%s: the bank was told to charge %d times, although the work continued without its client", p.reference, s.bank.posts(p.reference))
	}
}
