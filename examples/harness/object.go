package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// object is a Durable Object. It stores dedupe's records, or it serves the
// storage, alarm, SQL and WebSocket operations.
type object struct {
	state    *durable.State
	records  *dodedupe.Records
	mux      http.Handler
	instance string // identifies this instance
}

func openObject(ctx context.Context, state *durable.State, env *durable.Env) (*object, error) {
	records, err := dodedupe.NewRecords(ctx, state, env)
	if err != nil {
		return nil, err
	}
	o := &object{state: state, records: records, instance: rand.Text()}
	o.mux = newObjectMux(o)
	return o, nil
}

// Fetch serves the operations.
func (o *object) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return durablehttp.Serve(ctx, o.mux, r)
}

// Alarm serves the object's one alarm.
func (o *object) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	if mine, err := o.records.Alarm(ctx); mine {
		return err
	}
	return o.update(ctx, ring)
}

// hello answers fetchStub.
func (o *object) hello(w http.ResponseWriter, _ *http.Request) {
	id, err := o.state.ID()
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"id": id.String(), "name": orNull(id.Name()),
		"instance": o.instance})
}

// accept accepts a WebSocket. WebSocketMessage receives its messages, also
// after an eviction.
func (o *object) accept(w http.ResponseWriter, r *http.Request) {
	if (&durable.Request{Header: r.Header}).IsUpgrade() {
		if _, err := durablehttp.AcceptWebSocket(w, r, o.state); err != nil {
			fail(w, err)
		}
		return
	}
	w.Header().Set("Upgrade", "websocket")
	reply(w, http.StatusUpgradeRequired,
		failure{Error: "this path serves a WebSocket: the request needs the header Upgrade: websocket",
			Code: "no_upgrade", Name: "ErrNoUpgrade"})
}

// WebSocketMessage sends a message back.
func (o *object) WebSocketMessage(
	_ context.Context, ws *durable.WebSocket, m durable.Message,
) error {
	return ws.Send(m)
}

// laterRequest is the body of /wait_until.
type laterRequest struct {
	putRequest
	DelayMS int64 `json:"delay_ms"`
}

// maxDelay limits how long work after an answer may wait. On Cloudflare waiting
// keeps the object in memory, which costs money.
const maxDelay = 10 * time.Second

// waitUntil answers first and stores a value later.
func (o *object) waitUntil(w http.ResponseWriter, r *http.Request) {
	req, err := readBody[laterRequest](w, r, maxBody)
	if err != nil {
		fail(w, err)
		return
	}
	delay := time.Duration(req.DelayMS) * time.Millisecond
	if req.DelayMS < 0 || req.DelayMS > maxDelay.Milliseconds() {
		fail(w, &inputError{"delay_ms", "it must be from 0 to 10000"})
		return
	}
	v, err := req.parse()
	if err != nil {
		fail(w, err)
		return
	}
	durable.WaitUntil(r.Context(), func(ctx context.Context) {
		time.Sleep(delay)
		if err := o.store(ctx, v); err != nil {
			println("the work after the answer failed:", err.Error())
		}
	})
	reply(w, http.StatusAccepted, success)
}
