package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/durable/durabletest"
)

// work is what the Worker does with its ledger at /work.
var work func(ctx context.Context, l dedupe.Ledger) error

func TestMain(m *testing.M) {
	Register("Console")
	dodedupe.RegisterLedger("Ledger", nil)
	mux := http.NewServeMux()
	live := New(nil)
	live.Mount(mux)
	mux.HandleFunc("/work", do(live))
	mux.HandleFunc("/work/unbound", do(New(&Options{Binding: "NONE"})))
	durablehttp.Handle(mux)
	m.Run()
}

func do(c *Console) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l, err := dodedupe.NewLedger(durablehttp.Env(r), nil)
		if err == nil {
			err = work(r.Context(), c.Ledger(r.Context(), durablehttp.Env(r), l))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// ask sends the Worker a request, which must succeed.
func ask(t *testing.T, path string) string {
	t.Helper()
	resp, err := durabletest.Worker(t).Fetch(t.Context(), &durable.Request{Method: "GET", URL: "http://127.0.0.1" + path})
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	if resp.Body != nil {
		if b, err = io.ReadAll(resp.Body); err != nil {
			t.Fatal(err)
		}
	}
	if resp.Status != 200 {
		t.Fatalf("%s: %d %s", path, resp.Status, b)
	}
	return string(b)
}

func state(t *testing.T) (f figures) {
	t.Helper()
	if err := json.Unmarshal([]byte(ask(t, "/console/state")), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// await returns the figures once they are as wanted.
func await(t *testing.T, isWanted func(*figures) bool) figures {
	t.Helper()
	for range 500 {
		if f := state(t); isWanted(&f) {
			return f
		}
		time.Sleep(10 * time.Millisecond) // there is no notification
	}
	t.Fatalf("the figures are %+v", state(t))
	return figures{}
}

func stub(t *testing.T) *durable.Stub {
	t.Helper()
	return New(nil).object(durabletest.Env(t, nil))
}

func send(t *testing.T, events ...event) error {
	_, err := durable.Call[any](t.Context(), stub(t), methodReport, report{Events: events})
	return err
}

func TestTheConsoleSeesWhatALedgerDoes(t *testing.T) {
	work = func(ctx context.Context, l dedupe.Ledger) error {
		first, err := l.Claim(ctx, []byte("a key of somebody's"), dedupe.ClaimOptions{Owner: "a", Lease: time.Millisecond})
		if err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond) // until the lease is over
		second, err := l.Claim(ctx, []byte("a key of somebody's"), dedupe.ClaimOptions{Owner: "b", Lease: time.Minute})
		if err != nil {
			return err
		}
		if err := l.Complete(ctx, first, nil); !errors.Is(err, dedupe.ErrFenced) {
			return fmt.Errorf("the late holder: %w", err)
		}
		if err := l.Complete(ctx, second, []byte("a result of somebody's")); err != nil {
			return err
		}
		_, err = l.Claim(ctx, []byte("a key of somebody's"), dedupe.ClaimOptions{Lease: time.Minute})
		return err
	}
	ask(t, "/work")
	f := await(t, func(f *figures) bool { return f.Totals.Replayed == 1 })
	want := counts{Acquired: 1, TakenOver: 1, Fenced: 1, Completed: 1, Replayed: 1, Duplicates: 1}
	if f.Totals != want || f.Lost != 0 {
		t.Errorf("%+v, %d lost", f.Totals, f.Lost)
	}
	if k := f.Keys[0]; len(f.Keys) != 1 || len(k.Key) != 12 || k.State != stateCompleted || k.Attempt != 2 || k.Duplicates != 1 || k.Fence == 0 {
		t.Errorf("%d keys, %+v", len(f.Keys), *k)
	}
	durabletest.Run(t, stub(t), func(_ context.Context, state *durable.State) {
		text, _, err := durable.Get[string](state.Storage().KV(), keyFigures)
		if err != nil || text == "" || strings.Contains(text, "somebody") {
			t.Errorf("stored, with %v: %s", err, text)
		}
	})
}

func TestWithoutItsObjectTheConsoleHarmsNothing(t *testing.T) {
	done := 0
	work = func(ctx context.Context, l dedupe.Ledger) error {
		options := dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Lease: time.Minute}}
		_, err := dedupe.Do(ctx, l, []byte("k"), options, func(context.Context, dedupe.Claim) ([]byte, error) {
			done++
			return nil, nil
		})
		return err
	}
	for range 3 {
		ask(t, "/work/unbound")
	}
	if done != 1 {
		t.Errorf("done %d times", done)
	}
}

