package durable

import (
	"context"
	"io"
	"strconv"
	"strings"

	"flow.internal/capdo/internal/jsrt"
)

// Conn is a WebSocket connection that the program's goroutines read, in a
// Worker or in an object. An object is not evicted while its connection is
// open. The connection belongs to the invocation or object that accepted it. In
// a Worker, keep the invocation open with [WaitUntil] while you use the
// connection: when the invocation ends, an open connection is closed with code
// 1011. All methods may be called concurrently.
//
// workerd delivers messages as fast as they arrive, and nothing can slow down
// the other side. A Conn keeps up to [MaxWebSocketBacklog] of unread messages;
// all connections of the isolate together keep up to [MaxWebSocketBacklogs],
// and each may use at most as much as it leaves free for the others. If a
// message exceeds this, the connection is closed with code 1008, its unread
// messages are lost, and Read fails with [ErrBacklog].
type Conn struct {
	socket *WebSocket
	inbox  *jsrt.Ref
}

// Codes and figures for the inbox in websocket.mjs.
const (
	messageOverhead = 600  // measured: 2 million messages of a byte took 1,100 MiB
	backlogCode     = 1008 // policy violation
	backlogReason   = "messages arrive faster than they are read"
)

// Accept starts receiving, and returns the connection. It fails for a socket
// that was accepted or passed on before.
func (ws *WebSocket) Accept() (*Conn, error) {
	v, err := ws.ref.Context().Host().Call("inbox", ws.ref, MaxWebSocketBacklog,
		MaxWebSocketBacklogs, messageOverhead, backlogCode, backlogReason)
	if err != nil {
		return nil, classify(err)
	}
	return &Conn{ws, v.(*jsrt.Ref)}, nil
}

// DialWebSocket opens a connection to a server, in the handler's context that
// ctx comes from. The URL's scheme is ws, wss, http or https. header may be
// nil; set Sec-WebSocket-Protocol in it to ask for subprotocols. The response
// is that of the handshake. If it is not a WebSocket, the error is
// [ErrNoUpgrade]; then read or close the response's Body.
func DialWebSocket(
	ctx context.Context, url string, header map[string][]string,
) (*Conn, *Response, error) {
	host, err := hostOf(ctx)
	if err != nil {
		return nil, nil, err
	}
	return dialed(fetch(ctx, host.Context(), nil, upgradeRequest(url, header)))
}

// DialWebSocket opens a connection to the object, like the function
// DialWebSocket to a server. The object's Fetch gets the request.
func (s *Stub) DialWebSocket(
	ctx context.Context, url string, header map[string][]string,
) (*Conn, *Response, error) {
	return dialed(s.Fetch(ctx, upgradeRequest(url, header)))
}

func upgradeRequest(url string, header map[string][]string) *Request {
	h := map[string][]string{}
	for k, v := range header {
		h[k] = v
	}
	h["Upgrade"] = []string{"websocket"}
	if strings.HasPrefix(url, "ws:") || strings.HasPrefix(url, "wss:") {
		url = "http" + url[len("ws"):] // fetch knows no others
	}
	return &Request{Method: "GET", URL: url, Header: h}
}

func dialed(resp *Response, err error) (*Conn, *Response, error) {
	switch {
	case err != nil:
		return nil, nil, classify(err)
	case resp.WebSocket == nil:
		return nil, resp, wrappedError("durable: the answer has status "+strconv.Itoa(resp.Status)+
			" and is not a WebSocket", ErrNoUpgrade)
	}
	conn, err := resp.WebSocket.Accept()
	return conn, resp, err
}

// CloseError is the error of [Conn.Read] on a closed connection.
type CloseError struct {
	Code   int // the other side's; 1005: none, 1006: connection lost
	Reason string
}

// Error returns code and reason.
func (e *CloseError) Error() string {
	s := "the WebSocket was closed with code " + strconv.Itoa(e.Code)
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// Unwrap returns [io.EOF] for a normal closure (codes 1000, 1001 and 1005),
// [ErrDisconnected] for a connection that was lost, and nil otherwise.
func (e *CloseError) Unwrap() error {
	switch e.Code {
	case 1000, 1001, codeNone:
		return io.EOF
	case codeLost:
		return ErrDisconnected
	}
	return nil
}

// Read returns the next message. If no more will arrive, it fails with a
// [*CloseError], with [ErrBacklog], or with the error that broke the
// connection. If ctx ends first, it fails with the cause of ctx; no message is
// lost, and the next Read gets it. Each message goes to one reader.
func (c *Conn) Read(ctx context.Context) (Message, error) {
	for {
		v, err := c.inbox.Await(ctx, "next", messageOverhead)
		if _, isJS := err.(*jsrt.Error); isJS {
			c.socket.lost = true
		}
		if err != nil {
			return Message{}, classify(err)
		}
		parts, ok := v.([]any)
		if !ok { // something has arrived
			continue
		}
		if code, isEnd := parts[0].(float64); isEnd {
			c.socket.lost = code == codeLost
			return Message{}, closed(int(code), parts[1])
		}
		return newMessage(parts), nil
	}
}

func closed(code int, reason any) error {
	if code == 0 {
		return ErrBacklog
	}
	text, _ := reason.(string)
	return &CloseError{code, text}
}

// Write sends a message; see [WebSocket.Send]. It does not wait for the
// network.
func (c *Conn) Write(ctx context.Context, m Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return c.socket.Send(m)
}

// Close starts closing the connection; see [WebSocket.Close]. Read continues
// until the other side has closed it as well.
func (c *Conn) Close(code int, reason string) error { return c.socket.Close(code, reason) }

// WebSocket returns the socket that the connection uses, for its state.
func (c *Conn) WebSocket() *WebSocket { return c.socket }

// IsUpgrade reports whether the request asks for a WebSocket.
func (r *Request) IsUpgrade() bool {
	for _, v := range r.Header["Upgrade"] {
		if strings.EqualFold(v, "websocket") {
			return true
		}
	}
	return false
}
