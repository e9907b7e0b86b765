package dedupetest

import (
	"context"
	"sync"
	"time"

	"flow.internal/capdo/dedupe"
)

// Memory is the reference [dedupe.Store]: what the others do, without what makes it hard. It is for tests; it forgets everything when
// the process ends, and frees nothing before.
type Memory struct {
	now func() time.Time

	mu      sync.Mutex
	latest  int64
	expires map[string]int64 // by key; Unix time in ms
}

var _ dedupe.Store = (*Memory)(nil)

// NewMemory returns an empty store that reads the time from now; nil means [time.Now].
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	return &Memory{now: now, expires: map[string]int64{}}
}

// Name returns "dedupe.memory".
func (m *Memory) Name() string { return "dedupe.memory" }

// PutIfAbsent reserves a key; see [dedupe.Store].
func (m *Memory) PutIfAbsent(ctx context.Context, key []byte, ttl time.Duration) (inserted bool, err error) {
	ms, err := dedupe.TTLMillis(ttl, 0)
	if err == nil {
		err = check(ctx, key)
	}
	if err != nil {
		return false, &dedupe.Error{Op: "PutIfAbsent", Err: err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest = max(m.latest, m.now().UnixMilli())
	if m.latest < m.expires[string(key)] {
		return false, nil
	}
	m.expires[string(key)] = m.latest + ms
	return true, nil
}

// Forget removes a key's record; see [dedupe.Store].
func (m *Memory) Forget(ctx context.Context, key []byte) error {
	if err := check(ctx, key); err != nil {
		return &dedupe.Error{Op: "Forget", Err: err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.expires, string(key))
	return nil
}

func check(ctx context.Context, key []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return dedupe.CheckKey(key)
}
