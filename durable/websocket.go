package durable

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"flow.internal/capdo/internal/jsrt"
)

// Message is a WebSocket message: UTF-8 text, or bytes. Received text that is
// not valid UTF-8 arrives with U+FFFD in place of each wrong byte, and with
// three of them in place of a lone surrogate from JavaScript.
type Message struct {
	Text bool
	Data []byte
}

// TextMessage returns a message of text.
func TextMessage(text string) Message { return Message{true, []byte(text)} }

// BinaryMessage returns a message of bytes.
func BinaryMessage(data []byte) Message { return Message{false, data} }

// String returns the message's bytes as a string.
func (m Message) String() string { return string(m.Data) }

// newMessage makes a message of its two parts.
func newMessage(parts []any) Message {
	text, _ := parts[0].(bool)
	data, _ := parts[1].([]byte)
	return Message{text, data}
}

// js returns the argument for WebSocket.send. It refuses text that is not
// UTF-8, which would change.
func (m Message) js() (any, error) {
	switch {
	case !m.Text && m.Data == nil:
		return []byte{}, nil
	case !m.Text:
		return m.Data, nil
	case !utf8.Valid(m.Data):
		return nil, errNotUTF8
	}
	return string(m.Data), nil
}

var errNotUTF8 = wrappedError("durable: a text message is not valid UTF-8; send bytes", ErrValue)

// WebSocket is one end of a WebSocket connection. It comes from
// [NewWebSocketPair] or a [Response]. Then do one of three things with it: call
// [State.AcceptWebSocket], so that the object's handlers get its messages, also
// after an eviction; call [WebSocket.Accept] for a [Conn], whose messages the
// program's goroutines read; or pass it on in a Response. All methods may be
// called concurrently.
//
// A socket that an object accepted is the same *WebSocket in all its events and
// in [State.WebSockets], so it can be the key of a map. After an eviction the
// new instance has new ones. Keep data about a socket in its attachment.
type WebSocket struct {
	ref   *jsrt.Ref
	state *State // once accepted there
	// the program was notified that the connection is lost; workerd silently
	// drops later messages
	lost bool
}

// NewWebSocketPair returns the two ends of a new connection, in the handler's
// context that ctx comes from. Return client to the client, as
// [Response.WebSocket], and accept server.
func NewWebSocketPair(ctx context.Context) (client, server *WebSocket, err error) {
	host, err := hostOf(ctx)
	if err != nil {
		return nil, nil, err
	}
	v, err := host.Call("pair")
	if err != nil {
		return nil, nil, classify(err)
	}
	ends := v.([]any)
	return &WebSocket{ref: ends[0].(*jsrt.Ref)}, &WebSocket{ref: ends[1].(*jsrt.Ref)}, nil
}

// hostOf returns the host of the I/O context of the handler that ctx, or the
// running goroutine, belongs to.
func hostOf(ctx context.Context) (*jsrt.Ref, error) {
	if i := jsrt.FromContext(ctx); i != nil {
		return i.Context().Host(), nil
	}
	if c := jsrt.Here(); c != nil {
		return c.Host(), nil
	}
	if runtime.GOOS == "js" {
		return nil, errNoHandler
	}
	_, err := (*jsrt.Ref)(nil).Get("") // unsupported
	return nil, err
}

var errNoHandler = errors.New("durable: neither the context nor the goroutine comes " +
	"from a handler" +
	"\nhint: use the handler's context, or a goroutine that the handler has started")

// Send sends a message. It queues the message at once (see
// [WebSocket.Buffered]). The message leaves when earlier writes to storage are
// durable. Success does not imply delivery.
//
// Send fails with [ErrBacklog], and sends nothing, while more than
// [MaxWebSocketUnsent] bytes of earlier messages wait for the network, because
// the other side reads too slowly or not at all. Then try again later, skip the
// message, or close the socket. Send fails with [ErrWebSocketClosed] if the
// socket is closed, if Close was called, or if the handlers or [Conn.Read] were
// notified that the connection is lost. It fails with [ErrValue] for text that
// is not UTF-8.
func (ws *WebSocket) Send(m Message) error {
	data, err := m.js()
	switch {
	case err != nil:
		return err
	case ws.lost:
		return ErrWebSocketClosed
	}
	sent, err := ws.ref.Context().Host().Call("send", ws.ref, data, MaxWebSocketUnsent)
	if err == nil && sent == false {
		return ErrBacklog
	}
	return classify(err)
}

// Buffered returns the number of bytes that Send has queued and the network has
// not taken yet.
func (ws *WebSocket) Buffered() (int, error) {
	v, err := ws.ref.Get("bufferedAmount")
	n, _ := v.(float64)
	return int(n), classify(err)
}

