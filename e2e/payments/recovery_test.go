//go:build !js

package payments

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// wantStatus waits until a payment has the wanted status. It sends no request
// that reaches the payment's flow.
func (l *lab) wantStatus(payment, want string) time.Duration {
	l.t.Helper()
	begin := time.Now()
	for {
		status, text := l.send("GET", "/payments/"+payment, "")
		if status == 200 && text == want {
			return time.Since(begin)
		}
		if time.Now().After(l.end) {
			l.t.Fatalf("%s: %d %s, want %s", payment, status, text, want)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func secret(id string, b byte) string {
	return id + ":" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}

func withVars(more map[string]string) map[string]string {
	vars := map[string]string{}
	for _, m := range []map[string]string{demo, more} {
		for name, value := range m {
			vars[name] = value
		}
	}
	return vars
}

// stores reports whether a text occurs in the files of the objects.
func (l *lab) stores(text string) bool {
	l.t.Helper()
	found := false
	err := filepath.WalkDir(l.Config.Disk, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || bytes.Contains(b, []byte(text))
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return found
}

// The only request for a payment ends with its program, or with the whole
// machine, at each point of the flow. No one repeats it. It must still be
// charged once and get its number.
func TestAPaymentThatNobodyRepeatsIsChargedOnce(t *testing.T) {
	l := start(t, withVars(map[string]string{"PAYMENTS_KEYS": secret("a", 1)}))
	next := int64(1)
	for _, c := range []struct {
		point  string
		killed bool
	}{{"before-charge", false}, {"after-charge", false}, {"after-step", false}, {"before-charge", true}, {"after-charge", true}, {"after-step", true}} {
		payment := fmt.Sprintf("pay_%s-%v", c.point, c.killed)
		if status, text := l.send("POST", "/payments", body(payment), "Crash", c.point); status == 200 {
			t.Fatalf("%s: %d %s", payment, status, text)
		}
		begin := time.Now()
		l.wantLog("crashing on purpose, " + c.point)
		if c.killed {
			l.Kill()
			l.Config.Vars = withVars(map[string]string{"PAYMENTS_KEYS": secret("b", 2) + "," + secret("a", 1)}) // the key was replaced meanwhile
			l.Restart()
		}
		l.end = time.Now().Add(time.Minute)
		l.wantStatus(payment, fmt.Sprintf(`{"charges":1,"payment":%q}`, payment))
		next = l.number(payment, next)
		t.Logf("%s: resumed within %v, with a lease of 3 s", payment, time.Since(begin).Round(100*time.Millisecond))
		var a answer
		if status, text := l.send("POST", "/payments", body(payment)); status != 200 || json.Unmarshal([]byte(text), &a) != nil || a.Sequence != next-2 || a.Charge == "" {
			t.Errorf("a late repetition: %d %s, want number %d", status, text, next-2)
		}
		l.wantStatus(payment, fmt.Sprintf(`{"charges":1,"payment":%q}`, payment))
	}
	if l.Kill(); l.stores(`"currency":"EUR","id":"pay_`) {
		t.Error("an input is on the disk in clear")
	}
}

// number waits until a payment has its number, without a request for that
// payment. Other payments get the numbers around it. It returns the number
// after that of the last one.
func (l *lab) number(payment string, next int64) int64 {
	l.t.Helper()
	for n := 0; time.Now().Before(l.end); n++ {
		var a answer
		text := l.pay(fmt.Sprintf("witness-%s-%d", payment, n), "")
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			l.t.Fatal(text)
		}
		if a.Sequence == next+1 {
			return next + 2
		}
		if a.Sequence != next {
			l.t.Fatalf("the number is %d, want %d", a.Sequence, next)
		}
		next++
		time.Sleep(300 * time.Millisecond)
	}
	l.t.Fatalf("%s got no number", payment)
	return 0
}

// A payment that crashes the program at each attempt is given up once.
func TestAPaymentThatCannotBeTakenUpIsGivenUpOnce(t *testing.T) {
	l := start(t, withVars(map[string]string{"CRASH": "before-charge"}))
	l.end = time.Now().Add(time.Minute)
	if status, text := l.send("POST", "/payments", body("poison"), "Crash", "before-charge"); status == 200 {
		t.Fatalf("%d %s", status, text)
	}
	took := l.wantStatus("poison", `{"charges":0,"given_up":1,"payment":"poison"}`)
	crashes := strings.Count(l.Log(), "crashing on purpose, before-charge")
	if crashes != 4 {
		t.Errorf("%d attempts, want 4", crashes)
	}
	time.Sleep(8 * time.Second) // two leases, in which nothing more comes
	if status, text := l.send("GET", "/payments/poison", ""); text != `{"charges":0,"given_up":1,"payment":"poison"}` || strings.Count(l.Log(), "crashing on purpose") != crashes {
		t.Errorf("afterwards: %d %s", status, text)
	}
	t.Logf("given up after %v, %d attempts", took.Round(100*time.Millisecond), crashes)
}

// Except on the developer's machine, the Worker accepts no payment without keys
// for stored data.
func TestWithoutKeysNoPaymentIsTaken(t *testing.T) {
	l := start(t, map[string]string{"PAYMENTS_TOKEN": "t0ken"})
	header := []string{"Authorization", "Bearer t0ken"}
	if status, text := l.send("POST", "/payments", body("pay_1"), header...); status != 500 || !strings.Contains(text, `"code":"not_bound"`) || !strings.Contains(text, "keys") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := l.send("GET", "/payments/pay_1", "", header...); status != 200 || text != `{"charges":0,"payment":"pay_1"}` {
		t.Errorf("%d %s", status, text)
	}
}
