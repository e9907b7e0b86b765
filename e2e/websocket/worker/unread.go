package main

import (
	"context"
	"net/http"
	"strconv"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// stuck is closed when the waiting handlers may return.
var stuck = make(chan struct{})

// Stuck is an object whose message handler does not return.
type Stuck struct{ state *durable.State }

func (o *Stuck) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return durablehttp.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := durablehttp.AcceptWebSocket(w, r, o.state); err != nil {
			println(err.Error())
		}
	}), r)
}

func (o *Stuck) WebSocketMessage(context.Context, *durable.WebSocket, durable.Message) error {
	<-stuck
	return nil
}

// unread accepts a connection and does not read it.
func unread(w http.ResponseWriter, r *http.Request) {
	c, err := durablehttp.Upgrade(w, r)
	if err != nil {
		return
	}
	<-stuck
	for err == nil {
		_, err = c.Read(r.Context())
	}
	note("unread: %v", err)
}

// flood sends n messages, whether the client reads them or not.
func flood(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("n"))
	size, _ := strconv.Atoi(r.FormValue("size"))
	c, err := durablehttp.Upgrade(w, r)
	for i := 0; err == nil && i < n; i++ {
		err = c.Write(r.Context(), durable.BinaryMessage(make([]byte, size)))
	}
	note("flood: %v", err)
	if err == nil {
		<-stuck
	}
}
