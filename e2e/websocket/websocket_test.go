//go:build !js

// Package websocket tests WebSockets over TCP: a client of another
// implementation, workerd, and the Worker in worker/.
package websocket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
	"github.com/coder/websocket"
)

func TestMain(m *testing.M) { worker.Main(m) }

// lab is a workerd that serves the Worker.
type lab struct {
	*worker.Server
	t testing.TB
}

func start(t testing.TB, outbound string) *lab {
	t.Helper()
	return &lab{t: t, Server: worker.Start(t, workerd.Config{
		Main: "main.mjs", Outbound: outbound, V8Flags: []string{"--expose-gc"},
		Flags: []string{"unsafe_module", "experimental", "enable_request_signal"},
	})}
}

func (l *lab) get(path string) string {
	l.t.Helper()
	a, err := request.Get(http.DefaultClient, l.URL+path)
	if err != nil {
		l.t.Fatal(err)
	}
	return a.Body
}

// await returns the Worker's events when there are any.
func (l *lab) await() string {
	l.t.Helper()
	for range 100 {
		if s := l.get("/events"); s != "" {
			return s
		}
		time.Sleep(20 * time.Millisecond) // there is no notification
	}
	return ""
}

// dial connects a client. It is closed when the test ends.
func (l *lab) dial(path string) *websocket.Conn {
	l.t.Helper()
	c, _, err := websocket.Dial(l.t.Context(), l.URL+path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	c.SetReadLimit(-1)
	l.t.Cleanup(func() { c.CloseNow() })
	return c
}

// ask sends a text and returns the answer.
func ask(ctx context.Context, c *websocket.Conn, text string) (string, error) {
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		return "", err
	}
	_, b, err := c.Read(ctx)
	return string(b), err
}

// want fails the test unless the text gets that answer.
func want(t *testing.T, c *websocket.Conn, text, answer string) {
	t.Helper()
	if got, err := ask(t.Context(), c, text); got != answer || err != nil {
		t.Errorf("%q was answered with %q, %v, want %q", text, got, err, answer)
	}
}

// wantClose fails the test unless the connection ends with a code and reason.
func wantClose(t *testing.T, c *websocket.Conn, code websocket.StatusCode, reason string) {
	t.Helper()
	_, _, err := c.Read(t.Context())
	var e websocket.CloseError
	if !errors.As(err, &e) || e.Code != code || e.Reason != reason {
		t.Errorf("the connection ended with %v, want code %d %q", err, code, reason)
	}
}

func TestFiftyClientsHearOfAKillAndReconnect(t *testing.T) {
	l := start(t, "")
	const clients = 50
	conns := make([]*websocket.Conn, clients)
	talk := func(do func(i int)) {
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() { do(i) })
		}
		wg.Wait()
	}
	connect := func(i int) {
		c, _, err := websocket.Dial(t.Context(), fmt.Sprintf("%s/chat?o=a&n=%d", l.URL, i), nil)
		if err != nil {
			t.Errorf("client %d: %v", i, err)
			return
		}
		conns[i] = c
		for j := range 10 {
			text := fmt.Sprintf("message %d of %d", j, i)
			if got, err := ask(t.Context(), c, text); got != text || err != nil {
				t.Errorf("client %d: %q came back as %q, %v", i, text, got, err)
			}
		}
	}
	for round := range 2 {
		talk(connect)
		if t.Failed() {
			return
		}
		l.get("/evict?o=a")
		talk(func(i int) {
			if got, err := ask(t.Context(), conns[i], "who"); got != fmt.Sprintf("%d of %d", i, clients) || err != nil {
				t.Errorf("round %d, client %d is %q, %v", round, i, got, err)
			}
		})
		l.Kill()
		talk(func(i int) {
			ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
			defer stop()
			if _, _, err := conns[i].Read(ctx); err == nil || ctx.Err() != nil {
				t.Errorf("round %d, client %d did not notice the kill: %v", round, i, err)
			}
		})
		l.Restart()
	}
}

func TestMessageLimit(t *testing.T) {
	l := start(t, "")
	for _, path := range []string{"/chat?o=a", "/conn"} {
		for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			c := l.dial(path)
			b := bytes.Repeat([]byte("x"), durable.MaxWebSocketMessage)
			if err := c.Write(t.Context(), kind, b); err != nil {
				t.Fatal(err)
			}
			if k, got, err := c.Read(t.Context()); k != kind || !bytes.Equal(got, b) || err != nil {
				t.Errorf("%s: %v, %d bytes came back, %v", path, k, len(got), err)
			}
		}
		c := l.dial(path)
		go c.Write(t.Context(), websocket.MessageText, bytes.Repeat([]byte("x"), durable.MaxWebSocketMessage+1)) // the message is not read to its end
		if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != 1009 {
			t.Errorf("%s: one byte more: %v", path, err)
		}
	}
	if got := l.await(); strings.Count(got, "1009") != 2 {
		t.Errorf("the Worker got %s", got)
	}
}

