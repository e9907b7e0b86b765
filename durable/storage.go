package durable

import (
	"context"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// Storage is an object's private, durable storage, at most 10 GB
// (https://developers.cloudflare.com/durable-objects/platform/limits/). Writes
// made without waiting in between are committed together. No answer leaves the
// object before they are durable.
type Storage struct {
	AsyncKV
	kv  KV
	sql SQL
}

// KV returns the synchronous key-value store. It needs a SQLite-backed class.
func (s *Storage) KV() *KV {
	s.kv.storage = s
	return &s.kv
}

// SQL returns the SQLite database. It needs a SQLite-backed class.
func (s *Storage) SQL() *SQL {
	if classifySQL == nil {
		classifySQL = sqlError
	}
	s.sql.storage = s
	return &s.sql
}

// TransactionSync runs fn in a transaction. If fn returns nil, the transaction
// commits. If fn returns an error or panics, it is rolled back, and
// TransactionSync returns the error or repeats the panic. This object's other
// goroutines do no I/O while fn runs. fn must not wait for anything. If it
// does, TransactionSync fails with [ErrTransactionParked], and so do later
// operations of fn's goroutine on this object. TransactionSync needs a
// SQLite-backed class, else [ErrNoSQL].
func (s *Storage) TransactionSync(fn func() error) error {
	if s.backend.isKV() { // local workerd has SQLite below, and would do it
		return ErrNoSQL
	}
	return classify(s.ref.Transact(fn))
}

// DeleteAll deletes everything the object has stored, and its alarm
// (compatibility date 2026-02-24 or later). An object without stored data costs
// nothing.
func (s *Storage) DeleteAll(ctx context.Context, opts *PutOptions) error {
	_, err := s.ref.Await(ctx, "deleteAll", opts.js()...)
	return classify(err)
}

// Transaction runs fn in a transaction; fn may wait for I/O. If fn returns nil,
// the transaction commits. If fn returns an error or panics, it is rolled back,
// and Transaction returns the error. Use txn or SQL in fn.
// [State.BlockConcurrencyWhile] says what fn may wait for.
func (s *Storage) Transaction(
	ctx context.Context, fn func(txn *Transaction) error,
) error {
	return runExclusive(ctx, s.ref, "transaction", func(ref *jsrt.Ref) error {
		return fn(&Transaction{AsyncKV{ref, s.backend}})
	})
}

// Sync waits until everything written before is durable.
func (s *Storage) Sync(ctx context.Context) error {
	_, err := s.ref.Await(ctx, "sync")
	return classify(err)
}

// CurrentBookmark returns a bookmark of the present state, for RestoreBookmark.
// (Point-in-time recovery works only on Cloudflare. Local workerd returns a
// bookmark that cannot be restored.)
//
// https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/#pitr-point-in-time-recovery-api
func (s *Storage) CurrentBookmark(ctx context.Context) (string, error) {
	return s.bookmark(ctx, "getCurrentBookmark")
}

// BookmarkForTime returns a bookmark of the state at a time within the last 30
// days.
func (s *Storage) BookmarkForTime(
	ctx context.Context, at time.Time,
) (string, error) {
	return s.bookmark(ctx, "getBookmarkForTime", at.UnixMilli())
}

// RestoreBookmark schedules the restore of a bookmark's state for the next
// start of the object; call [State.Abort] to restart it. It returns a bookmark
// of the state just before the restore; restore that one to undo.
func (s *Storage) RestoreBookmark(
	ctx context.Context, bookmark string,
) (undo string, err error) {
	return s.bookmark(ctx, "onNextSessionRestoreBookmark", bookmark)
}

func (s *Storage) bookmark(ctx context.Context, method string, args ...any) (string, error) {
	v, err := s.ref.Await(ctx, method, args...)
	bookmark, _ := v.(string)
	return bookmark, classify(err)
}

// part returns a property of the storage; workerd creates it on first use.
func (s *Storage) part(name string, cached **jsrt.Ref) (*jsrt.Ref, error) {
	if *cached == nil {
		v, err := s.ref.Get(name)
		if err != nil {
			return nil, classify(err)
		}
		ref, ok := v.(*jsrt.Ref)
		if !ok {
			return nil, ErrNoSQL
		}
		*cached = ref
	}
	return *cached, nil
}
