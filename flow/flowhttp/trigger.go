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

// Trigger runs a flow for each POST to its route. The body, JSON, is the flow's
// input, and the flow's output is the response. Errors are sent as
// application/problem+json (RFC 9457), with a code to act on, and without keys
// or payloads; docs/spec/capabilities-and-binding.md lists them.
//
// The request's context ends the run when its client disconnects, if the server
// reports that: on Workers this needs the compatibility flag
// enable_request_signal. An effectful node that was running then may have had
// its effect. Its claim stays until its lease ends, or as long as its handler
// runs. The response to such a failure has "outcome":"unknown", the node, and
// the fence of its claim.
type Trigger struct {
	// Routes are the flows by path. A path must match exactly.
	Routes map[string]*flow.Program
	// Bindings returns the capabilities of a request. In a Worker they come
	// from its env, and belong to the request.
	Bindings func(*http.Request) (flow.Bindings, error)
	// Timeout is how long a run may take; 30 s when 0.
	Timeout time.Duration
	// MaxBody is the size of the largest body, in bytes; 1 MiB when 0.
	MaxBody int64
	// Report, if set, is called with each error that is answered with a
	// status of 500 or more, for a log. The error's text may contain what
	// the handlers' errors contain.
	Report func(*http.Request, error)
}

// ServeHTTP runs the flow at the request's path.
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
