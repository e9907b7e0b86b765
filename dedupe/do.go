package dedupe

import (
	"context"
	"errors"
	"time"
)

// Disposition is what [Do] does with its claim when the work has failed.
type Disposition int

// Dispositions.
const (
	// ReleaseClaim lets the next caller try at once. It is for failures that
	// are known to have done nothing.
	ReleaseClaim Disposition = iota
	// StoreResult makes the failure final: later callers get the result that
	// the work returned beside its error, and no error. So the result has to
	// say that it is a failure.
	StoreResult
	// LeaveToLease lets the next caller try when the lease is over. It is told
	// that it has taken over ([Claim.TakenOver]).
	LeaveToLease
)

// ErrNoEffect is matched by an error of work that has done nothing;
// [NoEffect] makes one.
var ErrNoEffect = errors.New("nothing was done")

// NoEffect returns an error that also matches [ErrNoEffect]. Work returns it
// when it is certain that it has done nothing, so that the next caller may try
// at once. The text is that of err.
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
// [ErrNoEffect]. It leaves the claim to its lease after any other: a call that
// was canceled, timed out or disconnected may have had its effect, and may
// still have it.
func DefaultDisposition(err error) Disposition {
	if errors.Is(err, ErrNoEffect) {
		return ReleaseClaim
	}
	return LeaveToLease
}

// DoOptions say how [Do] claims its key, and what it does when the work fails.
type DoOptions struct {
	ClaimOptions
	// OnFailure chooses what becomes of the claim after the work's error;
	// nil means [DefaultDisposition].
	OnFailure func(err error) Disposition
}

// InProgressError is [Do]'s error when another owner holds the key. It matches
// [ErrInProgress].
type InProgressError struct {
	RetryAfter time.Duration // the time until the holder's lease ends
	Attempt    int           // the holder's
}

// Error says that the key is in progress.
func (e *InProgressError) Error() string { return ErrInProgress.Error() }

// Unwrap returns [ErrInProgress].
func (e *InProgressError) Unwrap() error { return ErrInProgress }

// Do does a key's work unless it has been done. It claims the key, runs work,
// extends the lease until work has returned, and completes the key with the
// result. If the key is completed already, Do returns its result and does not
// run work.
//
// work gets the claim that it runs under. If the claim is TakenOver, an earlier
// attempt may have had its effect: look before acting again. The context of
// work ends with ctx. It also ends, with the cause [ErrFenced], when another
// holder has taken over, and with the cause [ErrLeaseExpired] when the lease
// ends by this program's clock, because it could not be extended. From then on
// another holder may be at work, so work must return. Do goes on extending the
// lease while work runs, even if ctx has ended.
//
// When work fails, Do returns its error, joined with that of carrying out the
// disposition, if any. A panic of work goes on, and leaves the claim to its
// lease. If ctx ends before work has begun, work does not run, and Do releases
// the claim. A claim that is TakenOver is left to its lease in place of that,
// also after an error that matches [ErrNoEffect] where there is no OnFailure:
// so the next holder is told, too, that an earlier attempt may have had its
// effect.
//
// Once work has returned, canceling ctx no longer affects Do. Do repeats
// Complete as [Complete] does, and extends the lease meanwhile. It gives up
// when the lease is over, at the earliest after the time of a lease and at the
// latest after that of 10, where a lease counts as a second at least.
//
// Do fails like [Ledger.Claim], [Ledger.Extend] and [Complete], and with an
// [*InProgressError]. If Complete failed, the work was done, and its result is
// returned with the error. A result that is too large is [ErrResultTooLarge]
// for this caller, who gets it, and for later ones, who do not: the work is not
// done again.
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
		// Nobody knows how much is left of the lease: the owner may have had
		// it before, or the claim may have waited.
		begin = time.Now()
		if err := extendOnce(ctx, ledger, claim, opts.Lease); err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		err := &Error{Op: "Do", Err: context.Cause(ctx)}
		// A release would hide from the next holder that it takes over.
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

// bounded returns a context that ends after d, but has no deadline of its own:
// until a deadline ledgers repeat calls that they lost, which only the caller
// knows to be worth it.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// replayed returns what a key was completed with.
func replayed(claim *Claim) ([]byte, error) {
	if string(claim.Result) == ResultOmitted {
		return nil, &Error{Op: "Do", Err: ErrResultTooLarge}
	}
	return claim.Result, nil
}

// settle does with a claim what the work's result and error ask for, and
// returns what Do fails with.
func (h *holder) settle(ctx context.Context, result []byte, err error, opts *DoOptions) error {
	d := StoreResult
	if err != nil && opts.OnFailure != nil {
		d = opts.OnFailure(err)
	} else if err != nil {
		d = DefaultDisposition(err)
		// The error says only of this attempt that it did nothing.
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

// join returns the one error that there is, or both.
func join(err, second error) error {
	switch {
	case err == nil:
		return second
	case second == nil:
		return err
	}
	return errors.Join(err, second)
}

// release gives a claim back. It tries once: what it cannot give back now, the
// end of the lease gives back.
func release(ctx context.Context, ledger Ledger, claim Claim, lease time.Duration) error {
	ctx, cancel := bounded(context.WithoutCancel(ctx), max(lease, time.Second))
	defer cancel()
	return ledger.Release(ctx, claim)
}