func TestFiguresAndHashesSurviveEvictionAndSIGKILL(t *testing.T) {
	e := event{Op: "Claim", What: dedupe.EventAcquired, Key: []byte("k"), Attempt: 1, Fence: 1, Lease: 1000, TTL: 1000}
	if err := send(t, e, e); err != nil {
		t.Fatal(err)
	}
	before := state(t)
	for n, lose := range []func(){func() { durabletest.Evict(t, stub(t)) }, func() { durabletest.Abort(t, stub(t)) }, func() { durabletest.Restart(t) }} {
		lose()
		if err := send(t, e); err != nil {
			t.Fatal(err)
		}
		after := state(t)
		if after.Totals.Acquired != int64(3+n) || len(after.Keys) != 1 || after.Keys[0].Key != before.Keys[0].Key || after.Since != before.Since {
			t.Errorf("after loss %d: %+v, keys %+v", n, after.Totals, after.Keys)
		}
	}
}

func TestHashesAreTheObjectsOwn(t *testing.T) {
	seen := map[string]bool{}
	r := report{Events: []event{{Op: "Claim", What: dedupe.EventAcquired, Key: []byte("k"), Attempt: 1}}}
	for range 2 {
		other := durabletest.New(t, "CONSOLE")
		if _, err := durable.Call[any](t.Context(), other, methodReport, r); err != nil {
			t.Fatal(err)
		}
		resp, err := other.Fetch(t.Context(), &durable.Request{Method: "GET", URL: "http://console/console/state"})
		if err != nil {
			t.Fatal(err)
		}
		var f figures
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
			t.Fatal(err)
		}
		seen[f.Keys[0].Key] = true
	}
	if len(seen) != 2 {
		t.Error("two objects have the same hash of a key")
	}
}

func TestASecretOfAnotherTypeIsRefused(t *testing.T) {
	object := durabletest.New(t, "CONSOLE")
	durabletest.Run(t, object, func(_ context.Context, state *durable.State) {
		if err := state.Storage().KV().Put(keySecret, "text"); err != nil {
			t.Error(err)
		}
	})
	durabletest.Abort(t, object)
	_, err := object.Fetch(t.Context(), &durable.Request{Method: "GET", URL: "http://127.0.0.1/"})
	if err == nil || !strings.Contains(err.Error(), "the stored secret") {
		t.Errorf("the answer's error is %v", err)
	}
}

