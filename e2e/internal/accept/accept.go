// Package accept answers requests for WebSockets in the Workers of tests.
package accept

import (
	"context"

	"flow.internal/capdo/durable"
)

// WebSocket returns a response that opens a WebSocket. Its other end is served in
// a goroutine of its own.
func WebSocket(ctx context.Context, serve func(*durable.Conn)) (*durable.Response, error) {
	client, server, err := durable.NewWebSocketPair(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := server.Accept()
	if err != nil {
		return nil, err
	}
	go serve(conn)
	return &durable.Response{WebSocket: client}, nil
}
