package engine

import (
	"context"
	"sync"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/internal/budget"
)

// Config configures an engine.
type Config struct {
	Backend Backend
	Clock   func() int64 // Unix time in ms
	// Notify, if set, is called for holders that died.
	Notify func(ctx context.Context, key string, e *entry.Entry) error
	Many   bool // the object keeps many keys
	Shared bool // the object has other things, too
	// Enter, if set, waits until no other goroutine's transaction is open, and
	// reports whether the caller is inside a transaction of its own.
	Enter func(ctx context.Context) (inside bool, leave func(), err error)
	// Waiters limits how many callers wait, in all objects together; nil means
	// no limit.
	Waiters *budget.Budget
	Tenant  func() (string, error) // whom they count for; nil means nobody
}

// core is an instance of an object: its access to storage, and what it
// remembers of storage and time. It must forget a value that may no longer be
// true:
//
//	clock.latest      dropped when the clock shows that it was wrong by more
//	                  than entry.ClockSlack
//	fences.given      never dropped: what was given is not given again, not
//	                  even if its claim was rolled back
//	fences.stored,    dropped when a write has failed; when one may be rolled
//	alarm.at,         back, because it was made inside a user's transaction;
//	nameStored        and when the object is emptied or deleted
//	alarm.at          dropped, too, when the alarm rings, and when it should
//	                  have rung
//	alarm.notBefore   dropped when an alarm has done its work
//	alarm.behind      dropped when the alarm rings
//
// An instance does not remember whether there is a table, and reads users'
// alarms each time. Waiting callers hold nothing: every write of a key wakes
// the callers that wait for it, and they read the key again.
type core struct {
	*Config
	mu         sync.Mutex
	clock      clock
	fences     fences
	alarm      alarm
	waiters    waiters
	nameStored bool // see Name
}

func newCore(config *Config) *core {
	return &core{
		Config:  config,
		clock:   clock{Config: config},
		fences:  fences{Config: config},
		alarm:   alarm{Config: config},
		waiters: waiters{Config: config},
	}
}

// forgetStored drops what may no longer match the storage.
func (c *core) forgetStored() {
	c.fences.forgetStored()
	c.alarm.forgetStored()
	c.nameStored = false
}

// emptied records that the object has nothing stored.
func (c *core) emptied() {
	c.fences.emptied()
	c.alarm.at, c.alarm.stale = 0, false
	c.nameStored = false
}

// step runs one step. It reads, decides and writes, and lets no other step run
// in between. It always completes what it has begun, so its context does not
// end with ctx.
//
// If user code runs transactions in the object, a step waits until no other
// goroutine's transaction is open: the step would become part of it, and be
// rolled back with it. A step inside its own goroutine's transaction does
// become part of it. Then the instance remembers nothing that the step has read
// from storage.
func (c *core) step(ctx context.Context, run func(ctx context.Context) error) (err error) {
	inside, leave := false, func() {}
	if c.Enter != nil {
		if inside, leave, err = c.Enter(ctx); err != nil {
			return effect.None(err)
		}
	}
	c.mu.Lock()
	defer func() {
		if inside {
			c.forgetStored()
		}
		c.mu.Unlock()
		leave()
	}()
	return run(context.WithoutCancel(ctx))
}

// read returns a key's stored entry and the present time, which is never before
// the times in the entry. An entry with an impossible time is stored anew.
// Errors of reading have no effect.
func (c *core) read(ctx context.Context, key string) (e entry.Entry, now int64, err error) {
	record, ok, err := c.Backend.Get(key)
	if err == nil && ok {
		e, err = entry.Decode(record)
	}
	if err != nil {
		return entry.Entry{}, 0, effect.None(err)
	}
	now = c.clock.now()
	if clock := c.Clock(); e.Ahead(clock) {
		if e, err = c.rebase(ctx, key, e, clock); err != nil {
			return entry.Entry{}, 0, err
		}
	}
	c.clock.latest = min(max(now, e.Latest()), codec.MaxNow)
	return e, c.clock.latest, nil
}

// rebase stores an entry with an impossible time anew.
func (c *core) rebase(
	ctx context.Context, key string, e entry.Entry, clock int64,
) (entry.Entry, error) {
	next := e.Rebased(clock)
	err := c.Backend.Put(key, &next, &e)
	if c.forgetStored(); err != nil {
		return entry.Entry{}, err
	}
	c.alarm.tryEnsure(ctx, next.Due())
	return next, nil
}

// write replaces an entry and ensures the alarm. If the alarm fails, the entry
// stays: the caller must repeat the call, or treat its outcome as unknown.
//
// It takes copies of the entries: the backend makes them escape to the heap,
// but most steps write nothing.
func (c *core) write(ctx context.Context, key string, e, before entry.Entry) error {
	if err := c.put(key, &e, &before); err != nil {
		return err
	}
	return effect.AfterWrite(c.alarm.ensure(ctx, e.Due()))
}

// put stores an entry, and wakes the callers that wait for the key. If there is
// a Notify function, a held entry gets the time to call it.
func (c *core) put(key string, e, before *entry.Entry) error {
	if c.Notify != nil && e.State == entry.Held {
		e.NotifyAt = e.Until
	}
	// Extending a lease frees no key.
	if e.State != entry.Held || e.Number != before.Number {
		defer c.waiters.wake(key)
	}
	err := c.Backend.Put(key, e, before)
	if err != nil { // the entry may have been stored nevertheless
		c.forgetStored()
	}
	return err
}

// clearIfEmpty deletes everything from an object that has no records and needs
// no fence.
func (c *core) clearIfEmpty(ctx context.Context) (cleared bool, err error) {
	_, some, err := c.Backend.Earliest(c.Clock())
	if err != nil || some {
		return false, err
	}
	until, err := c.fences.keptUntil()
	if err != nil {
		return false, err
	}
	if until != 0 && !c.Shared {
		return true, c.alarm.ensureAny(ctx, until)
	}
	if err := c.Backend.Clear(ctx); err != nil {
		c.forgetStored()
		return false, err
	}
	if c.Shared { // the fence stays
		c.alarm.at, c.alarm.stale = 0, false
		return true, nil
	}
	c.emptied()
	return true, nil
}