func TestClosesCarryTheirCodesBothWays(t *testing.T) {
	for _, path := range []string{"/chat?o=a", "/conn"} {
		l := start(t, "")
		c := l.dial(path)
		want(t, c, "hello", "hello")
		if err := c.Close(4321, "that was it"); err != nil { // returns after the answer
			t.Errorf("%s: closing: %v", path, err)
		}
		if got := l.await(); !strings.Contains(got, "4321") || !strings.Contains(got, "that was it") {
			t.Errorf("%s: the Worker got %s", path, got)
		}
	}
	c := start(t, "").dial("/chat?o=a")
	if err := c.Write(t.Context(), websocket.MessageText, []byte("close enough")); err != nil {
		t.Fatal(err)
	}
	wantClose(t, c, 4000, "enough")
}

func TestALostConnectionIsACloseThatIsNotClean(t *testing.T) {
	for path, note := range map[string]string{
		"/chat?o=a": `close 1006 "WebSocket disconnected without sending Close frame." false, sends: the WebSocket is closed`,
		"/conn":     "conn: the WebSocket was closed with code 1006: WebSocket disconnected without sending Close frame., sends: the WebSocket is closed",
	} {
		l := start(t, "")
		c := l.dial(path)
		want(t, c, "hello", "hello")
		c.CloseNow()
		if got := l.await(); got != note {
			t.Errorf("%s: the Worker got %s", path, got)
		}
	}
}

func TestAViolationOfTheProtocolIsAnError(t *testing.T) {
	l := start(t, "")
	c, err := net.Dial("tcp", strings.TrimPrefix(l.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /chat?o=a HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	c.Write([]byte{0x8b, 0x80, 0, 0, 0, 0}) // an unknown opcode
	if got := l.await(); !strings.HasPrefix(got, "error WebSocket protocol error") || !strings.Contains(got, "1002") {
		t.Errorf("the object got %s", got)
	}
}

func TestInvalidUnicodeIsReplaced(t *testing.T) {
	l := start(t, "")
	if got := l.get("/surrogate?o=a"); got != "\"a\uFFFD\uFFFD\uFFFDb\"" {
		t.Errorf("a lone surrogate: %s", got)
	}
	want(t, l.dial("/chat?o=a"), "a\xed\xa0\x80b\xff", "a\uFFFD\uFFFD\uFFFDb\uFFFD")
}

func TestAcceptedSocketsOutliveTheProgram(t *testing.T) {
	l := start(t, "")
	c, other := l.dial("/chat?o=a&n=1"), l.dial("/chat?o=b&n=2")
	want(t, c, "who", "1 of 1")
	want(t, other, "built", "2")
	conn := l.dial("/conn")
	want(t, conn, "hello", "hello")
	ask(t.Context(), other, "crash") // the answer may be missing
	want(t, c, "who", "1 of 1")
	want(t, c, "built", "1") // built by a new program
	wantClose(t, conn, 1011, "the invocation is over")
}

func TestSocketsThatAreClosedLeaveNothingBehind(t *testing.T) {
	l := start(t, "")
	l.dial("/chat?o=a") // a connection that stays open
	for range 200 {
		for _, path := range []string{"/chat?o=a", "/conn"} {
			c := l.dial(path)
			want(t, c, "hello", "hello")
			c.Close(websocket.StatusNormalClosure, "")
		}
	}
	var s struct{ Refs, Contexts, Encoded, Calls int }
	for range 5 {
		l.get("/gc")
		if err := json.Unmarshal([]byte(l.get("/stats")), &s); err != nil {
			t.Fatal(err)
		}
	}
	if s.Refs > 30 || s.Contexts > 3 || s.Encoded > 3 || s.Calls > 3 {
		t.Errorf("left behind: %+v", s)
	}
	t.Logf("%+v", s)
}

func TestDialingOutOfTheWorker(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/socket" {
			http.Error(w, "not here", http.StatusForbidden)
			return
		}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}})
		if err != nil {
			return
		}
		for range 2 {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			c.Write(r.Context(), kind, b)
		}
		c.Close(4001, "two are enough")
	}))
	defer server.Close()
	l := start(t, strings.TrimPrefix(server.URL, "http://"))
	for _, scheme := range []string{"ws", "http"} {
		if got := l.get("/dial?url=" + scheme + "://peer/socket"); got != "101 [chat] one two: the WebSocket was closed with code 4001: two are enough" {
			t.Errorf("%s: %s", scheme, got)
		}
	}
	if got := l.get("/dial?url=ws://peer/elsewhere"); got != "true durable: the answer has status 403 and is not a WebSocket" {
		t.Errorf("a refusal: %s", got)
	}
}

// A client of a WebSocket has its whole answer when the socket is closed. Only
// then starts the time after which a stateless request's work ends.
func TestConnectionOutlivesTheTimeAfterAnAnswer(t *testing.T) {
	t.Parallel()
	l := start(t, "")
	conn := l.dial("/conn")
	time.Sleep(31 * time.Second)
	if got, err := ask(t.Context(), conn, "hello"); got != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
