package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
)

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
		_, err := DecodeReply(must(Reply([]byte("ignored"), effect.None(want))))
		if !errors.Is(err, want) || !effect.Definite(err) {
			t.Errorf("%v arrives as %v", want, err)
		}
	}
	_, err := DecodeReply(must(Reply(nil, effect.None(faulty.ErrInjected))))
	if err == nil || err.Error() != faulty.ErrInjected.Error() || !effect.Definite(err) {
		t.Errorf("an error without a code arrives as %v", err)
	}
	if b, err := Reply(nil, faulty.ErrInjected); b != nil || err != faulty.ErrInjected {
		t.Errorf("an error after a possible change was not thrown: %q, %v", b, err)
	}
	if _, err := DecodeReply([]byte{messageVersion, 250}); !errors.Is(err, codec.ErrVersion) || !effect.Definite(err) {
		t.Errorf("a newer object's error arrives as %v", err)
	}
	for _, nonsense := range [][]byte{nil, {}, {messageVersion}, {9}, {9, 0, 1}} {
		if _, err := DecodeReply(nonsense); err == nil || effect.Definite(err) {
			t.Errorf("reply %x: %v; want an error with an unknown outcome", nonsense, err)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 1})
	f.Add([]byte{1, 1, 'x'})
	f.Add([]byte{1, 200})
	f.Add([]byte{7, 0})
	f.Fuzz(func(t *testing.T, msg []byte) {
		body, err := DecodeReply(msg)
		if err == nil && !bytes.Equal(must(Reply(bytes.Clone(body), nil)), msg) {
			t.Fatalf("%x: %x", msg, body)
		}
		if v, rest, err := CutBool(body); err == nil && !bytes.Equal(append(EncodeBool(v), rest...), body) {
			t.Fatalf("%x: %v %x", body, v, rest)
		}
	})
}

var someOwner = reservation.Owner{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// Known mistake: the caller's clock expires live entries. Messages contain only
// durations, never times.
func TestMessageBytesArePinned(t *testing.T) {
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"putIfAbsent":    {EncodePut(someOwner, 86_400_000), "01" + "000102030405060708090a0b0c0d0e0f" + "80b89929"},
		"lookKey":        {EncodeLook(), "01"},
		"forgetKey":      {EncodeForget([]byte{0xaa, 0xbb}), "01aabb"},
		"inserted":       {must(Reply(EncodeBool(true), nil)), "010001"},
		"not inserted":   {must(Reply(EncodeBool(false), nil)), "010000"},
		"done":           {must(Reply(nil, nil)), "0100"},
		"refused":        {must(Reply(nil, effect.None(faulty.ErrInjected))), "0101" + hex.EncodeToString([]byte("injected fault"))},
		"malformed":      {must(Reply(nil, effect.None(codec.ErrMalformed))), "0102"},
		"version":        {must(Reply(nil, effect.None(codec.ErrVersion))), "0103"},
		"corrupt record": {must(Reply(nil, effect.None(codec.ErrCorrupt))), "0104"},
		"invalid TTL":    {must(Reply(nil, effect.None(dedupe.ErrInvalidTTL))), "0105"},
		"no SQL":         {must(Reply(nil, effect.None(ErrNeedsSQLite))), "0106"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestMalformedPutMessageIsRefused(t *testing.T) {
	valid := EncodePut(someOwner, 1000)
	withTTL := func(b ...byte) []byte { return append(bytes.Clone(valid[:17]), b...) }
	for name, c := range map[string]struct {
		msg  []byte
		want error
	}{
		"nothing":                 {nil, codec.ErrMalformed},
		"another version":         {append([]byte{2}, valid[1:]...), codec.ErrVersion},
		"half an owner":           {valid[:9], codec.ErrMalformed},
		"no TTL":                  {withTTL(), codec.ErrMalformed},
		"half a TTL":              {withTTL(0x80), codec.ErrMalformed},
		"more than a TTL":         {append(bytes.Clone(valid), 0), codec.ErrMalformed},
		"a TTL of 2^63":           {withTTL(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01), codec.ErrMalformed},
		"a TTL that is too large": {withTTL(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), codec.ErrMalformed},
	} {
		if o, ttl, err := DecodePut(c.msg); o != (reservation.Owner{}) || ttl != 0 || !errors.Is(err, c.want) || !effect.Definite(err) {
			t.Errorf("%s: %x, %d, %v; want %v", name, o, ttl, err, c.want)
		}
	}
}

func FuzzPutMessage(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Add(EncodePut(someOwner, 1))
	f.Add(EncodePut(someOwner, math.MaxInt64))
	f.Add(append(EncodePut(someOwner, 1), 0))
	f.Add(append(EncodePut(someOwner, 0)[:17], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f))
	f.Fuzz(func(t *testing.T, msg []byte) {
		o, ttl, err := DecodePut(msg)
		if err != nil {
			if o != (reservation.Owner{}) || ttl != 0 || !errors.Is(err, codec.ErrMalformed) && !errors.Is(err, codec.ErrVersion) {
				t.Fatalf("%x: %x, %d, %v", msg, o, ttl, err)
			}
			return
		}
		o2, ttl2, err := DecodePut(EncodePut(o, ttl))
		if o2 != o || ttl2 != ttl || err != nil || ttl < 0 {
			t.Fatalf("%x: %x %d, then %x %d, %v", msg, o, ttl, o2, ttl2, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{1, 1, 1, 0})
	f.Add([]byte{2, 1, 1, 'r'})
	f.Add([]byte{3, 1, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := DecodeAnswer(body)
		if err == nil && !slices.Equal(EncodeAnswer(&a), body) {
			t.Fatalf("%x: %+v", body, a)
		}
	})
}
