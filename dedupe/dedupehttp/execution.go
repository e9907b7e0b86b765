package dedupehttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/budget"
	"flow.internal/capdo/internal/keepopen"
	"flow.internal/capdo/internal/problem"
)

// execution is one request with a key.
type execution struct {
	m      *middleware
	w      http.ResponseWriter
	r      *http.Request
	body   []byte
	sent   string // the Idempotency-Key
	key    []byte // the ledger's
	ledger *detachedLedger
	late   chan struct{} // closed when the handler has had its time
	timer  *time.Timer   // that closes it
	share  *budget.Share // of the isolate's memory
	goesOn bool          // the handler, without its client

	// Once the handler runs:
	running     *running
	response    *recorder
	returned    bool // it did not panic
	kept        *record
	disposition dedupe.Disposition
}

var errNotKept = errors.New("the response is not kept")

// run claims the key, runs the handler, stores its response and sends it. If a
// response was stored before, run sends that. If run returns a problem, the
// caller sends it instead.
func (e *execution) run() *problem.Problem {
	if e.m.Timeout > 0 {
		return e.runWithin()
	}
	return e.answer(e.do())
}

// do claims the key, runs the handler, and stores its response.
func (e *execution) do() ([]byte, error) {
	defer keepopen.Invocation(e.r.Context())()
	opts := dedupe.DoOptions{
		ClaimOptions: dedupe.ClaimOptions{Fingerprint: fingerprint(e.r, e.body), Lease: e.m.Lease,
			TTL: e.m.TTL, Wait: e.m.Wait},
		OnFailure: func(error) dedupe.Disposition { return e.disposition },
	}
	return dedupe.Do(context.WithoutCancel(e.r.Context()), e.ledger, e.key, opts, e.work)
}

// answer sends the outcome of do.
func (e *execution) answer(result []byte, err error) *problem.Problem {
	switch {
	case e.response == nil && err != nil:
		return claimProblem(err)
	case e.response == nil:
		return e.replay(result)
	case e.response.through:
		return nil
	case e.kept != nil && errors.Is(err, dedupe.ErrFenced):
		// Another run's response is stored for the key: the client gets that
		// one.
		return &takenOver
	case err != nil:
		// The response is not kept, or perhaps not. The client gets it
		// nevertheless.
		e.kept = nil
	}
	e.response.send(e.kept)
	return nil
}

// ending is the result of do.
type ending struct {
	result   []byte
	err      error
	returned bool
	panicked any // nil for a goroutine that ended itself
}

// runWithin is run for a client that waits for a limited time. The handler runs
// in its own goroutine, which continues without the client.
func (e *execution) runWithin() *problem.Problem {
	e.late = make(chan struct{})
	over, gone := make(chan ending), make(chan struct{})
	go func() {
		var end ending
		defer func() {
			if !end.returned {
				end.panicked = recover()
			}
			if e.timer != nil {
				e.timer.Stop() // it would keep the request's body for as long
			}
			select {
			case over <- end:
			case <-gone:
				end.report()
				e.share.Close()
			}
		}()
		end.result, end.err = e.do()
		end.returned = true
	}()
	select {
	case end := <-over:
		return end.answer(e)
	case <-e.late:
	}
	e.goesOn = true
	defer close(gone)
	if untouched := e.response.leave(); !untouched {
		// Half of a response must not pass for a whole one.
		panic(http.ErrAbortHandler)
	}
	return &timedOut
}

// answer ends the server's goroutine in the same way as the handler's own
// ended.
func (end *ending) answer(e *execution) *problem.Problem {
	switch {
	case end.returned:
		return e.answer(end.result, end.err)
	case end.panicked == nil:
		runtime.Goexit()
	}
	panic(end.panicked)
}

// report logs a panic that no server can see any more, as net/http does.
func (end *ending) report() {
	if end.panicked != nil && end.panicked != http.ErrAbortHandler {
		slog.Error("dedupehttp: a handler panicked after its client was answered", "panic",
			end.panicked, "stack", string(debug.Stack()))
	}
}

// work runs the handler, and returns the record to store.
func (e *execution) work(ctx context.Context, claim dedupe.Claim) ([]byte, error) {
	defer e.settlePanic()
	e.response = newRecorder(e.w, e.m.Streaming, e.share)
	e.running = &running{key: e.sent, claim: claim}
	ctx, stop := e.limit(context.WithValue(withServer(ctx), runningKey{}, e.running))
	defer stop()
	r := e.r.WithContext(ctx)
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(e.body)),
		int64(len(e.body)), nil
	e.m.next.ServeHTTP(e.response, r)
	e.response.finish()
	e.returned = true
	if e.disposition = e.dispose(e.response.status); e.disposition != dedupe.StoreResult {
		return nil, errNotKept
	}
	e.kept = e.response.record(e.ledger.expires(e.m.TTL))
	return e.kept.encode(), nil
}

// limit starts the handler's timeout, if there is one. It also limits how long
// the client waits for the response to be stored.
func (e *execution) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if e.late == nil {
		return ctx, func() {}
	}
	e.timer = time.AfterFunc(e.m.Timeout, func() { close(e.late) })
	return context.WithTimeoutCause(ctx, e.m.Timeout, http.ErrHandlerTimeout)
}

// withServer marks the context as a server's. httputil.ReverseProxy then panics
// when its upstream breaks off in the middle of a body. Without the mark it
// returns, and half a body would be stored as a whole one.
func withServer(ctx context.Context) context.Context {
	if ctx.Value(http.ServerContextKey) != nil {
		return ctx
	}
	return context.WithValue(ctx, http.ServerContextKey, &http.Server{})
}

// dispose returns the disposition of the claim after a response with that
// status. NoEffect covers only this run. So a claim that was taken over is not
// released: the next run must still learn that an earlier one may have had its
// effect.
func (e *execution) dispose(status int) dedupe.Disposition {
	d := dedupe.ReleaseClaim
	if !e.running.noEffect.Load() {
		d = e.m.Disposition(status)
	}
	if d == dedupe.ReleaseClaim && e.running.claim.TakenOver {
		return dedupe.LeaveToLease
	}
	return d
}

// settlePanic treats a handler that panics, or ends its goroutine, like one
// that answers with status 500. The panic continues unrecovered, so that its
// report shows where it began. dedupe.Do still extends the lease.
func (e *execution) settlePanic() {
	if e.returned {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.r.Context()),
		max(e.m.Lease, time.Second))
	defer cancel()
	// If this fails, the lease ends the claim. Nobody can receive the error.
	switch e.dispose(http.StatusInternalServerError) {
	case dedupe.StoreResult:
		dedupe.Complete(ctx, e.ledger, e.ledger.claim,
			panicRecord(e.ledger.expires(e.m.TTL)).encode())
	case dedupe.ReleaseClaim:
		e.ledger.Release(ctx, e.ledger.claim)
	}
}

// replay sends the response that was stored.
func (e *execution) replay(result []byte) *problem.Problem {
	if !e.share.Take(len(result)) {
		return &noRoom
	}
	c, err := decodeRecord(result)
	if err != nil {
		return &problem.Problem{
			Status: http.StatusInternalServerError, Code: "record_unreadable",
			Detail: "The response to this Idempotency-Key cannot be repeated: " + err.Error() + ".",
			Hint: "the operation was carried out before; " +
				"do not repeat it with another key before you know its outcome",
		}
	}
	c.replay(e.w)
	return nil
}
