package reservation

import (
	"bytes"
	"context"
	"sync"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
)

// Storage is a [Key]'s access to its object. Writes take effect when they are
// called, together with those before them. SetAlarm and Clear wait only for the
// confirmation.
type Storage interface {
	Get() (record []byte, ok bool, err error)
	Put(record []byte) error
	SetAlarm(ctx context.Context, at int64) error // Unix time in ms
	Clear(ctx context.Context) error              // the record and the alarm
}

// Key is an object's one key. Each of its methods is one step: it reads,
// decides and writes, without waiting in between.
type Key struct {
	Storage Storage
	Clock   func() int64 // Unix time in ms

	// mu is for goroutines of the same object: there is only one thread, but an
	// allocation may switch to another goroutine.
	mu     sync.Mutex
	latest int64 // the largest now there has been
}

// PutIfAbsent reserves the key unless another owner's record is live. If the
// same owner repeats the call, because the answer was lost, it gets the same
// answer.
//
// If the alarm fails, the record stays, and the caller must repeat the call, or
// treat its outcome as unknown. PutIfAbsent does not remove the record, because
// a repetition may already have been answered.
func (k *Key) PutIfAbsent(ctx context.Context, o Owner, ttl int64) (inserted bool, err error) {
	if ttl < 1 || ttl > codec.MaxTTL {
		return false, effect.None(dedupe.ErrInvalidTTL)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	r, now, err := k.read()
	if err != nil {
		return false, err
	}
	if r.Live(now) && r.Owner != o {
		return false, nil
	}
	if !r.Live(now) {
		r = Record{o, now, now + ttl}
		if err := k.Storage.Put(r.Encode()); err != nil {
			return false, err
		}
	}
	err = k.Storage.SetAlarm(context.WithoutCancel(ctx), r.Expires)
	return err == nil, err
}

// Look returns the record as it is stored, for Forget.
func (k *Key) Look() (record []byte, ok bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	record, ok, err = k.Storage.Get()
	if err != nil {
		err = effect.None(err)
	}
	return record, ok, err
}

// Forget removes the record that Look returned. If the record is another one,
// it is a later one, and Forget does nothing. So Forget may be repeated, or
// arrive late.
func (k *Key) Forget(ctx context.Context, seen []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	b, ok, err := k.Storage.Get()
	if err != nil {
		return effect.None(err)
	}
	if !ok || !bytes.Equal(b, seen) {
		return nil
	}
	return k.Storage.Clear(context.WithoutCancel(ctx))
}

// Alarm removes the record if it has expired. It may come early, late or twice.
func (k *Key) Alarm(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, now, err := k.read()
	switch {
	case err != nil:
		return err
	case r.Live(now):
		return k.Storage.SetAlarm(ctx, r.Expires)
	}
	return k.Storage.Clear(ctx)
}

// read returns the record, or the zero record if there is none, and the present
// time. The time never runs backwards, compared with what this instance of the
// object has seen and with the record. Its errors have no effect.
func (k *Key) read() (r Record, now int64, err error) {
	b, ok, err := k.Storage.Get()
	if err == nil && ok {
		r, err = Decode(b)
	}
	if err != nil {
		return Record{}, 0, effect.None(err)
	}
	k.latest = min(max(k.latest, k.Clock(), r.Claimed), codec.MaxNow)
	return r, k.latest, nil
}
