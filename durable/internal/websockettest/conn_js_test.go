package websockettest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/durable/durabletest"
)

// get sends a request without an upgrade.
func get(t *testing.T, stub *durable.Stub, path string) (*durable.Response, string) {
	t.Helper()
	resp, err := stub.Fetch(t.Context(), &durable.Request{Method: "GET", URL: "http://worker" + path})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if resp.Body != nil {
		b.ReadFrom(resp.Body)
	}
	return resp, b.String()
}

func TestAHandlerReadsAndWritesItsConnection(t *testing.T) {
	for name, stub := range map[string]*durable.Stub{"in the Worker": durabletest.Worker(t), "in an object": durabletest.New(t, "SITE")} {
		c, resp, err := stub.DialWebSocket(t.Context(), "http://worker/echo", map[string][]string{"Sec-WebSocket-Protocol": {"chat"}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p := resp.Header["Sec-Websocket-Protocol"]; len(p) != 1 || p[0] != "chat" {
			t.Errorf("%s: subprotocols %q", name, p)
		}
		for _, text := range []string{"one", "two", ""} {
			if got := ask(t, c, text); got != text {
				t.Errorf("%s: %q came back as %q", name, text, got)
			}
		}
		if err := c.Close(4000, "enough"); err != nil {
			t.Error(err)
		}
		wantClosed(t, c, 4000, "enough")
		var e *durable.CloseError
		if err := <-left; !errors.As(err, &e) || e.Code != 4000 || e.Reason != "enough" || errors.Is(err, io.EOF) {
			t.Errorf("%s: the handler got %v", name, err)
		}
	}
}

func TestANormalCloseIsAnEndOfFile(t *testing.T) {
	for _, code := range []int{1000, 1001, 0} {
		c := dial(t, durabletest.Worker(t), "/echo")
		if err := c.Close(code, ""); err != nil {
			t.Error(err)
		}
		if err := <-left; !errors.Is(err, io.EOF) {
			t.Errorf("code %d: %v", code, err)
		}
	}
}

func TestAHandlerThatReturnsClosesItsConnection(t *testing.T) {
	c := dial(t, durabletest.Worker(t), "/echo")
	send(t, c, "return")
	wantClosed(t, c, 1000, "")
	<-left
	c = dial(t, durabletest.Worker(t), "/panic")
	send(t, c, "go on")
	wantClosed(t, c, 1011, "the handler panicked")
}

func TestUpgradeNeedsARequestForOne(t *testing.T) {
	resp, body := get(t, durabletest.Worker(t), "/echo")
	if resp.Status != http.StatusUpgradeRequired || resp.Header["Upgrade"][0] != "websocket" || body == "" {
		t.Errorf("%+v %q", resp, body)
	}
	if _, err := durablehttp.Upgrade(nil, &http.Request{}); err == nil {
		t.Error("upgraded without anything")
	}
}

func TestUpgradeNeedsAFreshResponseOfThisPackage(t *testing.T) {
	if _, body := get(t, durabletest.Worker(t), "/late"); body != "begun" {
		t.Errorf("the body is %q", body)
	}
	if err := <-left; err == nil || errors.Is(err, durable.ErrNoUpgrade) {
		t.Errorf("after the response had begun: %v", err)
	}
	get(t, durabletest.Worker(t), "/foreign")
	if err := <-left; err == nil || errors.Is(err, durable.ErrNoUpgrade) {
		t.Errorf("with another ResponseWriter: %v", err)
	}
}

func TestAHandlerDialsAnObject(t *testing.T) {
	resp, body := get(t, durabletest.Worker(t), "/dial")
	if resp.Status != 200 || body != "from the Worker" {
		t.Errorf("%d %q", resp.Status, body)
	}
	if err := <-left; !errors.Is(err, io.EOF) {
		t.Errorf("the object's handler got %v", err)
	}
}

func TestTransportPassesAWebSocketOn(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://worker/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Upgrade", "WebSocket")
	resp, err := durablehttp.Transport(durabletest.Worker(t)).RoundTrip(req)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", resp, err)
	}
	c, err := durablehttp.WebSocket(resp).Accept()
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, c, "hello"); got != "hello" {
		t.Errorf("answered %q", got)
	}
	if err := c.Close(1000, ""); err != nil {
		t.Error(err)
	}
	<-left
}

func TestForwardPassesOrdinaryResponses(t *testing.T) {
	if resp, body := get(t, durabletest.Worker(t), "/room?name=a"); resp.Status != 200 || body != "no socket" {
		t.Errorf("%d %q", resp.Status, body)
	}
}

