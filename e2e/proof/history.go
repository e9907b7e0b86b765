//go:build !js

package proof

import (
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Operation is a call. The windows and leases of keys last longer than the
// history, so times do not matter.
type Operation struct {
	Target      string // "sequence", or any name of a store or ledger
	Key         string // for a sequence, the stream
	Op          string // put, claim, complete, extend, release, next
	Entry       int    // next: index of the stream's entry, below Entries
	Owner       string
	Fingerprint string
	Fence       int64
	Result      string
}

// Entries is the maximum number of entries of a stream.
const Entries = entries

// Answer is the answer to a call.
type Answer struct {
	Unknown  bool // no answer: the operation may have happened, or may happen later
	Status   string
	Inserted bool
	Outcome  string
	Fence    int64
	Result   string
	Number   int64
}

// History records calls and answers for Check. Its methods are safe for
// concurrent use.
type History struct {
	mu    sync.Mutex
	ops   []porcupine.Operation
	begin time.Time
}

// NewHistory starts a history.
func NewHistory() *History { return &History{begin: time.Now()} }

// Now returns the time in a history.
func (h *History) Now() int64 { return int64(time.Since(h.begin)) }

// Add adds an operation that started at call and was answered just now.
func (h *History) Add(client int, o Operation, a Answer, call int64) {
	in := input{
		target: o.Target, key: o.Key, op: o.Op, entry: o.Entry, owner: o.Owner,
		fingerprint: o.Fingerprint, fence: o.Fence, result: o.Result,
		lease: lastingLease, ttl: lastingLease,
	}
	out := output{unknown: a.Unknown, open: a.Unknown, status: a.Status, inserted: a.Inserted,
		outcome: a.Outcome, fence: a.Fence, result: a.Result, number: a.Number}
	returned := h.Now()
	if a.Unknown {
		out, returned = output{unknown: true, open: true}, never
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	op := porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out,
		Return: returned}
	h.ops = append(h.ops, op)
	if a.Unknown && o.Op == "claim" { // it may have been sent twice, and released in between
		h.ops = append(h.ops, op)
	}
}

// lastingLease is in ms. Where time stands still, it only has to be later.
const lastingLease = math.MaxInt32

// Check returns a verdict for readers, and whether each key's history can be
// explained by operations that happen one after another.
func (h *History) Check() (verdict string, linearizable bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := check(h.ops)
	return v.String(), v.bad == nil && v.timeouts == 0
}
