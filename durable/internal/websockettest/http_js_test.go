package websockettest

import (
	"context"
	"errors"
	"net/http"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// leaked receives connections whose handlers have returned.
var leaked = make(chan *durable.Conn, 1)

// left receives the errors with which the handlers of /echo ended.
var left = make(chan error, 10)

// handler returns the handler of the Worker and the Site.
func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/room", func(w http.ResponseWriter, r *http.Request) {
		stub := durablehttp.Env(r).Object("ROOM", r.FormValue("name"))
		if err := durablehttp.Forward(w, r, stub); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Sec-WebSocket-Protocol", r.Header.Get("Sec-WebSocket-Protocol"))
		c, err := durablehttp.Upgrade(w, r)
		if err != nil {
			return
		}
		left <- echo(r.Context(), c)
	})
	mux.HandleFunc("/panic", func(w http.ResponseWriter, r *http.Request) {
		c, err := durablehttp.Upgrade(w, r)
		if err != nil {
			return
		}
		c.Read(r.Context())
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/late", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("begun"))
		_, err := durablehttp.Upgrade(w, r)
		left <- err
	})
	mux.HandleFunc("/foreign", func(w http.ResponseWriter, r *http.Request) {
		_, err := durablehttp.Upgrade(struct{ http.ResponseWriter }{w}, r)
		left <- err
	})
	mux.HandleFunc("/leak", func(w http.ResponseWriter, r *http.Request) {
		c, err := durablehttp.Upgrade(w, r)
		if err == nil {
			leaked <- c
		}
	})
	mux.HandleFunc("/flood", func(w http.ResponseWriter, r *http.Request) {
		c, err := durablehttp.Upgrade(w, r)
		if err != nil {
			return
		}
		for range floods {
			for {
				err = c.Write(r.Context(), durable.BinaryMessage(make([]byte, 1<<20)))
				if !errors.Is(err, durable.ErrBacklog) {
					break
				}
				time.Sleep(time.Millisecond) // until the network has sent some
			}
			if err != nil {
				break
			}
		}
		if err == nil || errors.Is(err, durable.ErrWebSocketClosed) {
			_, err = c.Read(r.Context())
		}
		left <- err
	})
	mux.HandleFunc("/dial", func(w http.ResponseWriter, r *http.Request) {
		text, err := dialFromHandler(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Write([]byte(text))
	})
	return mux
}

// floods is the number of messages of /flood, each 1 MiB: more than a Conn
// buffers.
const floods = durable.MaxWebSocketBacklog>>20 + 8

// dialFromHandler sends a text to an object that echoes it.
func dialFromHandler(r *http.Request) (string, error) {
	stub := durablehttp.Env(r).Object("SITE", "site")
	c, _, err := stub.DialWebSocket(r.Context(), "wss://site/echo", nil)
	if err != nil {
		return "", err
	}
	if err := c.Write(r.Context(), durable.TextMessage("from the Worker")); err != nil {
		return "", err
	}
	m, err := c.Read(r.Context())
	return m.String(), errors.Join(err, c.Close(1000, ""))
}

// echo echoes messages until the connection ends.
func echo(ctx context.Context, c *durable.Conn) error {
	for {
		m, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if m.String() == "return" {
			return errors.New("returned")
		}
		if err := c.Write(ctx, m); err != nil {
			return err
		}
	}
}
