package dedupe

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"flow.internal/capdo/internal/sleep"
)

// ResultOmitted is stored as the result of a key whose work had a result larger
// than [MaxResultSize], so that the work is not done again. [Complete] and [Do]
// store it. Do answers later callers with [ErrResultTooLarge]. [Ledger.Claim]
// returns it in the claim's Result.
const ResultOmitted = "\x00dedupe: the work was done, " +
	"and its result was larger than 1 MiB"

// Complete stores the result of a claim's work. It repeats [Ledger.Complete],
// with pauses that grow from 0.1 s to 2 s, until the result is stored, the
// claim is over ([ErrFenced]), repeating cannot help, or ctx has ended. It does
// not extend the lease: the caller must do that, as [Do] does.
//
// If the result is larger than [MaxResultSize], Complete stores [ResultOmitted]
// instead, and fails with [ErrResultTooLarge].
func Complete(
	ctx context.Context, ledger Ledger, claim Claim, result []byte,
) error {
	return complete(ctx, ledger, claim, result, 10*time.Second)
}

// complete is Complete with a time limit for each attempt. After the limit it
// tries again, because the answer may be lost.
func complete(
	ctx context.Context, ledger Ledger, claim Claim, result []byte, attempt time.Duration,
) error {
	err := repeatComplete(ctx, ledger, claim, result, attempt)
	if errors.Is(err, ErrResultTooLarge) {
		return join(err, repeatComplete(ctx, ledger, claim, []byte(ResultOmitted), attempt))
	}
	return err
}

func repeatComplete(
	ctx context.Context, ledger Ledger, claim Claim, result []byte, attempt time.Duration,
) error {
	var unknown error // of the last attempt that may have stored the result
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		within, cancel := context.WithTimeout(ctx, attempt)
		err := ledger.Complete(within, claim, result)
		late := within.Err() != nil
		cancel()
		if err == nil {
			return nil
		}
		if errors.Is(err, ErrUnknownOutcome) {
			unknown = err
		}
		if late || mayHelp(err) {
			if sleep.For(ctx, pause/2+rand.N(pause/2)) {
				continue
			}
		}
		if unknown == nil || errors.Is(err, ErrUnknownOutcome) {
			return err
		}
		return errors.Join(err, unknown)
	}
}

// mayHelp reports whether a repetition may succeed after this error.
func mayHelp(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Retryable || errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrOverloaded)
}

// holder extends the lease of a claim while its work runs, and until the result
// is stored.
type holder struct {
	ledger Ledger
	claim  Claim
	lease  time.Duration
	stop   context.CancelFunc // ends the extending; idempotent

	mu        sync.Mutex
	completed bool // the work is done, and its result is being stored
	end       time.Time
	timer     *time.Timer             // at end
	over      context.CancelCauseFunc // ends what must not outlast the lease
}

// hold begins to extend a lease that lasts at least until begin+lease. The
// context that it returns ends with ctx or with the lease.
func hold(
	ctx context.Context, ledger Ledger, claim Claim, lease time.Duration, begin time.Time,
) (*holder, context.Context) {
	workCtx, over := context.WithCancelCause(ctx)
	extending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h := &holder{ledger: ledger, claim: claim, lease: lease, end: begin.Add(lease), over: over}
	h.timer = time.AfterFunc(time.Until(h.end), func() { h.ended(ErrLeaseExpired) })
	h.stop = func() {
		cancel()
		h.timer.Stop()
		over(nil)
	}
	go h.extend(extending)
	return h, workCtx
}

// ended ends the contexts that must not outlast the lease.
func (h *holder) ended(cause error) {
	h.mu.Lock()
	over := h.over
	if h.completed && cause == ErrFenced {
		over = nil // the result may be stored already, which Complete finds out
	}
	h.mu.Unlock()
	if over != nil {
		over(cause)
	}
}

// lasts records that the lease lasts at least until end.
func (h *holder) lasts(end time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if end.After(h.end) {
		h.end = end
		h.timer.Reset(time.Until(end))
	}
}

// extend extends the lease until ctx ends or the claim is over. It ignores
// other errors, because they may pass, and because an expired lease can be
// extended until another owner takes it over. An attempt gets a third of the
// lease, so that there is time for another one if it hangs.
func (h *holder) extend(ctx context.Context) {
	third := max(h.lease/3, time.Millisecond)
	for pause := third; sleep.For(ctx, pause); {
		begin := time.Now()
		attempt, cancel := context.WithTimeout(ctx, third)
		err := h.ledger.Extend(attempt, h.claim, h.lease)
		cancel()
		switch {
		case err == nil:
			h.lasts(begin.Add(h.lease))
			pause = third
		case errors.Is(err, ErrFenced):
			h.ended(ErrFenced)
			return
		default:
			pause = max(third/2, time.Millisecond)
		}
	}
}

// maxLeases bounds the time for storing a result, in leases.
const maxLeases = 10

// completing returns a context for storing the result. It ends with the lease,
// but not before a second or one lease has passed, whichever is longer.
func (h *holder) completing(ctx context.Context) (context.Context, context.CancelFunc) {
	atLeast := max(h.lease, time.Second)
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), maxLeases*atLeast)
	ctx, cancel := context.WithCancelCause(ctx)
	h.mu.Lock()
	h.completed, h.over = true, cancel
	h.mu.Unlock()
	h.lasts(time.Now().Add(atLeast))
	return ctx, func() {
		cancel(nil)
		stop()
	}
}
