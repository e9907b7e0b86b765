package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
)

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
