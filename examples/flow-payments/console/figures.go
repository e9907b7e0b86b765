package console

import (
	"slices"
	"time"

	"flow.internal/capdo/dedupe"
)

// Limits of the figures. As JSON they have about 15 KiB.
const (
	bucketLength = 5 * time.Second // one bar of the chart
	maxBuckets   = 60              // five minutes
	maxKeys      = 50
)

// event is one operation on a ledger or a sequencer, as the Worker reports it
// to the object. It carries durations, because the clocks of Worker and object
// may differ. It carries the plain key, of which the object stores only a hash.
type event struct {
	Op      string             `json:"op"` // as in [dedupe.Event], or "Next"
	What    dedupe.EventResult `json:"what"`
	Key     []byte             `json:"key"`
	Attempt int                `json:"attempt"`
	Fence   int64              `json:"fence"`
	Lease   int64              `json:"lease"`  // ms, from now
	TTL     int64              `json:"ttl"`    // ms, from now
	Number  int64              `json:"number"` // of a sequence
}

// figures are what the page shows. Times are in ms since 1970, by the object's
// clock.
type figures struct {
	Since  int64  `json:"since"` // when the first event was reported
	Totals counts `json:"totals"`
	// the buckets of the last five minutes that are not empty, in order
	Buckets  []bucket `json:"buckets"`
	Keys     []*entry `json:"keys"`     // the newest first
	Sequence int64    `json:"sequence"` // the largest number given
	Lost     int64    `json:"lost"`     // events that did not arrive
}

// counts are numbers of events. A claim is one of the first six, or failed.
type counts struct {
	Acquired   int64 `json:"acquired"`   // by the first holder of a key, or after a release
	TakenOver  int64 `json:"takenOver"`  // acquired after the previous holder's lease ended
	Replayed   int64 `json:"replayed"`   // answered with the stored result
	InProgress int64 `json:"inProgress"` // another caller holds the key
	Duplicates int64 `json:"duplicates"` // replayed or in progress
	Mismatched int64 `json:"mismatched"` // refused because the payload differs
	Completed  int64 `json:"completed"`
	Released   int64 `json:"released"`
	Fenced     int64 `json:"fenced"` // refused operations of late holders
	Failed     int64 `json:"failed"`
}

// bucket has the counts for bucketLength from At on.
type bucket struct {
	At int64 `json:"at"`
	counts
}

// entry is what is known about a key. Unknown values are 0.
type entry struct {
	Key        string `json:"key"` // hash
	State      string `json:"state"`
	Attempt    int    `json:"attempt"`
	Fence      int64  `json:"fence,string"` // JavaScript's numbers end at 2^53
	Duplicates int64  `json:"duplicates"`
	LeaseEnds  int64  `json:"leaseEnds"` // while in progress
	Expires    int64  `json:"expires"`
}

// States of a key.
const (
	stateInProgress = "in progress"
	stateCompleted  = "completed"
	stateReleased   = "released"
)

// add counts an event, and updates the entry of its key.
func (f *figures) add(e *event, hash func(key []byte) string, now int64) {
	if f.Since == 0 {
		f.Since = now
	}
	if e.Op == "Next" {
		f.Sequence = max(f.Sequence, e.Number)
		return
	}
	f.Totals.add(e)
	f.bucket(now).add(e)
	switch e.What {
	case dedupe.EventMismatched, dedupe.EventFenced, dedupe.EventFailed: // these change no entry
		return
	}
	key := hash(e.Key)
	if e.Op == "Forget" {
		f.Keys = slices.DeleteFunc(f.Keys, func(k *entry) bool { return k.Key == key })
		return
	}
	f.entry(key).update(e, now)
}

func (c *counts) add(e *event) {
	switch e.What {
	case dedupe.EventAcquired:
		c.Acquired++
	case dedupe.EventExpired:
		c.TakenOver++
	case dedupe.EventReplayed:
		c.Replayed++
		c.Duplicates++
	case dedupe.EventInProgress:
		c.InProgress++
		c.Duplicates++
	case dedupe.EventMismatched:
		c.Mismatched++
	case dedupe.EventFenced:
		c.Fenced++
	case dedupe.EventFailed:
		c.Failed++
	}
	switch {
	case e.What == dedupe.EventDone && e.Op == "Complete":
		c.Completed++
	case e.What == dedupe.EventDone && e.Op == "Release":
		c.Released++
	}
}

// bucket returns the current counts, and drops buckets that are too old.
func (f *figures) bucket(now int64) *counts {
	length := bucketLength.Milliseconds()
	at := now - now%length
	f.Buckets = slices.DeleteFunc(f.Buckets,
		func(b bucket) bool { return b.At <= at-maxBuckets*length })
	// if the clock was set back, keep using the last bucket
	if n := len(f.Buckets); n == 0 || f.Buckets[n-1].At < at {
		f.Buckets = append(f.Buckets, bucket{At: at})
	}
	return &f.Buckets[len(f.Buckets)-1].counts
}

// entry returns the entry of a key. If it has to make one, it may drop the
// oldest.
func (f *figures) entry(key string) *entry {
	for _, k := range f.Keys {
		if k.Key == key {
			return k
		}
	}
	k := &entry{Key: key}
	f.Keys = slices.Insert(f.Keys[:min(len(f.Keys), maxKeys-1)], 0, k)
	return k
}

// update applies an event to the entry. Reports of several Workers may arrive
// out of order, so an event of an older holder changes nothing.
func (k *entry) update(e *event, now int64) {
	if e.What == dedupe.EventReplayed || e.What == dedupe.EventInProgress {
		k.Duplicates++
		k.duplicate(e, now)
		return
	}
	if e.Fence < k.Fence {
		return
	}
	switch {
	case e.Op == "Claim":
		if e.Attempt == 1 { // a new window begins
			*k = entry{Key: k.Key, Expires: now + e.TTL}
		}
		k.State, k.LeaseEnds = stateInProgress, now+e.Lease
	case e.Op == "Complete":
		k.State, k.LeaseEnds = stateCompleted, 0
	case e.Op == "Release":
		k.State, k.LeaseEnds = stateReleased, 0
	case k.State == stateInProgress: // Extend
		k.LeaseEnds = max(k.LeaseEnds, now+e.Lease)
	}
	k.Attempt, k.Fence = e.Attempt, e.Fence
}

// duplicate applies what a claim learned about the holder. The holder's own
// report may be missing.
func (k *entry) duplicate(e *event, now int64) {
	if e.Attempt > k.Attempt {
		k.Attempt, k.Fence, k.State = e.Attempt, 0, ""
	}
	switch {
	case e.Attempt < k.Attempt || k.State == stateCompleted:
	case e.What == dedupe.EventReplayed:
		k.State, k.LeaseEnds = stateCompleted, 0
	case k.State != stateReleased:
		k.State, k.LeaseEnds = stateInProgress, now+e.Lease
	}
}
