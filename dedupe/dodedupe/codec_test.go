//go:build !js

package dodedupe

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
)

// These names are in use: a change here forgets every live record.
func TestObjectNamesArePinned(t *testing.T) {
	for _, c := range []struct{ scope, key, want string }{
		{"", "a", "capdo.dedupe.v1::YQ"},
		{"", "order-1041", "capdo.dedupe.v1::b3JkZXItMTA0MQ"},
		{"orders", "1041", "capdo.dedupe.v1:b3JkZXJz:MTA0MQ"},
		{"a:x", "k", "capdo.dedupe.v1:YTp4:aw"},
		{"a", "x:k", "capdo.dedupe.v1:YQ:eDpr"},
		{"a", ":x", "capdo.dedupe.v1:YQ:Ong"},
		{"a:", "x", "capdo.dedupe.v1:YTo:eA"},
		{"", "YQ", "capdo.dedupe.v1::WVE"},
		{"", "YQ==", "capdo.dedupe.v1::WVE9PQ"},
		{"", "capdo.dedupe.v1::YQ", "capdo.dedupe.v1::Y2FwZG8uZGVkdXBlLnYxOjpZUQ"},
		{"YQ", "a", "capdo.dedupe.v1:WVE:YQ"},
		{"", "\x00", "capdo.dedupe.v1::AA"},
		{"", "\x00\x00", "capdo.dedupe.v1::AAA"},
		{"", "\xff\xfe\xfd", "capdo.dedupe.v1::__79"},
		{"", "\xfb\xef\xbe", "capdo.dedupe.v1::----"},
		{"\xff", "\ufffd", "capdo.dedupe.v1:_w:77-9"},
		{"\ufffd", "\xff", "capdo.dedupe.v1:77-9:_w"},
		{"", "é", "capdo.dedupe.v1::w6k"},
		{"", "e\u0301", "capdo.dedupe.v1::ZcyB"},
		{"", strings.Repeat("\x00", dedupe.MaxKeySize), "capdo.dedupe.v1::" + strings.Repeat("A", 2731)},
	} {
		if got := objectName(kindStore, c.scope, []byte(c.key)); got != c.want {
			t.Errorf("scope %q, key %.40q: %.80q, want %.80q", c.scope, c.key, got, c.want)
		}
	}
}

// FuzzObjectName: scope and key can be read back from the name, so no two pairs share one.
func FuzzObjectName(f *testing.F) {
	f.Add("", []byte("a"))
	f.Add("a:x", []byte("k"))
	f.Add("a", []byte("x:k"))
	f.Add("\xff\x00", []byte("capdo.dedupe.v1:YQ:YQ"))
	f.Fuzz(func(t *testing.T, scope string, key []byte) {
		name := objectName(kindStore, scope, key)
		for _, c := range []byte(name) {
			if c < 0x20 || c > 0x7e {
				t.Fatalf("name %q is not printable ASCII", name)
			}
		}
		parts := strings.Split(name, ":")
		if len(parts) != 3 || parts[0] != "capdo.dedupe.v1" || decode64(t, parts[1]) != scope || decode64(t, parts[2]) != string(key) {
			t.Fatalf("scope %q and key %q have the name %q", scope, key, name)
		}
	})
}

