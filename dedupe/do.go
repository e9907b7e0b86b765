package dedupe

import (
	"context"
	"errors"
	"time"
)

// Disposition is how [Do] ends its claim if the work has failed.
type Disposition int

// Dispositions.
const (
	// ReleaseClaim lets the next caller try at once. Use it for failures
	// that certainly had no effect.
	ReleaseClaim Disposition = iota
	// StoreResult makes the failure final: later callers get the result
	// that the work returned with its error, and no error. So the result
	// must say that the work failed.
	StoreResult
	// LeaveToLease lets the next caller try when the lease is over. That
	// caller's claim is [Claim.TakenOver].
	LeaveToLease
)

// ErrNoEffect is matched by the error of work that had no effect; [NoEffect]
// returns such an error.
var ErrNoEffect = errors.New("nothing was done")

// NoEffect returns an error that matches err and [ErrNoEffect], with the text
// of err. Work returns it if it certainly had no effect, so that the next
// caller may try at once.
func NoEffect(err error) error {
	if err == nil {
		return nil
	}
	return &noEffect{err}
}

type noEffect struct{ err error }

func (n *noEffect) Error() string        { return n.err.Error() }
func (n *noEffect) Unwrap() error        { return n.err }
func (n *noEffect) Is(target error) bool { return target == ErrNoEffect }

// DefaultDisposition releases the claim after an error that matches
// [ErrNoEffect]. After any other error it leaves the claim to its lease,
// because a call that was canceled, timed out or disconnected may have had its
// effect, or may still have it.
func DefaultDisposition(err error) Disposition {
	if errors.Is(err, ErrNoEffect) {
		return ReleaseClaim
	}
	return LeaveToLease
}

// DoOptions configure how [Do] claims its key, and what it does if the work
// fails.
type DoOptions struct {
	ClaimOptions
	// OnFailure returns how to end the claim after the work's error; nil
	// means [DefaultDisposition].
	OnFailure func(err error) Disposition
}

// InProgressError is [Do]'s error when another owner holds the key. It matches
// [ErrInProgress].
type InProgressError struct {
	RetryAfter time.Duration // the time until the holder's lease ends
	Attempt    int           // the holder's attempt
}

// Error says that the key is in progress.
func (e *InProgressError) Error() string { return ErrInProgress.Error() }

// Unwrap returns [ErrInProgress].
func (e *InProgressError) Unwrap() error { return ErrInProgress }

