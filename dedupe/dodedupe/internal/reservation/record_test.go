package reservation

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
)

const recordHex = "01" + "000102030405060708090a0b0c0d0e0f" + "00000199999999ff" + "000001999ebff5ff"

func TestRecordBytesArePinned(t *testing.T) {
	r := Record{someOwner, 0x199999999ff, 0x199999999ff + int64(24*time.Hour/time.Millisecond)}
	if got := hex.EncodeToString(r.Encode()); got != recordHex {
		t.Errorf("record: %s, want %s", got, recordHex)
	}
	b, _ := hex.DecodeString(recordHex)
	if got, err := Decode(b); got != r || err != nil {
		t.Errorf("decoded: %+v, %v", got, err)
	}
}

func TestRecordThatIsNotOneIsRefused(t *testing.T) {
	valid := Record{someOwner, 1000, 2000}.Encode()
	change := func(at int, to ...byte) []byte {
		b := bytes.Clone(valid)
		copy(b[at:], to)
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":                      {[]byte{}, codec.ErrCorrupt},
		"version 0":                    {change(0, 0), codec.ErrCorrupt},
		"version 2":                    {change(0, 2), codec.ErrVersion},
		"version 2, of another size":   {[]byte{2}, codec.ErrVersion},
		"one byte short":               {valid[:len(valid)-1], codec.ErrCorrupt},
		"one byte long":                {append(bytes.Clone(valid), 0), codec.ErrCorrupt},
		"expired when claimed":         {Record{someOwner, 1000, 1000}.Encode(), codec.ErrCorrupt},
		"expired before it is claimed": {Record{someOwner, 2000, 1000}.Encode(), codec.ErrCorrupt},
		"a TTL beyond the longest":     {Record{someOwner, 1000, 1000 + codec.MaxTTL + 1}.Encode(), codec.ErrCorrupt},
		"a negative time":              {Record{someOwner, -1000, 1000}.Encode(), codec.ErrCorrupt},
		"times that overflow":          {Record{someOwner, math.MaxInt64 - 1, math.MinInt64}.Encode(), codec.ErrCorrupt},
		"a time too late for an alarm": {Record{someOwner, codec.MaxNow + 1, codec.MaxNow + 2}.Encode(), codec.ErrCorrupt},
	} {
		if _, err := Decode(c.b); err != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, r := range []Record{{someOwner, 0, 1}, {someOwner, codec.MaxNow, codec.MaxNow + codec.MaxTTL}} {
		if got, err := Decode(r.Encode()); got != r || err != nil {
			t.Errorf("%+v: %+v, %v", r, got, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Add(Record{someOwner, 1000, 2000}.Encode())
	f.Add(Record{someOwner, codec.MaxNow, codec.MaxNow + codec.MaxTTL}.Encode())
	f.Add(bytes.Repeat([]byte{0xff}, recordSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			if r != (Record{}) || err != codec.ErrCorrupt && err != codec.ErrVersion {
				t.Fatalf("%x: %+v, %v", b, r, err)
			}
			return
		}
		if !bytes.Equal(r.Encode(), b) || !r.Live(r.Claimed) || r.Live(r.Expires) || r.Expires > 8_640_000_000_000_000 {
			t.Fatalf("%x: %+v", b, r)
		}
	})
}

// Known mistake: user keys collide with internal ones. The internal key is in
// the reserved name space. Like the objects' names it is in use.
func TestStorageKeyIsPinned(t *testing.T) {
	if recordKey != "_capdo_dedupe" {
		t.Errorf("the record is stored under %q", recordKey)
	}
}

var someOwner = Owner{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// Records outlive the program, so a token stands for the same owner for good:
// FNV-1a of 128 bits.
func TestAnOwnerStandsForItsToken(t *testing.T) {
	for token, want := range map[string]string{
		"a": "d228cb696f1a8caf78912b704e4a8964",
	} {
		if got := OwnerOf(token); hex.EncodeToString(got[:]) != want {
			t.Errorf("%q: %x", token, got)
		}
	}
	if one, other := OwnerOf(""), OwnerOf(""); one == other {
		t.Error("two empty tokens have one owner")
	}
}
