//go:build !js

package durable_test

import (
	"context"
	"errors"
	"fmt"

	"flow.internal/capdo/durable"
)

// Room sends each message to everybody.
type Room struct{ state *durable.State }

// Fetch accepts a WebSocket. Its name is in the request.
func (o *Room) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	if !r.IsUpgrade() {
		return &durable.Response{Status: 426}, nil
	}
	client, server, err := durable.NewWebSocketPair(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.state.AcceptWebSocket(server, "everybody"); err != nil {
		return nil, err
	}
	return &durable.Response{WebSocket: client}, server.SetAttachment(r.URL)
}

// WebSocketMessage is also called after an eviction, on a new Room.
func (o *Room) WebSocketMessage(ctx context.Context, from *durable.WebSocket, m durable.Message) error {
	all, err := o.state.WebSockets("everybody")
	for _, ws := range all {
		err = errors.Join(err, ws.Send(m))
	}
	return err
}

func ExampleState_AcceptWebSocket() {
	durable.Register("Room", func(_ context.Context, state *durable.State, _ *durable.Env) (*Room, error) { return &Room{state}, nil })
	_, _, err := durable.NewWebSocketPair(context.Background())
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // natively
	// Output: true
}

func ExampleDialWebSocket() {
	greet := func(ctx context.Context, url string) (string, error) {
		c, _, err := durable.DialWebSocket(ctx, url, nil)
		if err != nil {
			return "", err
		}
		if err := c.Write(ctx, durable.TextMessage("hello")); err != nil {
			return "", err
		}
		m, err := c.Read(ctx)
		return m.String(), errors.Join(err, c.Close(1000, ""))
	}
	_, err := greet(context.Background(), "wss://example.com/chat")
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // natively
	// Output: true
}
