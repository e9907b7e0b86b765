package engine

import (
	"context"
	"errors"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

const (
	// sweepLimit is how many records are removed at once. If there are more,
	// the next alarm comes at once.
	sweepLimit = 200
	// noticeLimit is how many notices are given at once. If there are more, the
	// next alarm comes at once.
	noticeLimit = 50
	// noticePeriod is how long after the end of the lease, in ms, a failed
	// notice is repeated.
	noticePeriod = 60 * 60 * 1000
)

// expiry removes records, and gives notice of holders that died.
type expiry struct{ *core }

// notice is about a holder that died.
type notice struct {
	entry.Keyed
	last bool // even if it fails, it is not repeated
}

// sweep removes expired records.
func (x expiry) sweep(now int64) error {
	keep := func(fence int64) error { return x.fences.keep(fence, now) }
	return x.Backend.Sweep(now, sweepLimit, keep)
}

// postpone returns notices for the holders whose leases are over. It first
// postpones each entry: if its notice fails, it is repeated after 1 s, and then
// after longer and longer times.
func (x expiry) postpone(now int64, limit int) (notices []notice, failed error) {
	if limit <= 0 {
		return nil, nil
	}
	expired, failed := x.Backend.Expired(now, limit)
	for _, k := range expired {
		next := k.Entry
		next.NotifyAt = now + max(1000, now-k.Entry.Until)
		if x.Notify == nil {
			next.NotifyAt = 0
		}
		if err := x.Backend.Put(k.Key, &next, &k.Entry); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if x.Notify != nil {
			last := k.Entry.NotifyAt-k.Entry.Until >= noticePeriod
			notices = append(notices, notice{entry.Keyed{Key: k.Key, Entry: next}, last})
		}
	}
	return notices, failed
}

// notify calls Notify, and settles the entry if that succeeded, or if it was
// the last attempt.
func (x expiry) notify(ctx context.Context, n notice) (err error) {
	over := n.last // also after a panic
	defer func() {
		if over {
			err = errors.Join(err, x.settled(ctx, n.Keyed))
		}
	}()
	err = x.Notify(ctx, n.Key, &n.Entry)
	over = over || err == nil
	return err
}

// settled ends the notices about a holder.
func (x expiry) settled(ctx context.Context, k entry.Keyed) error {
	return x.step(context.WithoutCancel(ctx), func(ctx context.Context) error {
		stored, _, err := x.read(ctx, k.Key)
		// The entry has changed since.
		if err != nil || stored.NotifyAt != k.Entry.NotifyAt || stored.Number != k.Entry.Number {
			return err
		}
		next := stored
		next.NotifyAt = 0
		err = x.Backend.Put(k.Key, &next, &stored)
		if err != nil {
			x.forgetStored()
		}
		return err
	})
}
