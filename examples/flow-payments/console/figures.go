package console

import (
	"slices"
	"time"

	"flow.internal/capdo/dedupe"
)

// What the figures are limited to: about 15 KiB as JSON.
const (
	bucketLength = 5 * time.Second // that counts are added up over
	maxBuckets   = 60              // five minutes
	maxKeys      = 50
)

// event is one operation on a ledger or a sequencer, as the Worker reports it
// to the object. It carries durations, since the clocks of the two are not
// compared; and the key as it is, of which the object keeps no more than a
// hash.
type event struct {
	Op      string             `json:"op"` // that of [dedupe.Event], or "Next"
	What    dedupe.EventResult `json:"what"`
	Key     []byte             `json:"key"`
	Attempt int                `json:"attempt"`
	Fence   int64              `json:"fence"`
	Lease   int64              `json:"lease"`  // ms, from now
	TTL     int64              `json:"ttl"`    // ms, from now
	Number  int64              `json:"number"` // of a sequence
}

// figures are what the page shows. Times are in ms since 1970 by the object's
// clock.
type figures struct {
	Since  int64  `json:"since"` // when the first event was reported
	Totals counts `json:"totals"`
	// of the last five minutes, those in which something happened, in order
	Buckets  []bucket `json:"buckets"`
	Keys     []*entry `json:"keys"`     // the newest first
	Sequence int64    `json:"sequence"` // the largest number given
	Lost     int64    `json:"lost"`     // events that did not get through
}

// counts are numbers of events. A claim is one of the first six, or failed.
type counts struct {
	Acquired   int64 `json:"acquired"`   // by a key's first holder, or after a release
	TakenOver  int64 `json:"takenOver"`  // acquired after the lease of the holder before ran out
	Replayed   int64 `json:"replayed"`   // answered with the result of before
	InProgress int64 `json:"inProgress"` // told that another holds the key
	Duplicates int64 `json:"duplicates"` // replayed or in progress
	Mismatched int64 `json:"mismatched"` // refused for another payload
	Completed  int64 `json:"completed"`
	Released   int64 `json:"released"`
	Fenced     int64 `json:"fenced"` // a late holder's operations that were refused
	Failed     int64 `json:"failed"`
}

// bucket has the counts of the time from At, for bucketLength.
type bucket struct {
	At int64 `json:"at"`
	counts
}

// entry is what is known of a key. 0 is for what is not known.
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

// add counts an event, and notes what it says of its key.
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
	case dedupe.EventMismatched, dedupe.EventFenced, dedupe.EventFailed: // they change nothing
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

// bucket returns the counts of the present, and drops those that are too old.
func (f *figures) bucket(now int64) *counts {
	length := bucketLength.Milliseconds()
	at := now - now%length
	f.Buckets = slices.DeleteFunc(f.Buckets,
		func(b bucket) bool { return b.At <= at-maxBuckets*length })
	// where the clock was set back the last one goes on
	if n := len(f.Buckets); n == 0 || f.Buckets[n-1].At < at {
		f.Buckets = append(f.Buckets, bucket{At: at})
	}
	return &f.Buckets[len(f.Buckets)-1].counts
}

// entry returns that of a key, a new one in place of the oldest if need be.
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

// update notes what an event says. Reports of several Workers may arrive out of
// order: what an older holder did changes nothing.
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
		if e.Attempt == 1 { // its window begins
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

// duplicate notes what a claim was told of the holder, who may not have been
// heard of.
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
