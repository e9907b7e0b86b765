//go:build !js

package proof

import (
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Operation is what a caller asked for. The windows and leases of keys outlast
// the history: times do not matter.
type Operation struct {
	Target      string // "sequence", or any name of a store or ledger
	Key         string // in a sequence the stream
	Op          string // put, claim, complete, extend, release, next
	Entry       int    // next: which of the stream's Entries
	Owner       string
	Fingerprint string
	Fence       int64
	Result      string
}

// Entries is how many entries a stream has at most.
const Entries = entries

// Answer is what the caller was told.
type Answer struct {
	Unknown  bool // nothing: the operation may have happened, or happen later
	Status   string
	Inserted bool
	Outcome  string
	Fence    int64
	Result   string
	Number   int64
}

// History is what callers asked for and were told, for Check. Its methods may
// be called at the same time.
type History struct {
	mu    sync.Mutex
	ops   []porcupine.Operation
	begin time.Time
}

// NewHistory begins a history.
func NewHistory() *History { return &History{begin: time.Now()} }

// Now is the time in a history.
func (h *History) Now() int64 { return int64(time.Since(h.begin)) }

// Add adds an operation that was called then, and answered just now.
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
	if a.Unknown && o.Op == "claim" { // it may have been sent twice, and released between
		h.ops = append(h.ops, op)
	}
}

// lastingLease is in ms; where time stands still it only has to be later.
const lastingLease = math.MaxInt32

// Check returns what a reader is told, and whether each key's history can be
// explained by one operation happening after the other.
func (h *History) Check() (verdict string, linearizable bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := check(h.ops)
	return v.String(), v.bad == nil && v.timeouts == 0
}
