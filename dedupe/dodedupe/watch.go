package dodedupe

import (
	"context"
	"errors"
)

// Expired tells of a claim whose lease ran out while its holder had neither completed nor released it: most likely the holder died, and
// its work may have been done in part. When it was looked at, nobody had taken the claim over.
type Expired struct {
	Scope string // of the ledger
	// Key is nil where an object keeps one key, and its name, which has it, is longer than a Durable Object can know
	// ([durable.MaxNameSize]): with [PerKey] and keys beyond about 700 bytes.
	Key     []byte
	Fence   int64
	Attempt int
}

func newExpired(object, key string, e *entry) Expired {
	scope, named := parseObjectName(object)
	if key != "" {
		named = []byte(key)
	}
	return Expired{scope, named, e.number, int(e.attempt)}
}

const (
	// watchLimit is how many holders one alarm tells of at most; if there are more, the next alarm comes at once.
	watchLimit = 50
	// watchFor is for how long after the end of its lease, in ms, a holder is told of again after errors.
	watchFor = 60 * 60 * 1000
)

// sighting is a watched entry that is due.
type sighting struct {
	key   string
	entry entry
}

// tellDue tells of holders whose leases are over. Meanwhile others may use the book, and so may the function that is told.
func (b *book) tellDue(ctx context.Context) error {
	b.mu.Lock()
	b.latest = min(max(b.latest, b.clock()), maxNow)
	due, err := b.table.watched(ctx, b.latest, watchLimit)
	b.mu.Unlock()
	for _, s := range due {
		var failed error
		if b.tell != nil {
			failed = b.tell(ctx, s.key, &s.entry)
		}
		err = errors.Join(err, failed, b.told(ctx, s, failed != nil))
	}
	return err
}

// told has a holder not told of any more, or again later: after 1 s, and then after ever longer times, so that others have their turn.
func (b *book) told(ctx context.Context, s sighting, again bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	stored, now, err := b.read(ctx, s.key)
	if err != nil || stored.watch != s.entry.watch || stored.number != s.entry.number { // it moved on
		return err
	}
	next := stored
	next.watch = 0
	if again && now < stored.until+watchFor {
		next.watch = now + max(1000, now-stored.until)
	}
	return b.table.put(ctx, s.key, &next, &stored)
}
