package flowseal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func secret(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, KeySize))
}

func parse(t *testing.T, text string) *Keys {
	t.Helper()
	k, err := ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t *testing.T, k *Keys, text, about string) []byte {
	t.Helper()
	sealed, err := k.Seal([]byte(text), []byte(about))
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 8 && bytes.Contains(sealed, []byte(text)) {
		t.Error("the sealed text contains the plain text")
	}
	return sealed
}

func TestSealedTextOpens(t *testing.T) {
	k := parse(t, "a:"+secret(1))
	for _, text := range []string{"", "x", `{"card":"4242424242424242"}`, strings.Repeat("long", 1<<16)} {
		one, two := seal(t, k, text, "run 1"), seal(t, k, text, "run 1")
		if bytes.Equal(one, two) {
			t.Error("sealing a text twice gives the same result")
		}
		if got, err := k.Open(one, []byte("run 1")); string(got) != text || err != nil {
			t.Errorf("%.20q, %v", got, err)
		}
		if len(one) > len(text)+100 {
			t.Errorf("%d bytes more", len(one)-len(text))
		}
	}
}

func TestChangedTextDoesNotOpen(t *testing.T) {
	k := parse(t, "a:"+secret(1)+",b:"+secret(2))
	sealed := seal(t, k, "the text", "run 1")
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if text, err := k.Open(changed, []byte("run 1")); err == nil || text != nil {
			t.Errorf("with byte %d changed: %q, %v", i, text, err)
		}
		if text, err := k.Open(sealed[:i], []byte("run 1")); err == nil || text != nil {
			t.Errorf("%d bytes: %q, %v", i, text, err)
		}
	}
	if _, err := k.Open(sealed, []byte("run 2")); !errors.Is(err, ErrOpen) {
		t.Errorf("another run's: %v", err)
	}
	if _, err := parse(t, "a:"+secret(2)).Open(sealed, []byte("run 1")); !errors.Is(err, ErrOpen) {
		t.Errorf("another key with the same id: %v", err)
	}
	swapped := bytes.Clone(sealed)
	swapped[2] = 'b'
	if _, err := k.Open(swapped, []byte("run 1")); !errors.Is(err, ErrOpen) {
		t.Errorf("another key's id: %v", err)
	}
}

func TestKeysAreReplaced(t *testing.T) {
	old, both, fresh := parse(t, "old:"+secret(1)), parse(t, "new:"+secret(2)+", old:"+secret(1)), parse(t, "new:"+secret(2))
	before, after := seal(t, old, "the text", "run"), seal(t, both, "the text", "run")
	for _, sealed := range [][]byte{before, after} {
		if text, err := both.Open(sealed, []byte("run")); string(text) != "the text" || err != nil {
			t.Errorf("%q, %v", text, err)
		}
	}
	if _, err := old.Open(after, []byte("run")); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("the old key alone: %v", err)
	}
	if _, err := fresh.Open(before, []byte("run")); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("without the old key: %v", err)
	}
	if !bytes.Equal(both.Digest([]byte("x")), fresh.Digest([]byte("x"))) || bytes.Equal(old.Digest([]byte("x")), fresh.Digest([]byte("x"))) {
		t.Error("a digest does not use the first key")
	}
}

func TestKeysThatAreNone(t *testing.T) {
	const hidden = "c2VjcmV0"
	for _, text := range []string{"", hidden, "a:", "a:" + hidden, ":" + secret(1), "a b:" + secret(1), strings.Repeat("a", 33) + ":" + secret(1),
		"a:" + secret(1) + ",", "a:" + secret(1) + ",a:" + secret(2), "a:" + secret(1)[1:]} {
		k, err := ParseKeys(text)
		if k != nil || err == nil || strings.Contains(err.Error(), hidden) || strings.Contains(err.Error(), secret(1)) || !strings.Contains(err.Error(), "hint: ") {
			t.Errorf("%q: %v, %v", text, k, err)
		}
	}
}
