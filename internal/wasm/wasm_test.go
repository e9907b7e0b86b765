package wasm_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"flow.internal/capdo/internal/wasm"
)

const header = "\x00asm\x01\x00\x00\x00"

func TestMalformedModules(t *testing.T) {
	for _, module := range []string{"", "\x00asm", "no module", header + "\x0a", header + "\x0a\x02\x00",
		header + "\x0a\xff\xff\xff\xff\x0f", header + "\x0a\xff\xff\xff\xff\xff\x0f",
		header + "\x00\x06\x04name\x01", header + "\x0a\x02\x05\x07"} {
		if list, err := wasm.Functions([]byte(module)); !errors.Is(err, wasm.ErrMalformed) {
			t.Errorf("%q: %v, %v", module, list, err)
		}
	}
	if _, err := wasm.Functions([]byte(header)); !errors.Is(err, wasm.ErrNoNames) {
		t.Errorf("an empty module: %v", err)
	}
}

func TestFunctions(t *testing.T) {
	module := header +
		"\x02\x07\x01\x01m\x01i\x00\x00" + // imports a function
		"\x0a\x09\x02\x02\x00\x0b\x04\x00\x41\x00\x0b" + // two functions of 2 and 4 bytes
		"\x00\x0e\x04name\x01\x07\x02\x01\x01a\x02\x01b"
	list, err := wasm.Functions([]byte(module))
	if err != nil || len(list) != 2 || list[0] != (wasm.Function{Name: "a", Size: 2}) || list[1] != (wasm.Function{Name: "b", Size: 4}) {
		t.Errorf("%v, %v", list, err)
	}
}

func TestRewrite(t *testing.T) {
	module := []byte(header + "\x06\x01\x00\x07\x02ab")
	double := func(id byte, content []byte) ([]byte, error) {
		if id == wasm.Export {
			return append(bytes.Clone(content), content...), nil
		}
		return content, nil
	}
	got, err := wasm.Rewrite(module, double)
	if want := header + "\x06\x01\x00\x07\x04abab"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	failed := errors.New("failed")
	if _, err := wasm.Rewrite(module, func(byte, []byte) ([]byte, error) { return nil, failed }); err != failed {
		t.Errorf("%v", err)
	}
}

func TestInt(t *testing.T) {
	for text, want := range map[string]int64{
		"\x00": 0, "\x3f": 63, "\x40": -64, "\x7f": -1, "\xc0\x00": 64, "\x80\x7f": -128,
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00":     math.MaxInt64,
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f":     math.MinInt64,
		"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00": 0, // too long
		"\x80": 0, // too short
	} {
		r := wasm.NewReader([]byte(text))
		if got := r.Int(); got != want || r.Failed() != (len(text) > 10 || text == "\x80") {
			t.Errorf("% x: %d, failed %v, want %d", text, got, r.Failed(), want)
		}
	}
}