// Close begins to close the socket, with a code and a reason for the other
// side; a code of 0 sends neither. Closing it again does nothing.
//
// Valid codes are 1000, for a normal closure, 3000 to 4999, and the codes for
// servers: 1001 to 1003 and 1007 to 1014. Others are refused with
// [ErrCloseCode]. (Browsers send only the first two kinds.) A reason has at
// most [MaxWebSocketCloseReason] bytes, else a [*LimitError], and needs a code.
//
// https://www.rfc-editor.org/rfc/rfc6455#section-7.4
func (ws *WebSocket) Close(code int, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	var args []any
	if code != 0 {
		args = []any{code, reason}
	}
	_, err := ws.ref.Call("close", args...)
	return classify(err)
}

func checkClose(code int, reason string) error {
	switch {
	case len(reason) > MaxWebSocketCloseReason:
		return &LimitError{Limit: "length of a close reason, in bytes",
			Max: MaxWebSocketCloseReason, Actual: len(reason)}
	case !utf8.ValidString(reason):
		return wrappedError("durable: a close reason is not valid UTF-8", ErrValue)
	case code == 0 && reason != "":
		return wrappedError("durable: a close reason needs a code", ErrCloseCode)
	case code == 0, code == 1000, 3000 <= code && code <= 4999, 1001 <= code &&
		code <= 1003, 1007 <= code && code <= 1014:
		return nil
	}
	return wrappedError("durable: "+ErrCloseCode.Error()+": "+strconv.Itoa(code), ErrCloseCode)
}

// ReadyState is the state of a socket.
//
// https://developer.mozilla.org/docs/Web/API/WebSocket/readyState
type ReadyState int

// The states. A socket that is not accepted yet counts as open.
const (
	WebSocketConnecting ReadyState = iota
	WebSocketOpen
	WebSocketClosing // one side has closed it
	WebSocketClosed
)

// ReadyState returns the socket's state.
func (ws *WebSocket) ReadyState() (ReadyState, error) {
	v, err := ws.ref.Get("readyState")
	n, _ := v.(float64)
	return ReadyState(n), classify(err)
}

// SetAttachment keeps a value with the socket. The value survives the object's
// eviction, but not the end of the connection. Its types are those of [KV].
// SetAttachment fails with a [*LimitError] beyond [MaxWebSocketAttachment].
// V8's serialized size counts: about 2 bytes, plus the characters of strings
// (two bytes each in a string with any beyond U+00FF), 1 to 10 bytes for each
// number, and 2 to 5 bytes for each value.
func (ws *WebSocket) SetAttachment(value any) error {
	value, err := Encode(value)
	if err != nil {
		return in("attachment", err)
	}
	_, err = ws.ref.Call("serializeAttachment", value)
	return attachmentError(err)
}

// attachmentError converts an error about the size to a *LimitError. Its text
// has both figures.
func attachmentError(err error) error {
	js, ok := err.(*jsrt.Error)
	if !ok {
		return err
	}
	_, figure, ok := strings.Cut(js.Message, "'attachment' was ")
	figure, _, _ = strings.Cut(figure, " ")
	if n, convErr := strconv.Atoi(figure); ok && convErr == nil {
		return &LimitError{Limit: "size of an attachment, in bytes as serialized",
			Max: MaxWebSocketAttachment, Actual: n}
	}
	return classify(err)
}

// Attachment returns the value that SetAttachment has kept. ok is false if
// there is none or it is nil.
func (ws *WebSocket) Attachment() (value any, ok bool, err error) {
	v, err := ws.ref.Call("deserializeAttachment")
	if err != nil {
		return nil, false, classify(err)
	}
	return v, v != nil, checkValue(v)
}

// Tags returns the socket's tags, as given to [State.AcceptWebSocket], each
// once, in no particular order.
func (ws *WebSocket) Tags() ([]string, error) {
	v, err := ws.call("getTags")
	list, _ := v.([]any)
	var tags []string
	for _, t := range list {
		tags = append(tags, t.(string))
	}
	return tags, err
}

// AutoResponseTimestamp returns the time, in ms, of the socket's last automatic
// response (see [State.SetWebSocketAutoResponse]), and whether there was one.
func (ws *WebSocket) AutoResponseTimestamp() (at time.Time, ok bool, err error) {
	v, err := ws.call("getWebSocketAutoResponseTimestamp")
	at, ok = v.(time.Time)
	return at, ok, err
}

// in returns the socket's reference for use in a context. It can be used only
// in its own.
func (ws *WebSocket) in(c *jsrt.Context) (*jsrt.Ref, error) {
	if ws.ref.Context() != c {
		return nil, errForeignSocket
	}
	return ws.ref, nil
}

var errForeignSocket = wrappedError("durable: the WebSocket belongs to another "+
	"invocation or object", ErrContextClosed)

// call calls a method of the state with the socket.
func (ws *WebSocket) call(method string) (any, error) {
	if ws.state == nil {
		return nil, errNotAccepted
	}
	v, err := ws.state.ref.Call(method, ws.ref)
	return v, classify(err)
}

var errNotAccepted = errors.New("durable: the WebSocket was not accepted by State.AcceptWebSocket")