func TestAReadThatIsCancelledLosesNothing(t *testing.T) {
	c := dial(t, durabletest.Worker(t), "/echo")
	for range 3 {
		ctx, cancel := context.WithCancelCause(t.Context())
		over := make(chan error)
		go func() {
			_, err := c.Read(ctx)
			over <- err
		}()
		cause := errors.New("enough")
		cancel(cause)
		if err := <-over; !errors.Is(err, cause) {
			t.Errorf("the read ended with %v", err)
		}
	}
	send(t, c, "one")
	send(t, c, "two")
	if got := read(t, c) + read(t, c); got != "onetwo" {
		t.Errorf("read %q", got)
	}
	if err := c.Close(1000, ""); err != nil {
		t.Error(err)
	}
	<-left
}

func TestEachMessageGoesToOneReader(t *testing.T) {
	c := dial(t, durabletest.Worker(t), "/echo")
	got := make(chan string)
	for range 4 {
		go func() {
			for {
				m, err := c.Read(t.Context())
				if err != nil {
					got <- ""
					return
				}
				got <- m.String()
			}
		}()
	}
	seen := map[string]int{}
	for i := range 20 {
		send(t, c, string(rune('a'+i)))
	}
	for range 20 {
		seen[<-got]++
	}
	if len(seen) != 20 || seen[""] > 0 {
		t.Errorf("read %v", seen)
	}
	if err := c.Close(1000, ""); err != nil {
		t.Error(err)
	}
	for range 4 {
		if s := <-got; s != "" {
			t.Errorf("then %q", s)
		}
	}
	<-left
}

func TestAConnectionThatIsNotReadIsClosed(t *testing.T) {
	c := dial(t, durabletest.Worker(t), "/flood")
	var e *durable.CloseError
	if err := <-left; !errors.As(err, &e) || e.Code != 1008 {
		t.Errorf("the sender got %v", err)
	}
	if m, err := c.Read(t.Context()); !errors.Is(err, durable.ErrBacklog) {
		t.Errorf("read %d bytes, %v", len(m.Data), err)
	}
}

func TestAMessageThatIsAloneIsKeptWhateverItsSize(t *testing.T) {
	c := dial(t, durabletest.Worker(t), "/echo")
	big := make([]byte, durable.MaxWebSocketMessage)
	for range 2 {
		if err := c.Write(t.Context(), durable.BinaryMessage(big)); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Read(t.Context()); len(m.Data) != len(big) || err != nil {
			t.Errorf("%d bytes came back, %v", len(m.Data), err)
		}
	}
	if err := c.Close(1000, ""); err != nil {
		t.Error(err)
	}
	<-left
}

func TestAConnectionEndsWithItsInvocation(t *testing.T) {
	c := dial(t, durabletest.Worker(t), "/leak")
	wantClosed(t, c, 1000, "")
	old := <-leaked
	if _, err := old.Read(t.Context()); !errors.Is(err, durable.ErrContextClosed) {
		t.Errorf("reading: %v", err)
	}
	if err := old.Write(t.Context(), durable.TextMessage("x")); !errors.Is(err, durable.ErrContextClosed) {
		t.Errorf("writing: %v", err)
	}
}

func TestASocketStaysWithItsObject(t *testing.T) {
	var foreign *durable.WebSocket
	inside(t, durabletest.New(t, "ROOM"), func(ctx context.Context, _ *durable.State) {
		var err error
		if _, foreign, err = durable.NewWebSocketPair(ctx); err != nil {
			t.Fatal(err)
		}
	})
	inside(t, durabletest.New(t, "ROOM"), func(_ context.Context, state *durable.State) {
		if err := state.AcceptWebSocket(foreign); !errors.Is(err, durable.ErrContextClosed) {
			t.Errorf("another object accepts it: %v", err)
		}
	})
}

func TestWebSocketsNeedAHandlersContext(t *testing.T) {
	if _, _, err := durable.NewWebSocketPair(t.Context()); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a pair: %v", err)
	}
	if _, _, err := durable.DialWebSocket(t.Context(), "ws://localhost", nil); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("dialing: %v", err)
	}
}

func TestAConnectionIsAcceptedOnce(t *testing.T) {
	stub := durabletest.New(t, "SITE")
	_, resp, err := stub.DialWebSocket(t.Context(), "http://worker/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := resp.WebSocket.Accept(); err == nil || c != nil {
		t.Errorf("the second Accept: %v, %v", c, err)
	}
}