// Each write sends the pages one snapshot.
func TestWritesAreFewHoweverManyReports(t *testing.T) {
	conn := open(t)
	began := time.Now()
	for range writesAtOnce + 2 {
		if err := send(t, event{Op: "Next", Number: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 2*writeInterval-50*time.Millisecond { // clocks have a resolution of 1 ms, and a timer may fire 1 ms early
		t.Errorf("%d reports in a row were written within %v", writesAtOnce+2, took)
	}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := send(t, event{Op: "Next", Number: int64(2 + i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := send(t, event{Op: "Next", Number: 1000}); err != nil {
		t.Fatal(err)
	}
	snapshots := readUntil(t, conn, 1000)
	if most := writesAtOnce + 2 + int(time.Since(began)/writeInterval); snapshots > most || snapshots >= writesAtOnce+2+100 {
		t.Errorf("the page got %d snapshots; at most %d are allowed in this time", snapshots, most)
	}
}

func TestShownSnapshotIsStored(t *testing.T) {
	for range writesAtOnce + 1 { // the next write waits
		if err := send(t, event{Op: "Next", Number: 1}); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error)
	go func() { done <- send(t, event{Op: "Next", Number: 2}) }()
	await(t, func(f *figures) bool { return f.Sequence == 2 })
	durabletest.Abort(t, stub(t))
	if f := state(t); f.Sequence != 2 {
		t.Errorf("the sequence was 2, and after a reset it is %d", f.Sequence)
	}
	<-done // the reset may have interrupted it
}

// open opens /console/live. The first message has already arrived.
func open(t *testing.T) *durable.Conn {
	t.Helper()
	h := map[string][]string{"Upgrade": {"websocket"}, "Sec-Websocket-Protocol": {"capdo.console"}}
	resp, err := durabletest.Worker(t).Fetch(t.Context(), &durable.Request{Method: "GET", URL: "http://127.0.0.1/console/live", Header: h})
	if err != nil || resp.WebSocket == nil {
		t.Fatalf("%+v %v", resp, err)
	}
	if p := resp.Header["Sec-Websocket-Protocol"]; len(p) != 1 || p[0] != "capdo.console" {
		t.Errorf("the subprotocol is %q", p)
	}
	conn, err := resp.WebSocket.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(1000, "") })
	return conn
}

// A client gets no subprotocol that it did not offer.
func TestASubprotocolIsOnlyForWhoOffersIt(t *testing.T) {
	for offered, want := range map[string]string{"": "", "chat": "", "capdo.token.eA": "", "capdo.consoles": "", "chat, capdo.console": "capdo.console"} {
		h := map[string][]string{"Upgrade": {"websocket"}}
		if offered != "" {
			h["Sec-Websocket-Protocol"] = []string{offered}
		}
		resp, err := durabletest.Worker(t).Fetch(t.Context(), &durable.Request{Method: "GET", URL: "http://127.0.0.1/console/live", Header: h})
		if err != nil || resp.WebSocket == nil {
			t.Fatalf("%q: %+v %v", offered, resp, err)
		}
		if got := strings.Join(resp.Header["Sec-Websocket-Protocol"], ","); got != want {
			t.Errorf("a client that offers %q gets %q, want %q", offered, got, want)
		}
		conn, err := resp.WebSocket.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close(1000, "")
	}
}

// readUntil reads snapshots until one has the given sequence number. It returns
// how many it read.
func readUntil(t *testing.T, conn *durable.Conn, sequence int64) (n int) {
	t.Helper()
	for {
		m, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n++
		var f figures
		if err := json.Unmarshal(m.Data, &f); err != nil {
			t.Fatal(err)
		}
		if f.Sequence >= sequence {
			return n
		}
	}
}

func TestPagesGetSnapshotsAfterEviction(t *testing.T) {
	conn := open(t)
	if m, err := conn.Read(t.Context()); err != nil || !bytes.Contains(m.Data, []byte(`"since":0`)) {
		t.Fatalf("the first message is %s, %v", m, err)
	}
	durabletest.Evict(t, stub(t))
	if err := conn.Write(t.Context(), durable.TextMessage("ping")); err != nil {
		t.Fatal(err)
	}
	if m, err := conn.Read(t.Context()); err != nil || m.String() != "pong" {
		t.Fatalf("ping is answered with %s, %v", m, err)
	}
	if err := send(t, event{Op: "Next", Number: 7}); err != nil {
		t.Fatal(err)
	}
	readUntil(t, conn, 7)
	if err := conn.Write(t.Context(), durable.TextMessage("something else")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "1008") {
		t.Errorf("something else: %v", err)
	}
}

func TestViewersAreLimited(t *testing.T) {
	for range maxViewers {
		open(t)
	}
	r := &durable.Request{Method: "GET", URL: "http://127.0.0.1/console/live", Header: map[string][]string{"Upgrade": {"websocket"}}}
	resp, err := durabletest.Worker(t).Fetch(t.Context(), r)
	if err != nil || resp.Status != 503 {
		t.Errorf("one more: %+v %v", resp, err)
	}
}

func TestOversizedReportsAreRefused(t *testing.T) {
	if err := send(t, make([]event, maxPending+1)...); err == nil {
		t.Error("no error")
	}
	if f := state(t); f.Since != 0 {
		t.Errorf("%+v", f)
	}
}
