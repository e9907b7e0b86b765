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

// Limits of what waits to be reported.
const (
	maxPending    = 512 // events; with the longest keys 1 MiB
	reportTimeout = 5 * time.Second
)

// report is what the object is sent.
type report struct {
	Events []event `json:"events"`
	Lost   int64   `json:"lost"` // events before them that did not get through
}

// queue has what the isolate's invocations have to report. One sends at a time,
// and what the others have meanwhile goes with the next.
type queue struct {
	mu      sync.Mutex
	pending report
	turn    chan struct{} // full while one sends
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

// flush sends what is pending, unless another has done so before its turn
// comes. What cannot be sent is lost, and counted: sent twice, it would be
// wrong.
func (q *queue) flush(ctx context.Context, send func(context.Context, report) error) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		return // the next one sends it
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

// Ledger returns a ledger that does what another one does, and reports each
// operation to the console when it is over. ctx and env are those of the
// invocation that uses it. The report is sent beside the work, which does not
// wait for it; when it fails only the figures suffer.
//
// A claim without a TTL is shown as if it had [dedupe.DefaultTTL]. Where env is
// nil, as natively, nothing is reported.
func (c *Console) Ledger(
	ctx context.Context, env *durable.Env, ledger dedupe.Ledger,
) dedupe.Ledger {
	if env == nil {
		return ledger
	}
	return &observedLedger{ledger, c.observer(ctx, env)}
}

// Sequencer returns a sequencer that does what another one does, and reports
// the numbers that it gives to the console, like [Console.Ledger]. The console
// shows the largest one, so it should be asked for one stream.
func (c *Console) Sequencer(
	ctx context.Context, env *durable.Env, s dedupe.Sequencer,
) dedupe.Sequencer {
	if env == nil {
		return s
	}
	return &observedSequencer{s, c.observer(ctx, env)}
}

// observer returns what takes an invocation's events.
func (c *Console) observer(ctx context.Context, env *durable.Env) func(event) {
	send := func(ctx context.Context, r report) error {
		_, err := durable.Call[any](ctx, c.object(env), methodReport, r)
		return err
	}
	return func(e event) {
		c.queue.add(e)
		durable.WaitUntil(ctx, func(ctx context.Context) { c.queue.flush(ctx, send) })
		// let it begin: should what comes next end the program, the report has
		// a chance
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

// report hands an event on, with what became of the operation. A key that no
// ledger takes is not worth carrying.
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
