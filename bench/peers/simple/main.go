//go:build js

// This peer is a simple port: package syscall/js, and a separate runtime for
// the Worker and for each object. They exchange JSON with fetch.
package main

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"strings"
	"syscall/js"
	"time"
)

func main() {
	seat := js.Global().Get("seat")
	serve := serveWorker
	if role := os.Args[1]; role != "Worker" {
		o := &object{role: role, storage: seat.Get("state").Get("storage"),
			state: seat.Get("state")}
		if role == "Thing" {
			o.storage.Get("sql").Call("exec",
				"CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, n INTEGER, v TEXT)")
		}
		seat.Set("alarm", promising(func(js.Value, []js.Value) (any, error) {
			return nil, o.alarm()
		}))
		serve = o.serve
	}
	seat.Set("serve", promising(serve))
	select {}
}

// promising makes fn a JavaScript function that returns a promise.
func promising(fn func(this js.Value, args []js.Value) (any, error)) js.Func {
	return js.FuncOf(func(this js.Value, args []js.Value) any {
		p := js.Global().Get("Promise").Call("withResolvers")
		go func() {
			v, err := fn(this, args)
			if err != nil {
				p.Call("reject", js.Global().Get("Error").New(err.Error()))
				return
			}
			p.Call("resolve", v)
		}()
		return p.Get("promise")
	})
}

// await waits for a promise.
func await(promise js.Value) (js.Value, error) {
	type outcome struct {
		v   js.Value
		err error
	}
	done := make(chan outcome, 1)
	resolve := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- outcome{v: args[0]}
		return nil
	})
	defer resolve.Release()
	reject := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- outcome{err: errors.New(args[0].Get("message").String())}
		return nil
	})
	defer reject.Release()
	promise.Call("then", resolve, reject)
	o := <-done
	return o.v, o.err
}

// fields are the fields of every body, in both directions.
type fields struct {
	Key      string `json:"key,omitempty"`
	Value    string `json:"value,omitempty"`
	TTL      int64  `json:"ttl_seconds,omitempty"`
	Owner    string `json:"owner,omitempty"`
	Fence    int64  `json:"fence,omitempty"`
	N        int64  `json:"n,omitempty"`
	Inserted *bool  `json:"inserted,omitempty"`
}

func respond(v any, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	options := map[string]any{"headers": map[string]any{"Content-Type": "application/json"}}
	return js.Global().Get("Response").New(string(b), options), nil
}

func read(message js.Value) (f fields, path string, err error) {
	text, err := await(message.Call("text"))
	if err == nil {
		err = json.Unmarshal([]byte(text.String()), &f)
	}
	return f, pathOf(message), err
}

func pathOf(request js.Value) string {
	u, err := url.Parse(request.Get("url").String())
	if err != nil {
		return ""
	}
	return u.Path
}

var megabyte = strings.Repeat("0123456789abcdef", 1<<16)

func serveWorker(_ js.Value, args []js.Value) (any, error) {
	request, env := args[0], args[1]
	response := js.Global().Get("Response")
	switch pathOf(request) {
	case "/hello":
		return response.New("hello"), nil
	case "/down":
		b := js.Global().Get("Uint8Array").New(len(megabyte))
		js.CopyBytesToJS(b, []byte(megabyte))
		return response.New(b), nil
	case "/ws":
		return await(env.Get("THING").Call("getByName", "echo").Call("fetch", request))
	case "/up":
		buffer, err := await(request.Call("arrayBuffer"))
		if err != nil {
			return nil, err
		}
		b := make([]byte, buffer.Get("byteLength").Int())
		n := js.CopyBytesToGo(b, js.Global().Get("Uint8Array").New(buffer))
		return respond(fields{N: int64(n)}, nil)
	}
	f, path, err := read(request)
	if err != nil {
		return nil, err
	}
	return respond(post(env, path, f))
}

func post(env js.Value, path string, f fields) (any, error) {
	f.Owner = js.Global().Get("crypto").Call("randomUUID").String()
	switch path {
	case "/put_if_absent":
		return send(env.Get("DEDUPE"), f.Key, path, f)
	case "/claim_complete":
		claim, err := send(env.Get("LEDGER"), f.Key, "/claim", f)
		if err != nil {
			return nil, err
		}
		_, err = send(env.Get("LEDGER"), f.Key, "/complete",
			fields{Fence: claim.Fence, Value: "done"})
		return fields{Fence: claim.Fence}, err
	case "/sequence":
		return send(env.Get("LEDGER"), f.Value, "/next", f)
	}
	return send(env.Get("THING"), f.Key, path, f)
}

func send(namespace js.Value, name, path string, f fields) (answer fields, err error) {
	b, err := json.Marshal(f)
	if err != nil {
		return answer, err
	}
	options := map[string]any{"method": "POST", "body": string(b)}
	r, err := await(namespace.Call("getByName", name).Call("fetch", "http://object"+path, options))
	if err != nil {
		return answer, err
	}
	answer, _, err = read(r)
	return answer, err
}

// now returns the time in ms, as in JavaScript.
func now() int64 { return time.Now().UnixMilli() }
