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
	// ReleaseClaim lets the next caller try at once.
	ReleaseClaim Disposition = iota
	// StoreResult makes the failure final: what the work returned besides its error is the key's result, and later callers get it, without an
	// error. So it should say that it is a failure.
	StoreResult
	// LeaveToLease lets the next caller try when the lease is over.
	LeaveToLease
)

// DoOptions say how [Do] claims its key, and what it does when the work fails.
type DoOptions struct {
	ClaimOptions
	// OnFailure chooses what becomes of the claim after the work's error; nil means ReleaseClaim for every error.
	OnFailure func(err error) Disposition
}

// InProgressError is [Do]'s when another owner holds the key. It matches [ErrInProgress].
type InProgressError struct {
	RetryAfter time.Duration // when the holder's lease ends
	Attempt    int           // of the holder
}

// Error says that the key is in progress.
func (e *InProgressError) Error() string { return ErrInProgress.Error() }

// Unwrap returns [ErrInProgress].
func (e *InProgressError) Unwrap() error { return ErrInProgress }

// Do does a key's work unless it has been done: it claims the key, runs work, extends the lease while that runs, and completes the key
// with the result. Where the key is completed already, Do returns its result, and work does not run.
//
// work gets the claim's fence. Its ctx ends, with [ErrFenced] as its cause, when another holder has taken over. When work fails, Do returns its
// error, joined with that of carrying out the disposition, if any. A panic of work goes on, and leaves the claim to its lease. Once work
// has returned, the end of ctx keeps Do from nothing.
//
// Do fails like [Ledger.Claim] and [Ledger.Complete], and with an [*InProgressError]. When it is Complete that failed, work was done, and its
// result is returned with the error.
func Do(ctx context.Context, ledger Ledger, key []byte, opts DoOptions, work func(ctx context.Context, fence int64) ([]byte, error)) ([]byte, error) {
	claim, err := ledger.Claim(ctx, key, opts.ClaimOptions)
	if err != nil {
		return nil, err
	}
	switch claim.Outcome {
	case Replay:
		return claim.Result, nil
	case InProgress:
		return nil, &Error{Op: "Do", Retryable: true, Err: &InProgressError{claim.RetryAfter, claim.Attempt}}
	}
	result, err := runLeased(ctx, ledger, claim, opts.Lease, work)

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(opts.Lease, time.Second))
	defer cancel()
	if err == nil {
		return result, ledger.Complete(ctx, claim, result)
	}
	return result, errors.Join(err, dispose(ctx, ledger, claim, result, opts.disposition(err)))
}

func (o *DoOptions) disposition(err error) Disposition {
	if o.OnFailure == nil {
		return ReleaseClaim
	}
	return o.OnFailure(err)
}

func dispose(ctx context.Context, ledger Ledger, claim Claim, result []byte, d Disposition) error {
	switch d {
	case StoreResult:
		return ledger.Complete(ctx, claim, result)
	case LeaveToLease:
		return nil
	}
	return ledger.Release(ctx, claim)
}

// runLeased runs work while it keeps the lease alive.
func runLeased(ctx context.Context, ledger Ledger, claim Claim, lease time.Duration, work func(context.Context, int64) ([]byte, error)) ([]byte, error) {
	workCtx, cancel := context.WithCancelCause(ctx)
	keeping := make(chan struct{})
	go func() {
		defer close(keeping)
		keepAlive(workCtx, ledger, claim, lease, cancel)
	}()
	defer func() {
		cancel(nil)
		<-keeping // no Extend may overtake what comes next
	}()
	return work(workCtx, claim.Fence)
}

// keepAlive extends a lease until ctx ends; when the claim is over it gives that as the cause. Other errors may pass, and an expired
// lease can still be extended while nobody has taken it.
func keepAlive(ctx context.Context, ledger Ledger, claim Claim, lease time.Duration, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(max(lease/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := ledger.Extend(ctx, claim, lease); errors.Is(err, ErrFenced) {
			cancel(err)
			return
		}
	}
}
