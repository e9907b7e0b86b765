package durable

import (
	"context"
	"errors"
	"sync"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// Objects that accept WebSockets implement WebSocketMessager, which gets each
// message. The handlers of one socket's messages start in order. While one
// waits, the next one starts, without a limit. If the handlers wait, the object
// should limit how many of them run at a time.
//
// If one of these handlers returns an error or panics, workerd logs it; the
// object and the socket continue.
type WebSocketMessager interface {
	WebSocketMessage(ctx context.Context, ws *WebSocket, m Message) error
}

// Objects implement WebSocketCloser to be notified when a socket is closed.
// code (1005 for none) and reason are the other side's. If the connection was
// lost, code is 1006 and wasClean is false. If the object closed the socket,
// the handler runs once the other side has answered.
//
// When the handler has returned, the close is answered with the same code,
// unless Close was called before. A class without this handler answers in the
// same way.
type WebSocketCloser interface {
	WebSocketClose(
		ctx context.Context, ws *WebSocket,
		code int, reason string, wasClean bool,
	) error
}

// Objects implement WebSocketErrorHandler to be notified of errors that end a
// connection, such as a violation of the protocol. A lost connection is
// reported as a close, not as an error.
type WebSocketErrorHandler interface {
	WebSocketError(ctx context.Context, ws *WebSocket, err error) error
}

// serveWebSocket handles an event of an accepted socket; args begin with its
// number and itself.
func (it *instance) serveWebSocket(ctx context.Context, kind jsrt.Kind, args []any) error {
	ws := it.state.socket(args[0], args[1])
	switch kind {
	case jsrt.Message:
		return it.object.(WebSocketMessager).WebSocketMessage(ctx, ws, newMessage(args[2:]))
	case jsrt.Err:
		defer it.state.forget(args[0])
		ws.lost = true
		if o, ok := it.object.(WebSocketErrorHandler); ok {
			return o.WebSocketError(ctx, ws, thrown(args[2]))
		}
		return nil
	}
	defer it.state.forget(args[0])
	code, _ := args[2].(float64)
	reason, _ := args[3].(string)
	wasClean, _ := args[4].(bool)
	ws.lost = !wasClean
	if wasClean {
		defer ws.answerClose(int(code), reason)
	}
	if o, ok := it.object.(WebSocketCloser); ok {
		return o.WebSocketClose(ctx, ws, int(code), reason, wasClean)
	}
	return nil
}

// answerClose answers a close of a hibernatable socket, because workerd does
// not, whatever the compatibility date. If Close was called before, it does
// nothing.
func (ws *WebSocket) answerClose(code int, reason string) {
	if code == codeNone {
		ws.ref.Call("close")
		return
	}
	ws.ref.Call("close", code, reason)
}

// Codes that are never sent.
//
// https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
const (
	codeNone = 1005
	codeLost = 1006
)

// thrown returns the error for a WebSocketErrorHandler.
func thrown(v any) error {
	if e, ok := v.(*jsrt.Error); ok {
		return classify(e)
	}
	return errors.New("durable: the WebSocket failed")
}

// sockets are the accepted WebSockets that this instance of the object has
// seen, by the numbers that JavaScript gives them. A socket is removed when it
// is closed; every class that can accept sockets is notified of that.
type sockets struct {
	mu sync.Mutex
	m  map[int64]*WebSocket
}

// socket returns the WebSocket of that number. If the program already has it,
// socket returns the same one and releases ref.
func (s *State) socket(number, ref any) *WebSocket {
	s.sockets.mu.Lock()
	defer s.sockets.mu.Unlock()
	r := ref.(*jsrt.Ref)
	if ws := s.sockets.m[socketNumber(number)]; ws != nil {
		r.Release()
		return ws
	}
	ws := &WebSocket{ref: r}
	s.adopt(number, ws)
	return ws
}

// adopt registers a WebSocket. The caller holds the lock.
func (s *State) adopt(number any, ws *WebSocket) {
	ws.state = s
	if s.sockets.m == nil {
		s.sockets.m = map[int64]*WebSocket{}
	}
	s.sockets.m[socketNumber(number)] = ws
}

func (s *State) forget(number any) {
	s.sockets.mu.Lock()
	defer s.sockets.mu.Unlock()
	delete(s.sockets.m, socketNumber(number))
}

func socketNumber(v any) int64 {
	n, _ := v.(float64)
	return int64(n)
}

// AcceptWebSocket accepts a connection for the object. The object's handlers
// ([WebSocketMessager] and others) get the messages, and the object can be
// evicted between them. ws is one end of a [NewWebSocketPair] whose other end
// has not been used yet. The class must implement one of the handlers, else
// [ErrNoWebSocketHandler].
//
// [State.WebSockets] finds the socket by its tags. A socket has at most 10 tags
// of at most 256 bytes each, else a [*LimitError]; an empty tag fails with
// [ErrValue]. An object holds at most 32,768 accepted sockets.
//
// https://developers.cloudflare.com/durable-objects/best-practices/websockets/#websocket-hibernation
func (s *State) AcceptWebSocket(ws *WebSocket, tags ...string) error {
	if !s.hasSocketHandlers {
		return ErrNoWebSocketHandler
	}
	if err := checkTags(tags); err != nil {
		return err
	}
	ref, err := ws.in(s.ref.Context())
	if err != nil {
		return err
	}
	v, err := s.ref.Context().Host().Call("acceptWebSocket", s.ref, ref, jsStrings(tags))
	if err != nil {
		return classify(err)
	}
	s.sockets.mu.Lock()
	defer s.sockets.mu.Unlock()
	s.adopt(v, ws)
	return nil
}

func checkTags(tags []string) error {
	if len(tags) > MaxWebSocketTags {
		return &LimitError{Limit: "tags of a WebSocket", Max: MaxWebSocketTags, Actual: len(tags)}
	}
	for _, t := range tags {
		if len(t) > MaxWebSocketTagLength {
			return &LimitError{Limit: "length of a tag, in bytes",
				Max: MaxWebSocketTagLength, Actual: len(t)}
		}
		if t == "" {
			return wrappedError("durable: a tag is empty", ErrValue)
		}
	}
	return nil
}

// WebSockets returns the accepted sockets that have the tag, or all of them if
// the tag is "". Earlier instances of the object may have accepted them. Some
// may already be closing.
func (s *State) WebSockets(tag string) ([]*WebSocket, error) {
	args := []any{s.ref}
	if tag != "" {
		args = append(args, tag)
	}
	v, err := s.ref.Context().Host().Call("webSockets", args...)
	if err != nil {
		return nil, classify(err)
	}
	list := v.([]any)
	var out []*WebSocket
	for i := 0; i < len(list); i += 2 {
		out = append(out, s.socket(list[i], list[i+1]))
	}
	return out, nil
}

// SetWebSocketAutoResponse makes workerd answer each message that equals
// request with response, on each accepted socket. This neither notifies nor
// wakes the object. The pair replaces an earlier one, and remains in force for
// later instances while sockets are open. A text of more than 2,048 bytes is
// refused with a [*LimitError].
func (s *State) SetWebSocketAutoResponse(request, response string) error {
	for what, text := range map[string]string{"request": request, "response": response} {
		if len(text) > MaxWebSocketAutoResponse {
			return &LimitError{Limit: "length of an automatic response's " + what + ", in bytes",
				Max: MaxWebSocketAutoResponse, Actual: len(text)}
		}
	}
	return s.autoResponse(request, response)
}

// ClearWebSocketAutoResponse ends automatic responses.
func (s *State) ClearWebSocketAutoResponse() error { return s.autoResponse() }

func (s *State) autoResponse(pair ...any) error {
	_, err := s.ref.Context().Host().Call("autoResponse", append([]any{s.ref}, pair...)...)
	return classify(err)
}

// WebSocketAutoResponse returns the pair that SetWebSocketAutoResponse has set.
// ok is false if there is none.
func (s *State) WebSocketAutoResponse() (request, response string, ok bool, err error) {
	v, err := s.ref.Call("getWebSocketAutoResponse")
	pair, ok := v.(*jsrt.Ref)
	if !ok {
		return "", "", false, classify(err)
	}
	defer pair.Release()
	for name, text := range map[string]*string{"request": &request, "response": &response} {
		if v, err = pair.Get(name); err != nil {
			return "", "", false, classify(err)
		}
		*text, _ = v.(string)
	}
	return request, response, true, nil
}

// SetHibernatableWebSocketEventTimeout limits how long a handler of a
// WebSocket's event may take, in whole ms, rounded up. If a handler takes
// longer, the object is reset. (Local workerd only drops the event: operations
// that the handler starts later have no effect.) 0 means no limit. More than 7
// days are refused with a [*LimitError].
//
// https://developers.cloudflare.com/durable-objects/api/state/#sethibernatablewebsocketeventtimeout
func (s *State) SetHibernatableWebSocketEventTimeout(d time.Duration) error {
	ms := d.Milliseconds()
	switch rest := d % time.Millisecond; {
	case rest > 0:
		ms++
	case rest < 0:
		ms--
	}
	if d < 0 || d > MaxWebSocketEventTimeout {
		return &LimitError{Limit: "timeout of a WebSocket's event, in ms",
			Max: int(MaxWebSocketEventTimeout / time.Millisecond), Actual: int(ms)}
	}
	_, err := s.ref.Call("setHibernatableWebSocketEventTimeout", ms)
	return classify(err)
}

// HibernatableWebSocketEventTimeout returns the limit that
// SetHibernatableWebSocketEventTimeout has set, or 0 for none.
func (s *State) HibernatableWebSocketEventTimeout() (time.Duration, error) {
	v, err := s.ref.Call("getHibernatableWebSocketEventTimeout")
	ms, _ := v.(float64)
	return time.Duration(ms) * time.Millisecond, classify(err)
}
