// Package websockettest tests WebSockets in workerd: in an object's handlers,
// with a Conn, and in net/http handlers.
package websockettest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/durable/durabletest"
)

// event is what a Room's handler received.
type event struct {
	what   string
	ws     *durable.WebSocket
	code   int
	reason string
	clean  bool
	err    error
}

// record is what the test knows about a Room, across instances.
type record struct {
	built  int
	events chan event
	gate   chan struct{} // blocks handlers of "wait"
}

var records = map[string]*record{}

// Room accepts WebSockets for its handlers. It runs messages that are commands,
// and echoes the others.
type Room struct {
	state *durable.State
	*record
	known map[*durable.WebSocket]int // messages of each socket, since the instance was built
}

func NewRoom(_ context.Context, state *durable.State, _ *durable.Env) (*Room, error) {
	id, err := state.ID()
	if err != nil {
		return nil, err
	}
	r := records[id.String()]
	if r == nil {
		r = &record{events: make(chan event, 1000), gate: make(chan struct{})}
		records[id.String()] = r
	}
	r.built++
	return &Room{state, r, map[*durable.WebSocket]int{}}, nil
}

// Fetch accepts a WebSocket with the tags in the query.
func (o *Room) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	if !r.IsUpgrade() {
		return &durable.Response{Status: 200, Body: strings.NewReader("no socket")}, nil
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	client, server, err := durable.NewWebSocketPair(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.state.AcceptWebSocket(server, u.Query()["tag"]...); err != nil {
		return nil, err
	}
	return &durable.Response{WebSocket: client, Header: map[string][]string{"X-Room": {"here"}}}, nil
}

func (o *Room) WebSocketMessage(ctx context.Context, ws *durable.WebSocket, m durable.Message) error {
	o.known[ws]++
	command, argument, _ := strings.Cut(m.String(), " ")
	if !m.Text {
		return ws.Send(m)
	}
	switch command {
	case "built":
		m = durable.TextMessage(strconv.Itoa(o.built))
	case "known":
		m = durable.TextMessage(strconv.Itoa(len(o.known)) + " " + strconv.Itoa(o.known[ws]))
	case "attach":
		return ws.SetAttachment(argument)
	case "attachment":
		v, _, err := ws.Attachment()
		text, _ := v.(string)
		if err != nil {
			text = err.Error()
		}
		m = durable.TextMessage(text)
	case "close":
		code, _ := strconv.Atoi(argument)
		return ws.Close(code, "as you wish")
	case "fail":
		return errors.New("not this one")
	case "panic":
		panic("at your command")
	case "wait":
		o.events <- event{what: "waits"}
		<-o.gate
	case "broadcast":
		return o.broadcast(argument)
	}
	return ws.Send(m)
}

func (o *Room) broadcast(text string) error {
	all, err := o.state.WebSockets("")
	for _, ws := range all {
		err = errors.Join(err, ws.Send(durable.TextMessage(text)))
	}
	return err
}

func (o *Room) WebSocketClose(_ context.Context, ws *durable.WebSocket, code int, reason string, clean bool) error {
	o.events <- event{what: "close", ws: ws, code: code, reason: reason, clean: clean}
	return nil
}

func (o *Room) WebSocketError(_ context.Context, ws *durable.WebSocket, err error) error {
	o.events <- event{what: "error", ws: ws, err: err}
	return nil
}

// Quiet has no handler for closes.
type Quiet struct{ room *Room }

func NewQuiet(ctx context.Context, state *durable.State, env *durable.Env) (*Quiet, error) {
	room, err := NewRoom(ctx, state, env)
	return &Quiet{room}, err
}

func (o *Quiet) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return o.room.Fetch(ctx, r)
}

func (o *Quiet) WebSocketMessage(ctx context.Context, ws *durable.WebSocket, m durable.Message) error {
	return o.room.WebSocketMessage(ctx, ws, m)
}

func (o *Quiet) WebSocketError(ctx context.Context, ws *durable.WebSocket, err error) error {
	return o.room.WebSocketError(ctx, ws, err)
}

// Site serves net/http handlers.
type Site struct{ mux http.Handler }

func NewSite(context.Context, *durable.State, *durable.Env) (*Site, error) {
	return &Site{handler()}, nil
}

func (o *Site) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return durablehttp.Serve(ctx, o.mux, r)
}

func main() {
	durable.Register("Room", NewRoom)
	durable.Register("Quiet", NewQuiet)
	durable.Register("Site", NewSite)
	durablehttp.Handle(handler())
	durable.Run()
}

func TestMain(m *testing.M) {
	main()
	m.Run()
}

// dial opens a WebSocket to the stub's object.
func dial(t *testing.T, stub *durable.Stub, path string) *durable.Conn {
	t.Helper()
	c, _, err := stub.DialWebSocket(t.Context(), "ws://worker"+path, nil)
	if err != nil {
		t.Fatalf("dialing %s: %v", path, err)
	}
	return c
}

func send(t *testing.T, c *durable.Conn, text string) {
	t.Helper()
	if err := c.Write(t.Context(), durable.TextMessage(text)); err != nil {
		t.Fatalf("writing %q: %v", text, err)
	}
}

func read(t *testing.T, c *durable.Conn) string {
	t.Helper()
	m, err := c.Read(t.Context())
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
	return m.String()
}

func ask(t *testing.T, c *durable.Conn, text string) string {
	t.Helper()
	send(t, c, text)
	return read(t, c)
}

// recordOf returns the record of the object behind stub. The object must have
// been called before.
func recordOf(t *testing.T, stub *durable.Stub) *record {
	t.Helper()
	id, err := stub.ID()
	if err != nil {
		t.Fatal(err)
	}
	return records[id.String()]
}

// inside runs fn in a Room.
func inside(t *testing.T, stub *durable.Stub, fn func(ctx context.Context, state *durable.State)) {
	t.Helper()
	durabletest.Run(t, stub, fn)
}
