// The Worker that the WebSocket tests drive.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// events are the events that the Go program received, in order.
var events []string

func note(format string, args ...any) { events = append(events, fmt.Sprintf(format, args...)) }

// built counts the instances of all Chats.
var built int

// Chat echoes messages.
type Chat struct{ state *durable.State }

func (o *Chat) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return durablehttp.Serve(ctx, http.HandlerFunc(o.serve), r)
}

func (o *Chat) serve(w http.ResponseWriter, r *http.Request) {
	ws, err := durablehttp.AcceptWebSocket(w, r, o.state, "everyone")
	if err == nil {
		err = ws.SetAttachment(r.FormValue("n"))
	}
	if err != nil {
		println(err.Error())
	}
}

func (o *Chat) WebSocketMessage(_ context.Context, ws *durable.WebSocket, m durable.Message) error {
	switch text := m.String(); {
	case !m.Text:
	case text == "built":
		m = durable.TextMessage(fmt.Sprint(built))
	case text == "who":
		n, _, err := ws.Attachment()
		all, allErr := o.state.WebSockets("everyone")
		if err := errors.Join(err, allErr); err != nil {
			return err
		}
		m = durable.TextMessage(fmt.Sprintf("%v of %d", n, len(all)))
	case text == "crash":
		go panic("at your command")
	case strings.HasPrefix(text, "close "):
		return ws.Close(4000, strings.TrimPrefix(text, "close "))
	}
	return ws.Send(m)
}

func (o *Chat) WebSocketClose(
	_ context.Context, ws *durable.WebSocket, code int, reason string, wasClean bool,
) error {
	note("close %d %q %v, sends: %v", code, reason, wasClean, ws.Send(durable.TextMessage("late")))
	return nil
}

func (o *Chat) WebSocketError(_ context.Context, _ *durable.WebSocket, err error) error {
	note("error %v", err)
	return nil
}

// conn echoes messages in the Worker.
func conn(w http.ResponseWriter, r *http.Request) {
	c, err := durablehttp.Upgrade(w, r)
	for err == nil {
		var m durable.Message
		if m, err = c.Read(r.Context()); err == nil {
			err = c.Write(r.Context(), m)
		}
	}
	if c != nil {
		note("conn: %v, sends: %v", err, c.Write(context.Background(), durable.TextMessage("late")))
	}
}

// dial connects to another server.
func dial(w http.ResponseWriter, r *http.Request) {
	c, resp, err := durable.DialWebSocket(r.Context(), r.FormValue("url"),
		http.Header{"Sec-Websocket-Protocol": {"chat"}})
	if err != nil {
		fmt.Fprint(w, errors.Is(err, durable.ErrNoUpgrade), err)
		return
	}
	for _, text := range []string{"one", "two"} {
		err = errors.Join(err, c.Write(r.Context(), durable.TextMessage(text)))
	}
	fmt.Fprint(w, resp.Status, resp.Header["Sec-Websocket-Protocol"])
	for err == nil {
		var m durable.Message
		if m, err = c.Read(r.Context()); err == nil {
			fmt.Fprint(w, " ", m)
		}
	}
	fmt.Fprint(w, ": ", err)
}

// forward lets an object answer.
func forward(w http.ResponseWriter, r *http.Request, binding string) {
	stub := durablehttp.Env(r).Object(binding, r.FormValue("o"))
	if err := durablehttp.Forward(w, r, stub); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func main() {
	durable.Register("Chat", func(
		_ context.Context, state *durable.State, _ *durable.Env,
	) (*Chat, error) {
		built++
		return &Chat{state}, nil
	})
	durable.Register("Stuck", func(
		_ context.Context, state *durable.State, _ *durable.Env,
	) (*Stuck, error) {
		return &Stuck{state}, nil
	})
	mux := http.NewServeMux()
	mux.HandleFunc("/release", func(http.ResponseWriter, *http.Request) { close(stuck) })
	mux.HandleFunc("/stuck",
		func(w http.ResponseWriter, r *http.Request) { forward(w, r, "STUCK") })
	mux.HandleFunc("/chat", func(w http.ResponseWriter, r *http.Request) { forward(w, r, "CHAT") })
	mux.HandleFunc("/conn", conn)
	mux.HandleFunc("/dial", dial)
	mux.HandleFunc("/unread", unread)
	mux.HandleFunc("/flood", flood)
	mux.HandleFunc("/events",
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Join(events, "; ")) })
	mux.HandleFunc("/gc", func(http.ResponseWriter, *http.Request) { runtime.GC() })
	durablehttp.Handle(mux)
	durable.Run()
}
