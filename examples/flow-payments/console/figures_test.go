//go:build !js

package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

const begin = 1_800_000_000_000 // ms; a multiple of bucketLength

// plain replaces the object's hash.
func plain(key []byte) string { return string(key) }

// claim returns the event of an acquired claim, with a lease of 10 s and a TTL
// of 1,000 s.
func claim(attempt int, fence int64) event {
	e := event{Op: "Claim", What: dedupe.EventAcquired, Key: []byte("k"), Attempt: attempt, Fence: fence, Lease: 10_000, TTL: 1_000_000}
	if attempt > 1 {
		e.What = dedupe.EventExpired
	}
	return e
}

func of(op string, what dedupe.EventResult, attempt int, fence, lease int64) event {
	return event{Op: op, What: what, Key: []byte("k"), Attempt: attempt, Fence: fence, Lease: lease}
}

// TestEntryFollowsItsKey plays events, one a second, and then checks the entry
// of their key.
func TestEntryFollowsItsKey(t *testing.T) {
	const replayed, busy, done = dedupe.EventReplayed, dedupe.EventInProgress, dedupe.EventDone
	expires := int64(begin + 1_000_000)
	for name, test := range map[string]struct {
		events []event
		want   entry
	}{
		"acquired": {[]event{claim(1, 7)},
			entry{State: "in progress", Attempt: 1, Fence: 7, LeaseEnds: begin + 10_000, Expires: expires}},
		"completed": {[]event{claim(1, 7), of("Complete", done, 1, 7, 0)},
			entry{State: "completed", Attempt: 1, Fence: 7, Expires: expires}},
		"released": {[]event{claim(1, 7), of("Release", done, 1, 7, 0)},
			entry{State: "released", Attempt: 1, Fence: 7, Expires: expires}},
		"extended": {[]event{claim(1, 7), of("Extend", done, 1, 7, 20_000)},
			entry{State: "in progress", Attempt: 1, Fence: 7, LeaseEnds: begin + 21_000, Expires: expires}},
		"a shorter extension": {[]event{claim(1, 7), of("Extend", done, 1, 7, 5)},
			entry{State: "in progress", Attempt: 1, Fence: 7, LeaseEnds: begin + 10_000, Expires: expires}},
		"an extension after completion": {[]event{claim(1, 7), of("Complete", done, 1, 7, 0), of("Extend", done, 1, 7, 20_000)},
			entry{State: "completed", Attempt: 1, Fence: 7, Expires: expires}},
		"duplicates": {[]event{claim(1, 7), of("Claim", busy, 1, 0, 9_000), of("Complete", done, 1, 7, 0), of("Claim", replayed, 1, 0, 0), of("Claim", replayed, 1, 0, 0)},
			entry{State: "completed", Attempt: 1, Fence: 7, Duplicates: 3, Expires: expires}},
		"a takeover keeps the window": {[]event{claim(1, 7), claim(2, 8)},
			entry{State: "in progress", Attempt: 2, Fence: 8, LeaseEnds: begin + 11_000, Expires: expires}},
		"a new window resets the entry": {[]event{claim(1, 7), of("Claim", busy, 1, 0, 9_000), claim(1, 8)},
			entry{State: "in progress", Attempt: 1, Fence: 8, LeaseEnds: begin + 12_000, Expires: expires + 2_000}},
		"a late report of the previous holder": {[]event{claim(1, 7), claim(2, 8), of("Release", done, 1, 7, 0),
			of("Extend", done, 1, 7, 90_000), of("Complete", done, 1, 7, 0)},
			entry{State: "in progress", Attempt: 2, Fence: 8, LeaseEnds: begin + 11_000, Expires: expires}},
		"a late report of a waiter": {[]event{claim(1, 7), of("Complete", done, 1, 7, 0), of("Claim", busy, 1, 0, 9_000)},
			entry{State: "completed", Attempt: 1, Fence: 7, Duplicates: 1, Expires: expires}},
		"a late report about the previous holder": {[]event{claim(1, 7), claim(2, 8), of("Claim", busy, 1, 0, 90_000), of("Claim", replayed, 1, 0, 0)},
			entry{State: "in progress", Attempt: 2, Fence: 8, Duplicates: 2, LeaseEnds: begin + 11_000, Expires: expires}},
		"a holder without a report": {[]event{of("Claim", busy, 3, 0, 9_000)}, entry{State: "in progress", Attempt: 3, Duplicates: 1, LeaseEnds: begin + 9_000}},
		"a result without a report": {[]event{of("Claim", replayed, 2, 0, 0)}, entry{State: "completed", Attempt: 2, Duplicates: 1}},
		"a completion without a report": {[]event{claim(1, 7), of("Claim", replayed, 1, 0, 0)},
			entry{State: "completed", Attempt: 1, Fence: 7, Duplicates: 1, Expires: expires}},
		"refusals do not change the entry": {[]event{claim(1, 7), of("Claim", dedupe.EventMismatched, 0, 0, 0), of("Complete", dedupe.EventFenced, 1, 7, 0),
			of("Complete", dedupe.EventFailed, 1, 7, 0)},
			entry{State: "in progress", Attempt: 1, Fence: 7, LeaseEnds: begin + 10_000, Expires: expires}},
		"a late report of a waiter after a release": {[]event{claim(1, 7), of("Release", done, 1, 7, 0), of("Claim", busy, 1, 0, 9_000)},
			entry{State: "released", Attempt: 1, Fence: 7, Duplicates: 1, Expires: expires}},
	} {
		t.Run(name, func(t *testing.T) {
			var f figures
			for i, e := range test.events {
				f.add(&e, plain, begin+1000*int64(i))
			}
			test.want.Key = "k"
			if len(f.Keys) != 1 || *f.Keys[0] != test.want {
				t.Errorf("%d keys, the first is\n%+v, want\n%+v", len(f.Keys), *f.Keys[0], test.want)
			}
		})
	}
}

