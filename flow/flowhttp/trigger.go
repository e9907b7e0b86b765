// Package flowhttp starts flows by HTTP requests.
package flowhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"flow.internal/capdo/flow"
	"flow.internal/capdo/internal/problem"
)

// Trigger runs a flow for each POST to its route: the body, JSON, is the flow's
// input, and the flow's output the response. Errors are sent as
// application/problem+json (RFC 9457), with a code to act on, and without keys
// or payloads; docs/spec/capabilities-and-binding.md has them.
//
// The request's context ends the run when its client goes away, provided that
// the server says so: on Workers that takes the compatibility flag
// enable_request_signal. What an effectful node was at then may have had its
// effect: its claim is left to its lease, or kept as long as its handler runs.
// The answer to such a failure has "outcome":"unknown", the node, and the fence
// to ask with.
type Trigger struct {
	// Routes are the flows by path. Paths match as a whole.
	Routes map[string]*flow.Program
	// Bindings returns the capabilities of a request. In a Worker those of its
	// env; they belong to the request.
	Bindings func(*http.Request) (flow.Bindings, error)
	// Timeout is how long a run may take; 30 s when 0.
	Timeout time.Duration
	// MaxBody is the size of the largest body, in bytes; 1 MiB when 0.
	MaxBody int64
	// Report, if set, is told of each error that is answered with a status of
	// 500 or more, for a log. Its text is as discreet as the handlers' errors.
	Report func(*http.Request, error)
}

// ServeHTTP runs the flow that the request's path leads to.
func (t *Trigger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out, err := t.serve(w, r)
	if err != nil {
		p := failureOf(err)
		if p.Status >= http.StatusInternalServerError && t.Report != nil {
			t.Report(r, err)
		}
		p.write(w)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	problem.Secure(h)
	w.Write(append(out, '\n'))
}

// Errors of requests that reach no flow.
var (
	errNoRoute = errors.New("no flow has this path")
	errMethod  = errors.New("the method is not POST")
	errNoBind  = errors.New("the bindings could not be made")
	errBody    = errors.New("the body could not be read")
)

func (t *Trigger) serve(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	program := t.Routes[r.URL.Path]
	if program == nil {
		return nil, errNoRoute
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, errMethod
	}
	ctx, cancel := context.WithTimeout(r.Context(), orDefault(t.Timeout, 30*time.Second))
	defer cancel()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, orDefault(t.MaxBody, 1<<20)))
	// Part of the body was read before.
	if err == nil && int64(len(body)) < r.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, errors.Join(err, errBody, context.Cause(ctx))
	}
	bindings := flow.Bindings{}
	if t.Bindings != nil {
		if bindings, err = t.Bindings(r); err != nil {
			return nil, errors.Join(errNoBind, err)
		}
	}
	return program.Run(ctx, bindings, body)
}

func orDefault[T ~int64](value, byDefault T) T {
	if value == 0 {
		return byDefault
	}
	return value
}
