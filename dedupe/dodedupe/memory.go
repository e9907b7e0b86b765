package dodedupe

import "context"

// memory is all that an instance of an object remembers of what is stored, or
// was, and of time. None of it may outlive what it describes:
//
//	what                       is dropped
//	latest                     when the clock shows that it was wrong by more than clockSlack
//	fence                      never: what was given is not given again, not even if its claim was rolled back
//	mark, armed, named         when a write has failed, or may be rolled back: it was made inside a user's transaction; when the object is
//	                           emptied or deleted; and armed when the alarm rings, and when it should have rung
//	notBefore                  when an alarm has done its work
//	behind                     when the alarm rings
//
// Whether there are tables is not remembered, and what users' alarms are is
// read each time. Callers that wait hold nothing: every write of a key wakes
// those who wait for it, who look again.
type memory struct {
	latest int64 // the largest now there has been
	fence  int64 // the largest that was given
	mark   int64 // the fence that is stored, see keepFence; 0 if none is
	marked bool  // mark is known
	armed  int64 // when the alarm is due at the latest, if this instance knows; else 0
	owing  bool  // an alarm may be missing: a step that was to set it has failed, or may be rolled back
	named  bool  // the object's name is stored, see rememberName
	// notBefore keeps an alarm whose storage fails from ringing again at once,
	// twice as long each time.
	notBefore, failures int64
	// behind is by how much the clock was behind the platform's, at least, when
	// the alarm rang last. workerd loses an alarm that is set, while it rings,
	// for the time that it rings for.
	behind int64
}

// doubt drops what may not be true of what is stored.
func (b *book) doubt() { b.marked, b.armed, b.owing, b.named = false, 0, true, false }

// emptied is what is remembered of an object that has nothing stored.
func (b *book) emptied() { b.mark, b.marked, b.armed, b.owing, b.named = 0, true, 0, false, false }

// lock begins a step, and unlock ends it. In an object that a user's code has
// transactions in, a step waits until nobody else's is under way: it would
// become part of it, and be rolled back with it. In one of the same goroutine
// it does, and then nothing that it learnt of storage is remembered.
func (b *book) lock(ctx context.Context) (unlock func(), err error) {
	inside, leave := false, func() {}
	if b.section != nil {
		if inside, leave, err = b.section(ctx); err != nil {
			return nil, undone{err}
		}
	}
	b.mu.Lock()
	return func() {
		if inside {
			b.doubt()
		}
		b.mu.Unlock()
		leave()
	}, nil
}

// clockSlack is how much clocks of the machines that an object is on, one after
// the other, may differ, in ms, and how far one may be set back: by less, time
// stands still. By more, the clock was wrong before, or is now: entries of
// later begin anew.
const clockSlack = 60_000

// time returns now: the clock, made to never run backwards by what this instance has seen.
func (b *book) time() int64 {
	clock := b.clock()
	if b.latest > clock+clockSlack {
		b.latest = 0
	}
	b.latest = min(max(b.latest, clock), maxNow)
	return b.latest
}

// read returns a key's entry as it is stored, and now, which what is stored
// keeps from running backwards, too. What has a time that cannot be is stored
// anew. Errors of reading are undone.
func (b *book) read(ctx context.Context, key string) (e entry, now int64, err error) {
	record, ok, err := b.table.get(ctx, key)
	if err == nil && ok {
		e, err = decodeEntry(record)
	}
	if err != nil {
		return entry{}, 0, undone{err}
	}
	now = b.time()
	if clock := b.clock(); e.ahead(clock) {
		next := e.rebased(clock)
		err := b.table.put(ctx, key, &next, &e)
		if b.doubt(); err != nil {
			return entry{}, 0, err
		}
		b.settle(ctx, next.due())
		e = next
	}
	b.latest = min(max(now, e.latest()), maxNow)
	return e, b.latest, nil
}

// markName is where the largest fence of the records that are gone is kept:
// version 1, the fence (uvarint).
const (
	markName    = "_capdo_fence"
	markVersion = 1
)

// seed is the smallest fence that may be given at a time: the time in µs.
func seed(now int64) int64 { return now * 1000 }

// nextFence returns a fence larger than any that was given for the key of e,
// even for records that are gone. Only a damaged record can bring it to the
// largest fence there is. Its errors are undone.
func (b *book) nextFence(ctx context.Context, e *entry, now int64) (int64, error) {
	mark, err := b.readMark(ctx)
	if err != nil {
		return 0, undone{err}
	}
	return min(max(b.fence+1, mark+1, e.number+1, seed(now)), seed(never)), nil
}

func (b *book) readMark(ctx context.Context) (int64, error) {
	if b.marked {
		return b.mark, nil
	}
	v, err := b.table.noted(ctx, markName)
	if err != nil {
		return 0, err
	}
	mark := int64(0)
	if v != nil {
		r, err := versioned(v, markVersion)
		if err != nil {
			return 0, err
		}
		if mark = r.number(); r.end() != nil {
			return 0, ErrCorrupt
		}
	}
	b.mark, b.marked = mark, true
	return mark, nil
}

// keepFence has a fence outlive its record, which is about to be removed, and
// this instance: the clock that the next one has may be behind. An object of
// one key is emptied then; it keeps its fence only as long as the clock might
// come back to it.
func (b *book) keepFence(ctx context.Context, fence, now int64) error {
	if fence == 0 || !b.many && fence < seed(now-clockSlack) {
		return nil
	}
	mark, err := b.readMark(ctx)
	if err != nil || fence <= mark {
		return err
	}
	if err := b.table.note(ctx, markName, appendNumbers([]byte{markVersion}, fence)); err != nil {
		b.doubt()
		return err
	}
	b.mark = fence
	return nil
}

// fenceLasts reports whether the object has a fence to keep though it has no records.
func (b *book) fenceLasts(ctx context.Context) (until int64, err error) {
	mark, err := b.readMark(ctx)
	if until = mark/1000 + clockSlack + 1; err != nil || mark == 0 || b.clock() >= until {
		return 0, err
	}
	return until, nil
}
