package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"flow.internal/capdo/durable"
)

// Echo returns a value as package durable converts it, and its dump.
func (f *Fuzz) Echo(_ context.Context, v any) ([]any, error) { return []any{v, dump(v)}, nil }

// Bytes returns what it gets.
func (f *Fuzz) Bytes(_ context.Context, b []byte) ([]byte, error) { return b, nil }

// outcome returns the dump of a value, or the text of an error.
func outcome(v any, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return dump(v)
}

// Stored reads the value under a key in every possible way.
func (f *Fuzz) Stored(ctx context.Context, key string) ([]string, error) {
	s := f.state.Storage()
	sync, _, syncErr := s.KV().Get(key)
	async, _, asyncErr := s.Get(ctx, key, nil)
	out := []string{outcome(sync, syncErr), outcome(async, asyncErr)}
	many, err := s.GetMany(ctx, []string{key}, nil)
	if len(many) == 1 {
		out = append(out, outcome(many[0].Value, err))
	} else {
		out = append(out, outcome(nil, err))
	}
	list, err := s.List(ctx, &durable.ListOptions{Prefix: key})
	if len(list) == 1 {
		out = append(out, outcome(list[0].Value, err))
	} else {
		out = append(out, outcome(nil, err))
	}
	for e, err := range s.KV().List(&durable.ListOptions{Prefix: key}) {
		out = append(out, outcome(e.Value, err))
	}
	return out, nil
}

// Rows returns the dumped values of a query.
func (f *Fuzz) Rows(_ context.Context, query string) ([]string, error) {
	c, err := f.state.Storage().SQL().Exec(query)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var out []string
	row, dest := make([]any, len(c.ColumnNames())), make([]any, len(c.ColumnNames()))
	for i := range row {
		dest[i] = &row[i]
	}
	for c.Next() {
		err := c.Scan(dest...)
		out = append(out, outcome([]any(row), err))
	}
	return out, c.Err()
}

// Bind binds a value and selects it again.
func (f *Fuzz) Bind(_ context.Context, v any) ([]string, error) {
	c, err := f.state.Storage().SQL().Exec("SELECT ?", v)
	if err != nil {
		return []string{outcome(nil, err)}, nil
	}
	defer c.Close()
	var got any
	for c.Next() {
		err = c.Scan(&got)
	}
	return []string{outcome(got, err)}, c.Err()
}

// Remote calls a method of the JavaScript object. It returns a dump of the
// result or of the error.
func (f *Fuzz) Remote(ctx context.Context, method string, seed int) (string, error) {
	stub := f.env.Object("PLAIN", "plain")
	defer stub.Release()
	return outcome(durable.Call[any](ctx, stub, method, seed)), nil
}

// Headers fetches from the JavaScript object and returns the headers of the
// response.
func (f *Fuzz) Headers(ctx context.Context, seed int) (map[string]string, error) {
	stub := f.env.Object("PLAIN", "plain")
	defer stub.Release()
	resp, err := stub.Fetch(ctx,
		&durable.Request{Method: "GET", URL: fmt.Sprintf("http://plain/?seed=%d", seed)})
	if err != nil {
		return nil, err
	}
	if resp.Body != nil {
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return nil, err
		}
	}
	out := map[string]string{}
	for k, v := range resp.Header {
		out[strings.ToLower(k)] = strings.Join(v, ", ")
	}
	return out, nil
}

// Vars reads variables, bindings and props by name.
func (f *Fuzz) Vars(_ context.Context, names []string) ([]string, error) {
	props, err := f.state.Props()
	return append(readVars(f.env, names), outcome(props, err)), nil
}

func readVars(env *durable.Env, names []string) []string {
	var out []string
	for _, name := range names {
		v, ok, err := env.Var(name)
		if out = append(out, fmt.Sprint(outcome(v, err), ok)); err != nil {
			continue
		}
		if _, err := env.Namespace(name); err == nil {
			out[len(out)-1] += ", treated as a namespace"
		}
	}
	return out
}

// Sockets opens a connection to the JavaScript object, which sends frames made
// from the seed. It returns their dumps, and sends each frame back.
func (f *Fuzz) Sockets(ctx context.Context, seed int) ([]string, error) {
	stub := f.env.Object("PLAIN", "plain")
	defer stub.Release()
	conn, _, err := stub.DialWebSocket(ctx, fmt.Sprintf("http://plain/?seed=%d", seed), nil)
	if err != nil {
		return nil, err
	}
	var out []string
	for {
		m, err := conn.Read(ctx)
		if err != nil {
			out = append(out, err.Error())
			return out, nil
		}
		if m.Text {
			out = append(out, dump(m.String()))
		} else {
			out = append(out, dump(m.Data))
		}
		if err := conn.Write(ctx, m); err != nil {
			return out, err
		}
	}
}

// WebSocketMessage sends the message back, with the dump of the attachment.
func (f *Fuzz) WebSocketMessage(_ context.Context, ws *durable.WebSocket, m durable.Message) error {
	attachment, _, err := ws.Attachment()
	if err := ws.Send(durable.TextMessage(outcome(attachment, err))); err != nil {
		return err
	}
	return ws.Send(m)
}

// WebSocketError ignores errors of a connection.
func (f *Fuzz) WebSocketError(context.Context, *durable.WebSocket, error) error { return nil }

// serve answers with the request's headers, or with the content of the
// environment.
func serve(_ context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
	if names := r.Header["X-Vars"]; len(names) > 0 {
		return &durable.Response{Status: 200,
			Body: bytes.NewBufferString(strings.Join(readVars(env,
				strings.Split(names[0], ",")), "\n"))}, nil
	}
	h := map[string][]string{}
	for k, v := range r.Header {
		if strings.HasPrefix(k, "X-") {
			h[k] = v
		}
	}
	return &durable.Response{Status: 200, Header: h, Body: bytes.NewBufferString(dump(r.URL))}, nil
}
