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

// Limits of the object's storage and sockets.
const (
	writeInterval = 250 * time.Millisecond // average time between writes
	// Writes without delay after a pause. A single payment is shown at once,
	// and is not lost in a crash.
	writesAtOnce = 40
	maxViewers   = 100
	maxUnread    = 256 << 10 // bytes a slow client may have pending
)

const methodReport = "report"

// Keys in the object's storage.
const (
	keySecret  = "secret"
	keyFigures = "figures"
)

// Register declares the Durable Object class of the console. It must be backed
// by SQLite. Call Register before [durable.Run].
func Register(class string) {
	durable.Register(class, newObject, durable.Func[*object](methodReport, (*object).report))
}

// object keeps the figures, and sends them to the open pages. It can be evicted
// at any time: it acknowledges a report only after writing it, and pages show
// only written figures.
type object struct {
	state  *durable.State
	secret []byte

	mu      sync.Mutex
	figures figures
	paidFor time.Time // one writeInterval for each write so far
	next    *write    // stores what was added since the last write
}

// write is a write that several reports wait for.
type write struct {
	done chan struct{}
	err  error
}

func newObject(_ context.Context, state *durable.State, _ *durable.Env) (*object, error) {
	o := &object{state: state}
	kv := state.Storage().KV()
	secret, ok, err := durable.Get[[]byte](kv, keySecret)
	if err != nil {
		return nil, fmt.Errorf("console: the stored secret: %w", err)
	}
	o.secret = secret
	if !ok {
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

// report adds events to the figures, and returns when they are stored. After
// many recent writes it waits, and one write stores several reports.
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
		time.Sleep(time.Until(due)) // other events are delivered meanwhile
		o.write(w)
	}
	<-w.done
	return w.err
}

// hash returns the page's name of a key: 48 bits of a keyed hash. Only this
// object has the secret.
func (o *object) hash(key []byte) string {
	h := hmac.New(sha256.New, o.secret)
	h.Write(key)
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// write stores the figures in one row, and sends them to the pages.
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

// snapshot returns the figures as the page and /console/state show them.
func (o *object) snapshot() ([]byte, error) {
	return json.Marshal(struct {
		Now          int64 `json:"now"`
		BucketLength int64 `json:"bucketLength"` // ms
		*figures
	}{time.Now().UnixMilli(), bucketLength.Milliseconds(), &o.figures})
}

// broadcast skips clients that are far behind: the next snapshot is complete
// again. It ignores clients that have disconnected.
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

// Fetch answers with the figures, or with a WebSocket that sends them after
// each change.
func (o *object) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return durablehttp.Serve(ctx, http.HandlerFunc(o.serve), r)
}

// serve shows only stored figures, as broadcast does. So figures do not go back
// after a reset.
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

// accept opens a WebSocket for a page. The page sends "ping" from time to time,
// which workerd answers without waking the object.
func (o *object) accept(w http.ResponseWriter, r *http.Request, snapshot string) {
	sockets, err := o.state.WebSockets("")
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error(), "")
		return
	}
	if len(sockets) >= maxViewers {
		fail(w, http.StatusServiceUnavailable,
			"100 consoles are open, and no more are allowed", "close one")
		return
	}
	if err := o.state.SetWebSocketAutoResponse("ping", "pong"); err != nil {
		fail(w, http.StatusInternalServerError, err.Error(), "")
		return
	}
	ws, err := durablehttp.AcceptWebSocket(w, r, o.state)
	if err != nil {
		return // already answered
	}
	ws.Send(durable.TextMessage(snapshot))
}

// WebSocketMessage refuses all messages: pages send only pings.
func (o *object) WebSocketMessage(
	_ context.Context, ws *durable.WebSocket, _ durable.Message,
) error {
	return ws.Close(1008, "the console accepts only ping")
}