// decode64 is written anew, so that a mistake in how the names are made is not made twice.
func decode64(t *testing.T, s string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var out []byte
	var acc, bits uint
	for i := range len(s) {
		d := strings.IndexByte(digits, s[i])
		if d < 0 {
			t.Fatalf("%q is not base64url", s)
		}
		acc = acc<<6 | uint(d)
		if bits += 6; bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	return string(out)
}

var someOwner = owner{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

const recordHex = "01" + "000102030405060708090a0b0c0d0e0f" + "00000199999999ff" + "000001999ebff5ff"

func TestRecordBytesArePinned(t *testing.T) {
	r := record{someOwner, 0x199999999ff, 0x199999999ff + int64(24*time.Hour/time.Millisecond)}
	if got := hex.EncodeToString(r.encode()); got != recordHex {
		t.Errorf("record: %s, want %s", got, recordHex)
	}
	b, _ := hex.DecodeString(recordHex)
	if got, err := decodeRecord(b); got != r || err != nil {
		t.Errorf("decoded: %+v, %v", got, err)
	}
}

func TestRecordThatIsNotOneIsRefused(t *testing.T) {
	valid := record{someOwner, 1000, 2000}.encode()
	change := func(at int, to ...byte) []byte {
		b := bytes.Clone(valid)
		copy(b[at:], to)
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":                      {[]byte{}, ErrCorrupt},
		"version 0":                    {change(0, 0), ErrCorrupt},
		"version 2":                    {change(0, 2), ErrVersion},
		"version 2, of another size":   {[]byte{2}, ErrVersion},
		"one byte short":               {valid[:len(valid)-1], ErrCorrupt},
		"one byte long":                {append(bytes.Clone(valid), 0), ErrCorrupt},
		"expired when claimed":         {record{someOwner, 1000, 1000}.encode(), ErrCorrupt},
		"expired before it is claimed": {record{someOwner, 2000, 1000}.encode(), ErrCorrupt},
		"a TTL beyond the longest":     {record{someOwner, 1000, 1000 + maxTTL + 1}.encode(), ErrCorrupt},
		"a negative time":              {record{someOwner, -1000, 1000}.encode(), ErrCorrupt},
		"times that overflow":          {record{someOwner, math.MaxInt64 - 1, math.MinInt64}.encode(), ErrCorrupt},
		"a time no alarm can have":     {record{someOwner, maxNow + 1, maxNow + 2}.encode(), ErrCorrupt},
	} {
		if _, err := decodeRecord(c.b); err != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	for _, r := range []record{{someOwner, 0, 1}, {someOwner, maxNow, maxNow + maxTTL}} {
		if got, err := decodeRecord(r.encode()); got != r || err != nil {
			t.Errorf("%+v: %+v, %v", r, got, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Add(record{someOwner, 1000, 2000}.encode())
	f.Add(record{someOwner, maxNow, maxNow + maxTTL}.encode())
	f.Add(bytes.Repeat([]byte{0xff}, recordSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			if r != (record{}) || err != ErrCorrupt && err != ErrVersion {
				t.Fatalf("%x: %+v, %v", b, r, err)
			}
			return
		}
		if !bytes.Equal(r.encode(), b) || !r.live(r.claimed) || r.live(r.expires) || r.expires > 8_640_000_000_000_000 {
			t.Fatalf("%x: %+v", b, r)
		}
	})
}

// Known mistake: user keys collide with internal ones. The internal one is in the reserved name space; like objects' names it is in use.
func TestStorageKeyIsPinned(t *testing.T) {
	if recordKey != "_capdo_dedupe" {
		t.Errorf("the record is stored under %q", recordKey)
	}
}

// Known mistake: the caller's clock expires live entries. No message has a time in it, only a duration.
func TestMessageBytesArePinned(t *testing.T) {
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"putIfAbsent":    {encodePut(someOwner, 86_400_000), "01" + "000102030405060708090a0b0c0d0e0f" + "80b89929"},
		"look":           {encodeLook(), "01"},
		"forget":         {encodeForget([]byte{0xaa, 0xbb}), "01aabb"},
		"inserted":       {must(reply(encodeBool(true), nil)), "010001"},
		"not inserted":   {must(reply(encodeBool(false), nil)), "010000"},
		"done":           {must(reply(nil, nil)), "0100"},
		"refused":        {must(reply(nil, undone{errInjected})), "0101" + hex.EncodeToString([]byte("injected fault"))},
		"malformed":      {must(reply(nil, undone{ErrMalformed})), "0102"},
		"version":        {must(reply(nil, undone{ErrVersion})), "0103"},
		"corrupt record": {must(reply(nil, undone{ErrCorrupt})), "0104"},
		"invalid TTL":    {must(reply(nil, undone{dedupe.ErrInvalidTTL})), "0105"},
		"no SQL":         {must(reply(nil, undone{&chain{[]error{durable.ErrNoSQL}}})), "0106"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestErrorsKeepTheirIdentityInAReply(t *testing.T) {
	for _, want := range codes {
		if want == nil {
			continue
		}
		_, err := decodeReply(must(reply([]byte("ignored"), undone{want})))
		if !errors.Is(err, want) || !definite(err) {
			t.Errorf("%v arrives as %v", want, err)
		}
	}
	_, err := decodeReply(must(reply(nil, undone{errInjected})))
	if err == nil || err.Error() != errInjected.Error() || !definite(err) {
		t.Errorf("an error without a code arrives as %v", err)
	}
	if b, err := reply(nil, errInjected); b != nil || err != errInjected {
		t.Errorf("an error that may have changed something is not thrown: %q, %v", b, err)
	}
	if _, err := decodeReply([]byte{messageVersion, 250}); !errors.Is(err, ErrVersion) || !definite(err) {
		t.Errorf("a newer object's error arrives as %v", err)
	}
	for _, nonsense := range [][]byte{nil, {}, {messageVersion}, {9}, {9, 0, 1}} {
		if _, err := decodeReply(nonsense); err == nil || definite(err) {
			t.Errorf("reply %x: %v; want an error that leaves the outcome unknown", nonsense, err)
		}
	}
}

func TestMalformedPutMessageIsRefused(t *testing.T) {
	valid := encodePut(someOwner, 1000)
	withTTL := func(b ...byte) []byte { return append(bytes.Clone(valid[:17]), b...) }
	for name, c := range map[string]struct {
		msg  []byte
		want error
	}{
		"nothing":            {nil, ErrMalformed},
		"another version":    {append([]byte{2}, valid[1:]...), ErrVersion},
		"half an owner":      {valid[:9], ErrMalformed},
		"no TTL":             {withTTL(), ErrMalformed},
		"half a TTL":         {withTTL(0x80), ErrMalformed},
		"more than a TTL":    {append(bytes.Clone(valid), 0), ErrMalformed},
		"a TTL of 2^63":      {withTTL(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01), ErrMalformed},
		"a TTL that is more": {withTTL(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), ErrMalformed},
	} {
		if o, ttl, err := decodePut(c.msg); o != (owner{}) || ttl != 0 || err != c.want {
			t.Errorf("%s: %x, %d, %v; want %v", name, o, ttl, err, c.want)
		}
	}
}

func FuzzPutMessage(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Add(encodePut(someOwner, 1))
	f.Add(encodePut(someOwner, math.MaxInt64))
	f.Add(append(encodePut(someOwner, 1), 0))
	f.Add(append(encodePut(someOwner, 0)[:17], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f))
	f.Fuzz(func(t *testing.T, msg []byte) {
		o, ttl, err := decodePut(msg)
		if err != nil {
			if o != (owner{}) || ttl != 0 || err != ErrMalformed && err != ErrVersion {
				t.Fatalf("%x: %x, %d, %v", msg, o, ttl, err)
			}
			return
		}
		o2, ttl2, err := decodePut(encodePut(o, ttl))
		if o2 != o || ttl2 != ttl || err != nil || ttl < 0 {
			t.Fatalf("%x: %x %d, then %x %d, %v", msg, o, ttl, o2, ttl2, err)
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 1})
	f.Add([]byte{1, 1, 'x'})
	f.Add([]byte{1, 200})
	f.Add([]byte{7, 0})
	f.Fuzz(func(t *testing.T, msg []byte) {
		body, err := decodeReply(msg)
		if err == nil && !bytes.Equal(must(reply(body, nil)), msg) {
			t.Fatalf("%x: %x", msg, body)
		}
		if v, rest, err := cutBool(body); err == nil && !bytes.Equal(append(encodeBool(v), rest...), body) {
			t.Fatalf("%x: %v %x", body, v, rest)
		}
	})
}

// FuzzObject: whatever the messages are, an object answers or throws, and leaves a record or nothing behind.
func FuzzObject(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add(encodePut(someOwner, 1), encodePut(owner{}, 5))
	f.Add(encodePut(someOwner, 0), encodeForget(nil))
	f.Add(encodePut(someOwner, math.MaxInt64), encodeLook())
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := &fakeStorage{}
		o := &object{slot{storage: s, clock: func() int64 { return 1000 }}}
		for _, msg := range [][]byte{first, second} {
			for _, method := range []func(*object) ([]byte, error){
				func(o *object) ([]byte, error) { return o.putIfAbsent(t.Context(), msg) },
				func(o *object) ([]byte, error) { return o.look(t.Context(), msg) },
				func(o *object) ([]byte, error) { return o.forget(t.Context(), msg) },
			} {
				out, err := method(o)
				if err != nil {
					t.Fatalf("%x: thrown: %v", msg, err)
				}
				if _, err := decodeReply(out); err != nil && !definite(err) {
					t.Fatalf("%x: reply %x: %v", msg, out, err)
				}
				if !s.ok {
					continue
				}
				if r, err := decodeRecord(s.record); err != nil || s.alarm != r.expires {
					t.Fatalf("%x: stored %x, alarm %d: %v", msg, s.record, s.alarm, err)
				}
			}
		}
	})
}
