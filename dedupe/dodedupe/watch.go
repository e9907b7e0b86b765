package dodedupe

import (
	"context"
	"errors"

	"flow.internal/capdo/durable"
)

// Expired tells of a claim whose lease ran out while its holder had neither completed nor released it: most likely the holder died, and
// its work may have been done in part. When it was looked at, nobody had taken the claim over.
type Expired struct {
	Scope   string // of the ledger; up to about 70 kB together with the key in an object of its own, else it is not known
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

// nameName is where the object's name is kept if it is longer than an object
// can know ([durable.MaxNameSize]): version 1, the name. Callers say it in
// their claims.
const (
	nameName    = "_capdo_name"
	nameVersion = 1
	// maxStoredName is the longest name that is kept: that of a scope of about 70 kB.
	maxStoredName = 100 << 10
)

// isLongName reports whether an object cannot know a name by itself.
func isLongName(name string) bool {
	return len(name) > durable.MaxNameSize && len(name) <= maxStoredName
}

// rememberName stores the object's name, if somebody is to be told it.
func (b *book) rememberName(ctx context.Context, name string) error {
	if b.tell == nil || name == "" {
		return nil
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if b.named {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	v, err := b.table.noted(ctx, nameName)
	if err == nil && v == nil {
		err = b.table.note(ctx, nameName, append([]byte{nameVersion}, name...))
	}
	if err != nil {
		return undone{err} // nothing has been claimed
	}
	b.named = true
	return nil
}

// rememberedName returns what rememberName has stored; "" if nothing.
func (b *book) rememberedName(ctx context.Context) (string, error) {
	v, err := b.table.noted(ctx, nameName)
	if err != nil || v == nil {
		return "", err
	}
	r, err := versioned(v, nameVersion)
	if err != nil {
		return "", err
	}
	return string(r.rest), nil
}

const (
	// watchLimit is how many holders are told of at once; if there are more,
	// the next alarm comes at once.
	watchLimit = 50
	// watchFor is for how long after the end of its lease, in ms, a holder is told of again after errors.
	watchFor = 60 * 60 * 1000
)

// sighting is a watched entry that is due.
type sighting struct {
	key   string
	entry entry
}

// telling is a holder who is to be told of.
type telling struct {
	sighting
	last bool // if it fails, too, it is given up
}

// postponeDue returns the holders whose leases are over, who are to be told of.
// Each is put off before: it is told of again after 1 s, and then after ever
// longer times, unless that is over by then.
func (b *book) postponeDue(ctx context.Context, now int64, limit int) (all []telling, failed error) {
	if limit <= 0 {
		return nil, nil
	}
	due, failed := b.table.watched(ctx, now, limit)
	for _, s := range due {
		next := s.entry
		next.watch = now + max(1000, now-s.entry.until)
		if b.tell == nil {
			next.watch = 0
		}
		if err := b.table.put(ctx, s.key, &next, &s.entry); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if b.tell != nil {
			all = append(all, telling{sighting{s.key, next}, s.entry.watch-s.entry.until >= watchFor})
		}
	}
	return all, failed
}

// tellOf tells of a holder, and has it not told of again if that succeeds, or
// if it was the last time.
func (b *book) tellOf(ctx context.Context, t telling) (err error) {
	over := t.last // also after a panic
	defer func() {
		if over {
			err = errors.Join(err, b.told(context.WithoutCancel(ctx), t.sighting))
		}
	}()
	err = b.tell(ctx, t.key, &t.entry)
	over = over || err == nil
	return err
}

// told has a holder not told of any more.
func (b *book) told(ctx context.Context, s sighting) error {
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	stored, _, err := b.read(ctx, s.key)
	if err != nil || stored.watch != s.entry.watch || stored.number != s.entry.number { // it moved on
		return err
	}
	next := stored
	next.watch = 0
	err = b.table.put(ctx, s.key, &next, &stored)
	if err != nil {
		b.doubt()
	}
	return err
}
