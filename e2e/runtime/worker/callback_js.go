package main

import (
	"context"
	"net"
	"net/http"
	"syscall/js"
	"time"
)

func init() {
	// callback waits for a js.Func to be called.
	scenarios["callback"] = func(_ context.Context, c *call) (string, error) {
		called := make(chan string, 1)
		f := js.FuncOf(func(js.Value, []js.Value) any {
			called <- "called back"
			return nil
		})
		defer f.Release()
		js.Global().Get("scheduler").Call("wait", c.ms("n").Milliseconds()).Call("then", f)
		text := <-called
		time.Sleep(100 * time.Millisecond)
		if c.state == nil {
			return text, nil
		}
		return text, c.kv().Put("got", text)
	}
	scenarios["jsoverflow"] = func(context.Context, *call) (string, error) {
		f := js.FuncOf(func(js.Value, []js.Value) any { return recurse(1) })
		defer f.Release()
		return f.Invoke().String(), nil
	}
	// transport uses net/http's own transport, as a library may do.
	scenarios["transport"] = func(ctx context.Context, _ *call) (string, error) {
		r, err := http.NewRequestWithContext(ctx, "GET", "http://127.0.0.1/", nil)
		if err != nil {
			return "", err
		}
		_, err = new(http.Transport).RoundTrip(r)
		return err.Error(), nil
	}
	// dial opens a connection like a client of a database.
	scenarios["dial"] = func(ctx context.Context, c *call) (string, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.Get("k"))
		if err != nil {
			return err.Error(), nil
		}
		conn.Close()
		return "connected", nil
	}
}