func TestTotalsCountEachEventOnce(t *testing.T) {
	var f figures
	for i, e := range []event{
		claim(1, 1), claim(2, 2), claim(2, 3), of("Claim", dedupe.EventReplayed, 1, 0, 0), of("Claim", dedupe.EventInProgress, 1, 0, 0),
		of("Claim", dedupe.EventMismatched, 1, 0, 0),
		of("Extend", dedupe.EventDone, 2, 3, 1), of("Complete", dedupe.EventDone, 2, 3, 0), of("Release", dedupe.EventDone, 2, 3, 0),
		of("Release", dedupe.EventFenced, 2, 1, 0),
		of("Complete", dedupe.EventFailed, 2, 1, 0), {Op: "Next", What: dedupe.EventDone, Number: 5}, {Op: "Next", What: dedupe.EventDone, Number: 4},
	} {
		f.add(&e, plain, begin+int64(i))
	}
	want := counts{Acquired: 1, TakenOver: 2, Replayed: 1, InProgress: 1, Duplicates: 2, Mismatched: 1, Completed: 1, Released: 1, Fenced: 1, Failed: 1}
	if f.Totals != want || f.Buckets[0].counts != want || f.Sequence != 5 || f.Since != begin {
		t.Errorf("%+v", f)
	}
	f.add(&event{Op: "Forget", What: dedupe.EventDone, Key: []byte("k")}, plain, begin)
	if len(f.Keys) != 0 {
		t.Errorf("a forgotten key is still there: %+v", *f.Keys[0])
	}
}

func TestBucketsAreTheLastFiveMinutes(t *testing.T) {
	var f figures
	length := bucketLength.Milliseconds()
	for i := range int64(3 * maxBuckets) {
		e := claim(1, i)
		f.add(&e, plain, begin+i*length+length-1)
	}
	if len(f.Buckets) != maxBuckets || f.Totals.Acquired != 3*maxBuckets {
		t.Errorf("%d buckets, %+v", len(f.Buckets), f.Totals)
	}
	if first, last := f.Buckets[0].At, f.Buckets[maxBuckets-1].At; last != begin+(3*maxBuckets-1)*length || first != last-(maxBuckets-1)*length {
		t.Errorf("from %d to %d", first, last)
	}
	e := claim(1, 1000)
	f.add(&e, plain, begin) // the clock was set back
	if n := len(f.Buckets); n != maxBuckets || f.Buckets[n-1].Acquired != 2 {
		t.Errorf("after the clock was set back: %d buckets", n)
	}
	f.add(&e, plain, begin+time.Hour.Milliseconds())
	if len(f.Buckets) != 1 || f.Buckets[0].Acquired != 1 {
		t.Errorf("after an hour: %+v", f.Buckets)
	}
}

func TestFiguresStaySmall(t *testing.T) {
	var f figures
	for i := range int64(1000) {
		e := claim(1, begin*1000+i)
		e.Key = fmt.Appendf(nil, "%012d", i)
		f.add(&e, plain, begin+i*1000)
	}
	if len(f.Keys) != maxKeys || f.Keys[0].Key != "000000000999" || f.Keys[maxKeys-1].Key != "000000000950" {
		t.Errorf("%d keys, from %s to %s", len(f.Keys), f.Keys[0].Key, f.Keys[len(f.Keys)-1].Key)
	}
	b, err := json.Marshal(&f)
	if err != nil || len(b) > 24<<10 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if !strings.Contains(string(b), `"fence":"1800000000000999"`) {
		t.Error("a fence is not a string; JavaScript would round it")
	}
}
