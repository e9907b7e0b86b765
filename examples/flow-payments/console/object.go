package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/examples/internal/guard"
)

// What an object's storage and its sockets are limited to.
const (
	writeInterval = 250 * time.Millisecond // from one write to the next, on average
	// after a pause; so a payment by itself is seen at once, and is not lost in
	// a crash
	writesAtOnce = 40
	maxViewers   = 100
	maxUnread    = 256 << 10 // bytes that a slow viewer may be behind
)

const methodReport = "report"

// Names in the object's storage.
const (
	keySecret  = "secret"
	keyFigures = "figures"
)

// Register declares the Durable Object class of the console, which is to be
// SQLite-backed. It is called before [durable.Run].
func Register(class string) {
	durable.Register(class, newObject, durable.Func[*object](methodReport, (*object).report))
}

// object keeps the figures, and tells them to the pages that are open. It can
// be evicted at any time: a report is acknowledged when it is written, and what
// the pages show has been written.
type object struct {
	state  *durable.State
	secret []byte

	mu      sync.Mutex
	figures figures
	paidFor time.Time // the writes so far, one writeInterval each
	next    *write    // that what was added meanwhile waits for
}

// write is one that several reports wait for.
type write struct {
	done chan struct{}
	err  error
}

func newObject(_ context.Context, state *durable.State, _ *durable.Env) (*object, error) {
	o := &object{state: state}
	kv := state.Storage().KV()
	secret, ok, err := kv.Get(keySecret)
	if err != nil {
		return nil, err
	}
	if o.secret, _ = secret.([]byte); !ok {
		o.secret = make([]byte, sha256.Size)
		rand.Read(o.secret)
		if err := kv.Put(keySecret, o.secret); err != nil {
			return nil, err
		}
	}
	text, ok, err := durable.Get[string](kv, keyFigures)
	if err != nil || !ok {
		return o, err
	}
	if err := json.Unmarshal([]byte(text), &o.figures); err != nil {
		return nil, fmt.Errorf("console: the stored figures: %w"+
			"\nhint: another version may have written them; give the console an object of another class", err)
	}
	return o, nil
}

// report adds events to the figures, and returns when they are written: with
// those of other reports, if there were many writes just now.
func (o *object) report(_ context.Context, r report) error {
	if len(r.Events) > maxPending {
		return errors.New("console: a report has more than 512 events")
	}
	o.mu.Lock()
	now := time.Now().UnixMilli()
	for i := range r.Events {
		o.figures.add(&r.Events[i], o.hash, now)
	}
	o.figures.Lost += r.Lost
	w, isFirst := o.next, o.next == nil
	if isFirst {
		w = &write{done: make(chan struct{})}
		o.next = w
	}
	due := o.paidFor.Add(-(writesAtOnce - 1) * writeInterval)
	o.mu.Unlock()
	if isFirst {
		time.Sleep(time.Until(due)) // other events go on
		o.write(w)
	}
	<-w.done
	return w.err
}

// hash returns what the page calls a key: 48 bits that only this object can
// tell from the key.
func (o *object) hash(key []byte) string {
	h := hmac.New(sha256.New, o.secret)
	h.Write(key)
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// write stores the figures, one row, and sends them to the pages.
func (o *object) write(w *write) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer close(w.done)
	if now := time.Now(); o.paidFor.Before(now) {
		o.paidFor = now
	}
	o.next, o.paidFor = nil, o.paidFor.Add(writeInterval)
	w.err = o.store()
}

// store stores the figures, and sends them to the pages.
func (o *object) store() error {
	b, err := json.Marshal(&o.figures)
	if err != nil {
		return err
	}
	if err := o.state.Storage().KV().Put(keyFigures, string(b)); err != nil {
		return err
	}
	return o.broadcast()
}

// snapshot is what the page is told, and /console/state answers.
func (o *object) snapshot() ([]byte, error) {
	return json.Marshal(struct {
		Now          int64 `json:"now"`
		BucketLength int64 `json:"bucketLength"` // ms
		*figures
	}{time.Now().UnixMilli(), bucketLength.Milliseconds(), &o.figures})
}

// broadcast leaves out who is far behind: the next snapshot has everything
// again. Who has gone is no error.
func (o *object) broadcast() error {
	sockets, err := o.state.WebSockets("")
	if err != nil || len(sockets) == 0 {
		return err
	}
	b, err := o.snapshot()
	if err != nil {
		return err
	}
	for _, ws := range sockets {
		if n, err := ws.Buffered(); err == nil && n < maxUnread {
			ws.Send(durable.TextMessage(string(b)))
		}
	}
	return nil
}

// Fetch answers with the figures, over a WebSocket again whenever they change.
func (o *object) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return durablehttp.Serve(ctx, http.HandlerFunc(o.serve), r)
}

// serve shows only what is written, as broadcast does: if the object is reset,
// figures do not go back.
func (o *object) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	for o.next != nil {
		pending := o.next
		o.mu.Unlock()
		<-pending.done
		o.mu.Lock()
	}
	defer o.mu.Unlock()
	b, err := o.snapshot()
	switch {
	case err != nil:
		fail(w, http.StatusInternalServerError, err.Error(), "")
	case r.Header.Get("Upgrade") != "":
		o.accept(w, r, string(b))
	default:
		w.Header().Set("Content-Type", "application/json")
		guard.SetPrivate(w.Header())
		w.Write(b)
	}
}

// accept lets a page in. It sends "ping" from time to time, which workerd
// answers without waking the object.
func (o *object) accept(w http.ResponseWriter, r *http.Request, snapshot string) {
	sockets, err := o.state.WebSockets("")
	if err == nil && len(sockets) >= maxViewers {
		fail(w, http.StatusServiceUnavailable,
			"100 consoles are open, which is the most", "close one")
		return
	}
	if err == nil {
		err = o.state.SetWebSocketAutoResponse("ping", "pong")
	}
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error(), "")
		return
	}
	ws, err := durablehttp.AcceptWebSocket(w, r, o.state)
	if err != nil {
		return // it has been answered
	}
	ws.Send(durable.TextMessage(snapshot))
}

// WebSocketMessage refuses what a page does not send.
func (o *object) WebSocketMessage(
	_ context.Context, ws *durable.WebSocket, _ durable.Message,
) error {
	return ws.Close(1008, "the console only listens for ping")
}
