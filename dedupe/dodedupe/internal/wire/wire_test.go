package wire

import (
	"bytes"
	"errors"
	"testing"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
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
