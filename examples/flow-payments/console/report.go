package console

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
)

// Limits of the queue.
const (
	maxPending    = 512 // events; with the longest keys 1 MiB
	reportTimeout = 5 * time.Second
)

// report is a message to the object.
type report struct {
	Events []event `json:"events"`
	Lost   int64   `json:"lost"` // earlier events that did not arrive
}

// queue holds the pending reports of all invocations of the isolate. One
// invocation sends at a time, and the next send takes all events that arrived
// meanwhile.
type queue struct {
	mu      sync.Mutex
	pending report
	turn    chan struct{} // full during a send
}

func newQueue() *queue { return &queue{turn: make(chan struct{}, 1)} }

func (q *queue) add(e event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pending.Events) == maxPending {
		q.pending.Lost++
		return
	}
	q.pending.Events = append(q.pending.Events, e)
}

// take empties the queue.
func (q *queue) take() report {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.pending
	q.pending = report{}
	return r
}

func (q *queue) lose(n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending.Lost += n
}

// flush sends the pending events, unless another call has sent them first.
// Events that cannot be sent are counted as lost. They are not sent again,
// because the object might count them twice.
func (q *queue) flush(ctx context.Context, send func(context.Context, report) error) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		return // the next call sends them
	}
	defer func() { <-q.turn }()
	r := q.take()
	if len(r.Events) == 0 {
		q.lose(r.Lost)
		return
	}
	if err := send(ctx, r); err != nil {
		q.lose(r.Lost + int64(len(r.Events)))
		slog.Warn("console: a report was lost; the ledger is not affected", "events",
			len(r.Events), "err", err)
	}
}

// Ledger returns a ledger that reports each operation on another ledger to the
// console after the operation. ctx and env belong to the invocation that uses
// it. Operations do not wait for the report. If a report fails, only the
// figures are wrong.
//
// A claim without a TTL is shown with [dedupe.DefaultTTL]. If env is nil, as in
// native tests, nothing is reported.
func (c *Console) Ledger(
	ctx context.Context, env *durable.Env, ledger dedupe.Ledger,
) dedupe.Ledger {
	if env == nil {
		return ledger
	}
	return &observedLedger{ledger, c.observer(ctx, env)}
}

// Sequencer returns a sequencer that reports the numbers of another one to the
// console, like [Console.Ledger]. The console shows only the largest number, so
// use it for a single stream.
func (c *Console) Sequencer(
	ctx context.Context, env *durable.Env, s dedupe.Sequencer,
) dedupe.Sequencer {
	if env == nil {
		return s
	}
	return &observedSequencer{s, c.observer(ctx, env)}
}

// observer returns a function that reports the events of an invocation.
func (c *Console) observer(ctx context.Context, env *durable.Env) func(event) {
	send := func(ctx context.Context, r report) error {
		_, err := durable.Call[any](ctx, c.object(env), methodReport, r)
		return err
	}
	return func(e event) {
		c.queue.add(e)
		durable.WaitUntil(ctx, func(ctx context.Context) { c.queue.flush(ctx, send) })
		// Start the report now: the program may end before the goroutine gets
		// another chance.
		runtime.Gosched()
	}
}

type observedLedger struct {
	dedupe.Ledger
	observe func(event)
}

func (o *observedLedger) Claim(
	ctx context.Context, key []byte, opts dedupe.ClaimOptions,
) (dedupe.Claim, error) {
	claim, err := o.Ledger.Claim(ctx, key, opts)
	e := event{Op: "Claim", What: claimed(&claim), Attempt: claim.Attempt, Fence: claim.Fence,
		Lease: opts.Lease.Milliseconds(), TTL: opts.TTL.Milliseconds()}
	if claim.Outcome == dedupe.InProgress {
		e.Lease = claim.RetryAfter.Milliseconds()
	}
	if e.TTL == 0 {
		e.TTL = dedupe.DefaultTTL.Milliseconds()
	}
	o.report(e, key, err)
	return claim, err
}

func claimed(c *dedupe.Claim) dedupe.EventResult {
	switch {
	case c.Outcome == dedupe.Replay:
		return dedupe.EventReplayed
	case c.Outcome == dedupe.InProgress:
		return dedupe.EventInProgress
	case c.TakenOver:
		return dedupe.EventExpired
	}
	return dedupe.EventAcquired
}

func (o *observedLedger) Complete(ctx context.Context, claim dedupe.Claim, result []byte) error {
	err := o.Ledger.Complete(ctx, claim, result)
	o.report(event{Op: "Complete", Attempt: claim.Attempt, Fence: claim.Fence}, claim.Key, err)
	return err
}

func (o *observedLedger) Extend(
	ctx context.Context, claim dedupe.Claim, lease time.Duration,
) error {
	err := o.Ledger.Extend(ctx, claim, lease)
	o.report(event{Op: "Extend", Attempt: claim.Attempt, Fence: claim.Fence,
		Lease: lease.Milliseconds()}, claim.Key, err)
	return err
}

func (o *observedLedger) Release(ctx context.Context, claim dedupe.Claim) error {
	err := o.Ledger.Release(ctx, claim)
	o.report(event{Op: "Release", Attempt: claim.Attempt, Fence: claim.Fence}, claim.Key, err)
	return err
}

func (o *observedLedger) Forget(ctx context.Context, key []byte) error {
	err := o.Ledger.Forget(ctx, key)
	o.report(event{Op: "Forget"}, key, err)
	return err
}

// report reports an event with the result of the operation. It leaves out a key
// that is too large for any ledger.
func (o *observedLedger) report(e event, key []byte, err error) {
	switch {
	case errors.Is(err, dedupe.ErrMismatch):
		e.What = dedupe.EventMismatched
	case errors.Is(err, dedupe.ErrFenced):
		e.What = dedupe.EventFenced
	case err != nil:
		e.What = dedupe.EventFailed
	case e.What == "":
		e.What = dedupe.EventDone
	}
	if dedupe.CheckKey(key) == nil {
		e.Key = bytes.Clone(key)
	}
	o.observe(e)
}

type observedSequencer struct {
	dedupe.Sequencer
	observe func(event)
}

func (o *observedSequencer) Next(
	ctx context.Context, stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	seq, err := o.Sequencer.Next(ctx, stream, key, payloadHash, ttl)
	if err == nil {
		o.observe(event{Op: "Next", What: dedupe.EventDone, Number: seq.N})
	}
	return seq, err
}
