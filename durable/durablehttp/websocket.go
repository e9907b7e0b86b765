package durablehttp

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"

	"flow.internal/capdo/durable"
)

// Upgrade answers the request with a WebSocket that the handler reads and
// writes, in a Worker or in an object. The object is not evicted while the
// handler runs. When the handler returns, Upgrade closes the connection with
// code 1000, or with 1011 after a panic, unless the handler has closed it. To
// choose a subprotocol, set Sec-WebSocket-Protocol in w.Header() first.
//
// If the request does not ask for a WebSocket, Upgrade answers it with status
// 426 and returns [durable.ErrNoUpgrade].
func Upgrade(w http.ResponseWriter, r *http.Request) (*durable.Conn, error) {
	var conn *durable.Conn
	err := upgrade(w, r, func(rw *responseWriter, server *durable.WebSocket) (err error) {
		conn, err = server.Accept()
		if err == nil {
			rw.conn = conn
			durable.WaitUntil(r.Context(), func(context.Context) { <-rw.over })
		}
		return err
	})
	return conn, err
}

// AcceptWebSocket answers the request with a WebSocket. The object's handlers,
// such as [durable.WebSocketMessager], get its messages, and the object can be
// evicted between them. [durable.State.AcceptWebSocket] describes the tags. If
// the request does not ask for a WebSocket, AcceptWebSocket answers it with
// status 426 and returns [durable.ErrNoUpgrade].
func AcceptWebSocket(
	w http.ResponseWriter, r *http.Request,
	state *durable.State, tags ...string,
) (*durable.WebSocket, error) {
	var socket *durable.WebSocket
	err := upgrade(w, r, func(_ *responseWriter, server *durable.WebSocket) error {
		if err := state.AcceptWebSocket(server, tags...); err != nil {
			return err
		}
		socket = server
		return nil
	})
	return socket, err
}

// upgrade accepts one end of a pair, and sends the other end as the response.
func upgrade(
	w http.ResponseWriter, r *http.Request,
	accept func(rw *responseWriter, server *durable.WebSocket) error,
) error {
	rw, err := writerOf(w)
	if err != nil {
		return err
	}
	if !(&durable.Request{Header: r.Header}).IsUpgrade() {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w,
			"this resource is a WebSocket: the request must have the header Upgrade: websocket",
			http.StatusUpgradeRequired)
		return durable.ErrNoUpgrade
	}
	client, server, err := durable.NewWebSocketPair(r.Context())
	if err != nil {
		return err
	}
	if err := accept(rw, server); err != nil {
		return err
	}
	rw.upgraded(client)
	return nil
}

var (
	errBegun   = errors.New("durablehttp: the response has begun")
	errForeign = errors.New(
		"durablehttp: the ResponseWriter is not from this package, " +
			"and its Unwrap method does not lead to one that is")
)

// writerOf finds this package's writer under those of middleware, as
// http.ResponseController does.
func writerOf(w http.ResponseWriter) (*responseWriter, error) {
	for {
		switch t := w.(type) {
		case *responseWriter:
			if t.status != 0 {
				return nil, errBegun
			}
			return t, nil
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil, errForeign
		}
	}
}

// upgraded sends the response.
func (w *responseWriter) upgraded(socket *durable.WebSocket) {
	w.hasGone, w.status, w.sent, w.socket = true, http.StatusSwitchingProtocols,
		maps.Clone(w.header), socket
	close(w.began)
}

// WebSocket returns the WebSocket of a response from [Transport], or nil.
func WebSocket(resp *http.Response) *durable.WebSocket {
	body, _ := resp.Body.(upgraded)
	return body.socket
}

// upgraded is the body of a response with a WebSocket.
type upgraded struct{ socket *durable.WebSocket }

func (upgraded) Read([]byte) (int, error) { return 0, io.EOF }
func (upgraded) Close() error             { return nil }
