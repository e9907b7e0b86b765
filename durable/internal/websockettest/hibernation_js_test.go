package websockettest

import (
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// wantClosed fails the test unless the connection is closed with the code and
// reason.
func wantClosed(t *testing.T, c *durable.Conn, code int, reason string) {
	t.Helper()
	_, err := c.Read(t.Context())
	var e *durable.CloseError
	if !errors.As(err, &e) || e.Code != code || e.Reason != reason {
		t.Errorf("reading: %v, want close code %d %q", err, code, reason)
	}
}

// wantLimit fails the test unless err is a *LimitError with the two numbers.
func wantLimit(t *testing.T, err error, max, actual int) {
	t.Helper()
	var e *durable.LimitError
	if !errors.As(err, &e) || e.Max != max || e.Actual != actual || !errors.Is(err, durable.ErrLimit) {
		t.Errorf("%v, want a limit of %d with %d", err, max, actual)
	}
}

// accepted runs fn in a Room, with the object's socket of the connection c.
func accepted(t *testing.T, room *durable.Stub, fn func(state *durable.State, ws *durable.WebSocket)) {
	t.Helper()
	inside(t, room, func(_ context.Context, state *durable.State) {
		all, err := state.WebSockets("")
		if err != nil || len(all) != 1 {
			t.Fatalf("the object has %d sockets, %v", len(all), err)
		}
		fn(state, all[0])
	})
}

func TestMessagesComeBackUnchanged(t *testing.T) {
	c := dial(t, durabletest.Worker(t), "/room?name=a")
	for name, m := range map[string]durable.Message{
		"text":                      durable.TextMessage("hello"),
		"empty text":                durable.TextMessage(""),
		"text of every plane":       durable.TextMessage("a\x00é€😀\uFEFF\uFFFD"),
		"bytes":                     durable.BinaryMessage([]byte{0, 255, 128}),
		"no bytes":                  durable.BinaryMessage(nil),
		"bytes that look like text": durable.BinaryMessage([]byte("close 1000")),
		"long text":                 durable.TextMessage(strings.Repeat("é", 100_000)),
		"long bytes":                durable.BinaryMessage(make([]byte, 1<<20)),
	} {
		if err := c.Write(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := c.Read(t.Context())
		if err != nil || got.Text != m.Text || got.String() != m.String() {
			t.Errorf("%s: came back as text: %v, %d bytes, %v", name, got.Text, len(got.Data), err)
		}
	}
	if err := c.Write(t.Context(), durable.TextMessage("\xff")); !errors.Is(err, durable.ErrValue) {
		t.Errorf("text that is not UTF-8: %v", err)
	}
}

func TestUpgradedResponseKeepsItsHeaders(t *testing.T) {
	_, resp, err := durabletest.Worker(t).DialWebSocket(t.Context(), "http://worker/room?name=a", nil)
	if err != nil || resp.Status != 101 || resp.Header["X-Room"][0] != "here" {
		t.Errorf("%+v, %v", resp, err)
	}
}

func TestARefusedUpgradeReturnsTheResponse(t *testing.T) {
	c, resp, err := durabletest.Worker(t).DialWebSocket(t.Context(), "http://worker/nowhere", nil)
	if c != nil || !errors.Is(err, durable.ErrNoUpgrade) || resp == nil || resp.Status != 404 {
		t.Fatalf("%v, %+v, %v", c, resp, err)
	}
	if b, err := io.ReadAll(resp.Body); !strings.Contains(string(b), "404") || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestSocketsStayOpenWhileTheirObjectIsEvicted(t *testing.T) {
	room := durabletest.New(t, "ROOM")
	a, b := dial(t, room, "/?tag=a&tag=both"), dial(t, room, "/?tag=b&tag=both")
	send(t, a, "attach to a")
	send(t, b, "attach to b")
	if got := ask(t, a, "known") + ", " + ask(t, a, "built"); got != "2 2, 1" {
		t.Errorf("the first instance's count and number: %s", got)
	}
	durabletest.Evict(t, room)
	if n := recordOf(t, room).built; n != 1 {
		t.Errorf("%d instances before a message", n)
	}
	if got := ask(t, a, "built"); got != "2" {
		t.Errorf("the message woke instance %s", got)
	}
	if got := ask(t, a, "known"); got != "1 2" {
		t.Errorf("the new instance has %s", got)
	}
	if got := ask(t, a, "attachment") + ", " + ask(t, b, "attachment"); got != "to a, to b" {
		t.Errorf("the attachments are %s", got)
	}
	inside(t, room, func(_ context.Context, state *durable.State) {
		for tag, n := range map[string]int{"a": 1, "b": 1, "both": 2, "": 2, "neither": 0} {
			if list, err := state.WebSockets(tag); len(list) != n || err != nil {
				t.Errorf("tag %q: %d sockets, %v", tag, len(list), err)
			}
		}
	})
	send(t, b, "broadcast all")
	if got := read(t, a) + read(t, b); got != "allall" {
		t.Errorf("broadcast %q", got)
	}
}

func TestASocketIsTheSamePointerInEventsAndLists(t *testing.T) {
	room := durabletest.New(t, "ROOM")
	c := dial(t, room, "/?tag=a")
	dial(t, room, "/")
	for range 3 {
		send(t, c, "quiet, please")
		read(t, c)
	}
	if got := ask(t, c, "known"); got != "1 4" {
		t.Errorf("the object's message counts by socket: %s", got)
	}
	inside(t, room, func(_ context.Context, state *durable.State) {
		byTag, err := state.WebSockets("a")
		if err != nil {
			t.Fatal(err)
		}
		all, err := state.WebSockets("")
		if err != nil || len(all) != 2 || all[0] == all[1] || !slices.Contains(all, byTag[0]) {
			t.Errorf("%v, by tag %v, %v", all, byTag, err)
		}
	})
}

func TestTagsAreKeptOnceEach(t *testing.T) {
	room := durabletest.New(t, "ROOM")
	dial(t, room, "/?tag=x&tag=y&tag=x")
	accepted(t, room, func(_ *durable.State, ws *durable.WebSocket) {
		tags, err := ws.Tags()
		slices.Sort(tags)
		if !slices.Equal(tags, []string{"x", "y"}) || err != nil {
			t.Errorf("%q, %v", tags, err)
		}
	})
}

// newSocket returns an end of a pair whose other end nobody uses.
func newSocket(t *testing.T, ctx context.Context) *durable.WebSocket {
	t.Helper()
	_, server, err := durable.NewWebSocketPair(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func TestTagLimits(t *testing.T) {
	many := func(n int) (tags []string) {
		for i := range n {
			tags = append(tags, strings.Repeat("t", i+1))
		}
		return tags
	}
	inside(t, durabletest.New(t, "ROOM"), func(ctx context.Context, state *durable.State) {
		accept := func(tags ...string) error {
			t.Helper()
			return state.AcceptWebSocket(newSocket(t, ctx), tags...)
		}
		for name, tags := range map[string][]string{"ten": many(10), "of 256 bytes": {strings.Repeat("é", 128)}} {
			if err := accept(tags...); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		wantLimit(t, accept(many(11)...), 10, 11)
		wantLimit(t, accept(strings.Repeat("é", 128)+"x"), 256, 257)
		if err := accept(""); !errors.Is(err, durable.ErrValue) {
			t.Errorf("an empty tag: %v", err)
		}
	})
}

func TestAClassWithoutHandlersCannotAccept(t *testing.T) {
	inside(t, durabletest.New(t, "SITE"), func(ctx context.Context, state *durable.State) {
		if err := state.AcceptWebSocket(newSocket(t, ctx)); !errors.Is(err, durable.ErrNoWebSocketHandler) {
			t.Errorf("%v", err)
		}
	})
}

func TestASocketIsAcceptedOnce(t *testing.T) {
	inside(t, durabletest.New(t, "ROOM"), func(ctx context.Context, state *durable.State) {
		server := newSocket(t, ctx)
		if _, err := server.Tags(); err == nil {
			t.Error("a socket that is not accepted has tags")
		}
		if err := server.Send(durable.TextMessage("x")); err == nil {
			t.Error("a socket that is not accepted sends")
		}
		if err := state.AcceptWebSocket(server); err != nil {
			t.Fatal(err)
		}
		if err := state.AcceptWebSocket(server); err == nil {
			t.Error("accepted twice")
		}
		if _, err := server.Accept(); err == nil {
			t.Error("the socket was accepted for a Conn too")
		}
	})
}

func TestAttachmentsKeepTheirValue(t *testing.T) {
	room := durabletest.New(t, "ROOM")
	dial(t, room, "/")
	values := map[string]any{
		"a string": "text 😀", "bytes": []byte{1, 2}, "a number": 1.5, "a large integer": int64(1<<60 + 1), "true": true,
		"a time": time.UnixMilli(1234), "a list": []any{"a", nil, []any{}}, "an empty object": map[string]any{}, "a map": map[string]any{"k": map[string]any{"n": 1.0}},
	}
	accepted(t, room, func(_ *durable.State, ws *durable.WebSocket) {
		if v, ok, err := ws.Attachment(); v != nil || ok || err != nil {
			t.Errorf("at first: %v, %v, %v", v, ok, err)
		}
	})
	for name, want := range values {
		accepted(t, room, func(_ *durable.State, ws *durable.WebSocket) {
			if err := ws.SetAttachment(want); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		durabletest.Evict(t, room)
		accepted(t, room, func(_ *durable.State, ws *durable.WebSocket) {
			if v, ok, err := ws.Attachment(); !reflect.DeepEqual(v, want) || !ok || err != nil {
				t.Errorf("%s: %#v, %v, %v", name, v, ok, err)
			}
			if err := ws.SetAttachment(struct{ n int }{1}); !errors.Is(err, durable.ErrValue) {
				t.Errorf("a struct with only unexported fields: %v", err)
			}
		})
	}
}

func TestAttachmentLimitIsThatOfTheSerializedForm(t *testing.T) {
	room := durabletest.New(t, "ROOM")
	dial(t, room, "/")
	const overhead = 5 // version, and a string's kind and length
	accepted(t, room, func(_ *durable.State, ws *durable.WebSocket) {
		fits := strings.Repeat("x", durable.MaxWebSocketAttachment-overhead)
		if err := ws.SetAttachment(fits); err != nil {
			t.Error(err)
		}
		wantLimit(t, ws.SetAttachment(fits+"x"), durable.MaxWebSocketAttachment, durable.MaxWebSocketAttachment+1)
		wantLimit(t, ws.SetAttachment(strings.Repeat("€", 9000)), durable.MaxWebSocketAttachment, 18_006) // two bytes a character
		if v, _, err := ws.Attachment(); v != fits || err != nil {
			t.Errorf("afterwards it is %d bytes long, %v", len(v.(string)), err)
		}
	})
}

func TestAutomaticResponsesDoNotWakeTheObject(t *testing.T) {
	room := durabletest.New(t, "ROOM")
	c := dial(t, room, "/")
	before := time.Now().Truncate(time.Millisecond)
	accepted(t, room, func(state *durable.State, ws *durable.WebSocket) {
		if request, response, ok, err := state.WebSocketAutoResponse(); ok || err != nil {
			t.Errorf("at first: %q, %q, %v, %v", request, response, ok, err)
		}
		if err := state.SetWebSocketAutoResponse("ping", "pong"); err != nil {
			t.Error(err)
		}
		if at, ok, err := ws.AutoResponseTimestamp(); ok || err != nil {
			t.Errorf("answered at %v, %v", at, err)
		}
	})
	durabletest.Evict(t, room)
	for range 3 {
		if got := ask(t, c, "ping"); got != "pong" {
			t.Errorf("the answer is %q", got)
		}
	}
	if n := recordOf(t, room).built; n != 1 {
		t.Errorf("%d instances were built", n)
	}
	accepted(t, room, func(state *durable.State, ws *durable.WebSocket) {
		if at, ok, err := ws.AutoResponseTimestamp(); at.Before(before) || at.After(time.Now()) || !ok || err != nil {
			t.Errorf("answered at %v, %v, %v", at, ok, err)
		}
		if request, response, ok, err := state.WebSocketAutoResponse(); request != "ping" || response != "pong" || !ok || err != nil {
			t.Errorf("after the eviction: %q, %q, %v, %v", request, response, ok, err)
		}
		if err := state.ClearWebSocketAutoResponse(); err != nil {
			t.Error(err)
		}
	})
	if got := ask(t, c, "ping"); got != "ping" {
		t.Errorf("after it was cleared the answer is %q", got)
	}
}

func TestAutomaticResponseLimits(t *testing.T) {
	inside(t, durabletest.New(t, "ROOM"), func(_ context.Context, state *durable.State) {
		fits := strings.Repeat("é", durable.MaxWebSocketAutoResponse/2)
		if err := state.SetWebSocketAutoResponse(fits, fits); err != nil {
			t.Error(err)
		}
		wantLimit(t, state.SetWebSocketAutoResponse(fits+"x", "pong"), 2048, 2049)
		wantLimit(t, state.SetWebSocketAutoResponse("ping", fits+"x"), 2048, 2049)
	})
}

func TestTheObjectHearsOfACloseAndAnswersIt(t *testing.T) {
	for _, binding := range []string{"ROOM", "QUIET"} { // a class without a handler answers too
		room := durabletest.New(t, binding)
		for _, c := range []struct {
			code   int
			reason string
			want   int
		}{{1000, "", 1000}, {1001, "going", 1001}, {3000, "x", 3000}, {4999, strings.Repeat("r", 123), 4999}, {0, "", 1005}} {
			conn := dial(t, room, "/")
			ask(t, conn, "known")
			if err := conn.Close(c.code, c.reason); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, conn, c.want, c.reason)
			if binding == "QUIET" {
				continue
			}
			e := <-recordOf(t, room).events
			if e.what != "close" || e.code != c.want || e.reason != c.reason || !e.clean {
				t.Errorf("the object got %+v", e)
			}
			inside(t, room, func(context.Context, *durable.State) {
				if err := e.ws.Send(durable.TextMessage("late")); !errors.Is(err, durable.ErrWebSocketClosed) {
					t.Errorf("sending after the close: %v", err)
				}
			})
		}
	}
}

func TestTheObjectClosesASocket(t *testing.T) {
	room := durabletest.New(t, "ROOM")
	c := dial(t, room, "/")
	send(t, c, "close 3001")
	wantClosed(t, c, 3001, "as you wish")
	if e := <-recordOf(t, room).events; e.what != "close" || e.code != 3001 || !e.clean {
		t.Errorf("the object got %+v", e)
	}
	if err := c.Write(t.Context(), durable.TextMessage("late")); !errors.Is(err, durable.ErrWebSocketClosed) {
		t.Errorf("sending after the close: %v", err)
	}
	if s, err := c.WebSocket().ReadyState(); s != durable.WebSocketClosed || err != nil {
		t.Errorf("state %v, %v", s, err)
	}
	inside(t, room, func(_ context.Context, state *durable.State) {
		if all, err := state.WebSockets(""); len(all) != 0 || err != nil {
			t.Errorf("%d sockets are left, %v", len(all), err)
		}
	})
}

func TestSendingAfterCloseIsAnError(t *testing.T) {
	c := dial(t, durabletest.New(t, "ROOM"), "/")
	if err := c.Close(1000, ""); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(t.Context(), durable.TextMessage("x")); !errors.Is(err, durable.ErrWebSocketClosed) {
		t.Errorf("sending: %v", err)
	}
	if err := c.Close(1000, "again"); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestCloseCodesAndReasonsAreChecked(t *testing.T) {
	c := dial(t, durabletest.New(t, "ROOM"), "/")
	for _, code := range []int{-1, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 1 << 20} {
		if err := c.Close(code, ""); !errors.Is(err, durable.ErrCloseCode) {
			t.Errorf("code %d: %v", code, err)
		}
	}
	if err := c.Close(0, "reason"); !errors.Is(err, durable.ErrCloseCode) {
		t.Errorf("a reason without a code: %v", err)
	}
	if err := c.Close(1000, "\xff"); !errors.Is(err, durable.ErrValue) {
		t.Errorf("a reason that is not UTF-8: %v", err)
	}
	wantLimit(t, c.Close(1000, strings.Repeat("é", 62)), 123, 124)
	if got := ask(t, c, "still open"); got != "still open" {
		t.Errorf("answered %q", got)
	}
	for _, code := range []int{1000, 1003, 1007, 1014, 3000, 4999} {
		c := dial(t, durabletest.New(t, "ROOM"), "/")
		if err := c.Close(code, strings.Repeat("é", 61)+"x"); err != nil {
			t.Errorf("code %d: %v", code, err)
		}
		wantClosed(t, c, code, strings.Repeat("é", 61)+"x")
	}
}

func TestSocketAndObjectOutliveAHandlerThatFails(t *testing.T) {
	room := durabletest.New(t, "ROOM")
	c := dial(t, room, "/")
	for _, how := range []string{"fail", "panic"} {
		send(t, c, how)
		if got := ask(t, c, "after "+how); got != "after "+how {
			t.Errorf("answered %q", got)
		}
	}
	if got := ask(t, c, "built"); got != "1" {
		t.Errorf("instance %s", got)
	}
}

func TestMessageHandlersRunConcurrently(t *testing.T) {
	room := durabletest.New(t, "ROOM")
	c := dial(t, room, "/")
	send(t, c, "wait one")
	send(t, c, "wait two")
	if got := ask(t, c, "three"); got != "three" {
		t.Errorf("answered %q", got)
	}
	close(recordOf(t, room).gate)
	got := []string{read(t, c), read(t, c)}
	slices.Sort(got)
	if !slices.Equal(got, []string{"wait one", "wait two"}) {
		t.Errorf("then came %q", got)
	}
}

func TestEventTimeoutIsKeptInWholeMilliseconds(t *testing.T) {
	inside(t, durabletest.New(t, "ROOM"), func(_ context.Context, state *durable.State) {
		for d, want := range map[time.Duration]time.Duration{
			durable.MaxWebSocketEventTimeout: durable.MaxWebSocketEventTimeout, time.Microsecond: time.Millisecond, 0: 0,
		} {
			if err := state.SetHibernatableWebSocketEventTimeout(d); err != nil {
				t.Errorf("%v: %v", d, err)
			}
			if got, err := state.HibernatableWebSocketEventTimeout(); got != want || err != nil {
				t.Errorf("%v became %v, %v", d, got, err)
			}
		}
		wantLimit(t, state.SetHibernatableWebSocketEventTimeout(durable.MaxWebSocketEventTimeout+1), 604_800_000, 604_800_001)
		wantLimit(t, state.SetHibernatableWebSocketEventTimeout(-time.Millisecond), 604_800_000, -1)
	})
}

func TestBroadcastReachesAHundredSockets(t *testing.T) {
	room := durabletest.New(t, "ROOM")
	var conns []*durable.Conn
	for range 100 {
		conns = append(conns, dial(t, room, "/"))
	}
	durabletest.Evict(t, room)
	for round := range 3 {
		send(t, conns[round], "broadcast hear, hear")
		for i, c := range conns {
			if got := read(t, c); got != "hear, hear" {
				t.Errorf("socket %d got %q", i, got)
			}
		}
	}
	inside(t, room, func(_ context.Context, state *durable.State) {
		if all, err := state.WebSockets(""); len(all) != 100 || err != nil {
			t.Errorf("%d sockets, %v", len(all), err)
		}
	})
}
