package entry

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
)

// TestTransitionsOfASequence checks that a key has one number during its TTL.
func TestTransitionsOfASequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e Entry
		now, last := int64(noon), int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) { now += rapid.Int64Range(0, 20).Draw(t, "passes") },
			"enter": func(t *rapid.T) {
				r := Request{Owner: anOwner.Draw(t, "owner"), Fingerprint: aPrint.Draw(t, "hash"), TTL: rapid.Int64Range(1, 30).Draw(t, "TTL")}
				before := e.At(now)
				next, inserted, err := e.Enter(r, now, last+1)
				switch {
				case before.State == Absent:
					if !inserted || err != nil || next.Number != last+1 || next.Expires() != now+r.TTL {
						t.Fatalf("%+v, %v, %v", next, inserted, err)
					}
					last++
				case before.Fingerprint != r.Fingerprint:
					if inserted || !errors.Is(err, dedupe.ErrMismatch) {
						t.Fatalf("%+v, %v, %v", next, inserted, err)
					}
				default:
					if err != nil || inserted != (before.Owner == r.Owner) {
						t.Fatalf("%+v, %v, %v", next, inserted, err)
					}
				}
				if before.State != Absent && !bytes.Equal(next.Encode(), before.Encode()) {
					t.Fatalf("%+v became %+v", before, next)
				}
				e = next
			},
		})
	})
}

// anEntry draws an entry that may be stored, with times at the limits.
func anEntry(t *rapid.T) Entry {
	number := func(name string, most int64) int64 {
		return rapid.OneOf(rapid.Int64Range(0, most), rapid.SampledFrom([]int64{0, 1, most - 1, most})).Draw(t, name)
	}
	e := Entry{
		State: State(rapid.IntRange(int(Free), int(Numbered)).Draw(t, "state")), TakenOver: rapid.Bool().Draw(t, "taken over"),
		Number: number("number", codec.MaxNow*1000), Attempt: number("attempt", 1<<40), FirstSeen: number("first seen", codec.MaxNow), TTL: max(1, number("TTL", codec.MaxTTL)),
		Until: number("until", codec.MaxNow+MaxLease), Owner: anOwner.Draw(t, "owner"), Fingerprint: aPrint.Draw(t, "fingerprint"),
	}
	if e.State == Done {
		e.Result = []byte(someResult.Draw(t, "result"))
	}
	return e
}

// TestTransitionsKeepEntriesReadable checks that the result of any transition,
// at any time, can be stored and read again, and expires.
func TestTransitionsKeepEntriesReadable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, now := anEntry(t), rapid.SampledFrom([]int64{0, 1, noon, codec.MaxNow - 1, codec.MaxNow}).Draw(t, "now")
		now = max(now, e.Latest())
		if now > codec.MaxNow {
			t.Skip("a time that no engine uses")
		}
		h, lease := Holder{Owner: e.Owner, Fence: e.Number}, rapid.SampledFrom([]int64{1, 1000, MaxLease}).Draw(t, "lease")
		r := Request{Owner: anOwner.Draw(t, "claimant"), Fingerprint: e.Fingerprint, Lease: lease, TTL: rapid.SampledFrom([]int64{1, 1000, codec.MaxTTL}).Draw(t, "its TTL")}
		all := map[string]Entry{"as it is": e}
		if e.State == Numbered {
			all["enter"], _, _ = e.Enter(r, now, e.Number+1)
		} else {
			all["claim"], _, _ = e.Claim(r, now, max(e.Number+1, FenceAt(now)))
			all["complete"], _, _ = e.Complete(h, []byte("r"), now)
			all["extend"], _, _ = e.Extend(h, lease, now)
			all["release"], _, _ = e.Release(h, now)
			if before, after := e.At(now), all["extend"]; after.Until < before.Until {
				t.Errorf("extending %+v by %d ms at %d shortens it: %+v", before, lease, now, after)
			}
		}
		for name, next := range all {
			if next.State == Absent {
				continue
			}
			back, err := Decode(next.Encode())
			if err != nil || !bytes.Equal(back.Encode(), next.Encode()) || next.Kept() >= Never || next.Kept() < next.Expires() {
				t.Errorf("%s of %+v at %d: %+v, kept until %d, %v", name, e, now, next, next.Kept(), err)
			}
		}
	})
}

// noon is the time when the tests begin, in ms.
const noon = 1_800_000_000_000

var (
	anOwner    = rapid.SampledFrom([]string{"x", "y", "z"})
	aPrint     = rapid.SampledFrom([]string{"", "", "", "", "", "other"})
	someResult = rapid.SampledFrom([]string{"", "1", "2", "3"})
)

// These bytes are in use: a change makes existing records unreadable.
func TestEntryBytesArePinned(t *testing.T) {
	for _, c := range []struct {
		e    Entry
		want string
	}{
		{Entry{State: Held, Number: 1000, Attempt: 1, FirstSeen: 1, TTL: 300, Until: 31, Owner: "ab", Fingerprint: "\xff"}, "0202" + "e807" + "01" + "01" + "ac02" + "1f" + "026162" + "01ff"},
		{Entry{State: Held, TakenOver: true, Number: 1, Attempt: 2, FirstSeen: 1, TTL: 1, Until: 2, Owner: "a"}, "0282" + "01" + "02" + "01" + "01" + "02" + "0161" + "00"},
		{Entry{State: Done, Number: 1, Attempt: 1, FirstSeen: 1, TTL: 1, Until: 2, Owner: "a", Fingerprint: "f", Result: []byte("res")}, "0203" + "0101010102" + "0161" + "0166" + "726573"},
		{Entry{State: Free, Number: 5, TTL: 1}, "0201" + "0500000100" + "0000"},
		{Entry{State: Numbered, Number: 7, FirstSeen: 1, TTL: 2, Owner: "a", Fingerprint: "h"}, "0204" + "0700010200" + "0161" + "0168"},
	} {
		if got := hex.EncodeToString(c.e.Encode()); got != c.want {
			t.Errorf("%+v: %s, want %s", c.e, got, c.want)
		}
		b, _ := hex.DecodeString(c.want)
		e, err := Decode(b)
		if err != nil || hex.EncodeToString(e.Encode()) != c.want {
			t.Errorf("%s: %+v, %v", c.want, e, err)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3})
	f.Add((&Entry{State: Held, Number: 1000, Attempt: 1, FirstSeen: 1, TTL: 300, Until: 31, Owner: "ab", Fingerprint: "\xff"}).Encode())
	f.Add((&Entry{State: Done, Number: FenceAt(Never), Attempt: 1, FirstSeen: codec.MaxNow, TTL: codec.MaxTTL, Until: 2, Result: []byte("r")}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			if err != codec.ErrCorrupt && err != codec.ErrVersion {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(e.Encode(), b) || e.Expires() < e.FirstSeen || (e.Kept() >= Never) != (e.State == Counting) {
			t.Fatalf("%x: %+v", b, e)
		}
	})
}
