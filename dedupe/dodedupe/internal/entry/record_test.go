package entry

import (
	"bytes"
	"encoding/hex"
	"testing"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
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