// Do runs a key's work unless it has been done. It claims the key, runs work,
// extends the lease until work has returned, and completes the key with the
// result. If the key is already completed, Do returns its result and does not
// run work.
//
// work gets its claim. If the claim is TakenOver, an earlier attempt may have
// had its effect: check before you act again. The context of work ends with
// ctx. It also ends, with the cause [ErrFenced], if another holder has taken
// over, and with the cause [ErrLeaseExpired] if the lease ends by this
// program's clock, because it could not be extended. From then on another
// holder may be at work, so work must return. Do extends the lease while work
// runs, even if ctx has ended.
//
// If work fails, Do ends the claim as OnFailure says, and returns the error of
// work, joined with the error of ending the claim, if any. If work panics, the
// panic continues, and the claim stays until its lease ends. If ctx ends before
// work has begun, Do does not run work, and releases the claim.
//
// Do does not release a claim that is TakenOver if ctx ended before work, or
// after an error that matches [ErrNoEffect] without an OnFailure. The claim
// stays until its lease ends, so the next claim is TakenOver, too.
//
// Once work has returned, canceling ctx no longer affects Do. Do repeats
// Complete as the function [Complete] does, and extends the lease meanwhile. It
// gives up when the lease ends, but not before one lease and not after 10
// leases have passed; for this, a lease counts as at least one second.
//
// Do fails like [Ledger.Claim], [Ledger.Extend] and [Complete], and with an
// [*InProgressError]. If Complete failed, the work was done, and Do returns its
// result with the error. If the result is too large, Do fails with
// [ErrResultTooLarge]. This caller gets the result with the error; later
// callers get only the error. The work is not done again.
func Do(
	ctx context.Context, ledger Ledger, key []byte, opts DoOptions,
	work func(ctx context.Context, claim Claim) ([]byte, error),
) ([]byte, error) {
	if opts.Lease == 0 {
		opts.Lease = DefaultLease
	}
	begin := time.Now()
	claim, err := ledger.Claim(ctx, key, opts.ClaimOptions)
	if errors.Is(err, ErrUnknownOutcome) && claim.Owner != "" && ctx.Err() == nil {
		opts.Owner = claim.Owner
		claim, err = ledger.Claim(ctx, key, opts.ClaimOptions)
	}
	if err != nil {
		return nil, err
	}
	switch claim.Outcome {
	case Replay:
		return replayed(&claim)
	case InProgress:
		err := &InProgressError{claim.RetryAfter, claim.Attempt}
		return nil, &Error{Op: "Do", Retryable: true, Err: err}
	}
	if opts.Owner != "" || time.Since(begin) > opts.Lease/3 {
		// The remaining lease is unknown: the owner may have claimed before, or
		// the claim may have waited.
		begin = time.Now()
		if err := extendOnce(ctx, ledger, claim, opts.Lease); err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		err := &Error{Op: "Do", Err: context.Cause(ctx)}
		// After a release, the next claim would not be TakenOver.
		if claim.TakenOver {
			return nil, err
		}
		return nil, join(err, release(ctx, ledger, claim, opts.Lease))
	}
	h, workCtx := hold(ctx, ledger, claim, opts.Lease, begin)
	defer h.stop()
	result, err := work(workCtx, claim)
	return result, h.settle(ctx, result, err, &opts)
}

// extendOnce extends a lease before the work has begun.
func extendOnce(ctx context.Context, ledger Ledger, claim Claim, lease time.Duration) error {
	ctx, cancel := bounded(ctx, max(lease, time.Second))
	defer cancel()
	return ledger.Extend(ctx, claim, lease)
}

// bounded returns a context that ends after d, but has no deadline: ledgers
// repeat lost calls until a deadline, and only the caller should decide that.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// replayed returns the result that a key was completed with.
func replayed(claim *Claim) ([]byte, error) {
	if string(claim.Result) == ResultOmitted {
		return nil, &Error{Op: "Do", Err: ErrResultTooLarge}
	}
	return claim.Result, nil
}

// settle ends a claim according to the work's result and error. It returns the
// error of Do.
func (h *holder) settle(ctx context.Context, result []byte, err error, opts *DoOptions) error {
	d := StoreResult
	if err != nil && opts.OnFailure != nil {
		d = opts.OnFailure(err)
	} else if err != nil {
		d = DefaultDisposition(err)
		// The error says only that this attempt had no effect.
		if h.claim.TakenOver && d == ReleaseClaim {
			d = LeaveToLease
		}
	}
	switch d {
	case StoreResult:
		ctx, cancel := h.completing(ctx)
		defer cancel()
		return join(err, complete(ctx, h.ledger, h.claim, result, max(h.lease/3, time.Second)))
	case LeaveToLease:
		return err
	}
	h.stop()
	return join(err, release(ctx, h.ledger, h.claim, h.lease))
}

// join returns both errors, or the one that is not nil.
func join(err, second error) error {
	switch {
	case err == nil:
		return second
	case second == nil:
		return err
	}
	return errors.Join(err, second)
}

// release releases a claim. It tries once. If that fails, the lease ends the
// claim.
func release(ctx context.Context, ledger Ledger, claim Claim, lease time.Duration) error {
	ctx, cancel := bounded(context.WithoutCancel(ctx), max(lease, time.Second))
	defer cancel()
	return ledger.Release(ctx, claim)
}
