package jsrt

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func roundTrip(t *testing.T, v any) any {
	t.Helper()
	b, err := encode(nil, nil, v)
	if err != nil {
		t.Fatalf("encoding %v: %v", v, err)
	}
	d := &decoder{b: b}
	got, err := d.value()
	if err != nil || len(d.b) != 0 {
		t.Fatalf("decoding %v: %v, %d bytes left", v, err, len(d.b))
	}
	return got
}

func TestValuesRoundTrip(t *testing.T) {
	for name, c := range map[string]struct{ in, out any }{
		"nil":                              {nil, nil},
		"booleans":                         {[]any{true, false}, []any{true, false}},
		"a small integer becomes a number": {7, 7.0},
		"the largest safe integer becomes a number":    {int64(1<<53 - 1), float64(1<<53 - 1)},
		"a larger integer becomes an exact BigInt":     {int64(1 << 53), int64(1 << 53)},
		"the smallest integer becomes an exact BigInt": {int64(math.MinInt64), int64(math.MinInt64)},
		"infinity":      {math.Inf(-1), math.Inf(-1)},
		"strings":       {[]any{"", "a", "\x00", "😀", strings.Repeat("long", 100)}, []any{"", "a", "\x00", "😀", strings.Repeat("long", 100)}},
		"bytes":         {[]byte{0, 255}, []byte{0, 255}},
		"times have ms": {time.UnixMilli(1234), time.UnixMilli(1234)},
		"maps":          {map[string]any{"a": []any{}, "": nil}, map[string]any{"a": []any{}, "": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := roundTrip(t, c.in); !reflect.DeepEqual(got, c.out) {
				t.Errorf("%#v became %#v, want %#v", c.in, got, c.out)
			}
		})
	}
}

func TestErrorKeepsNameMessageAndProperties(t *testing.T) {
	in := &Error{Name: "TypeError", Message: "no", Props: map[string]any{"retryable": true, "code": "E7"}}
	got, ok := roundTrip(t, in).(*Error)
	if !ok || got.Name != "TypeError" || got.Error() != "no" || !got.Flag("retryable") || got.Flag("overloaded") || got.Props["code"] != "E7" {
		t.Errorf("%#v", got)
	}
}

func TestWhatWouldChangeIsRefused(t *testing.T) {
	for _, v := range []any{"\xff", []any{"\xff"}, map[string]any{"\xff": 1}, struct{}{}, uint8(1)} {
		if b, err := encode(nil, nil, v); err == nil {
			t.Errorf("%#v was encoded as %v", v, b)
		}
	}
}

func TestForeignReferencesAreRefused(t *testing.T) {
	c, other := &Context{id: 1}, &Context{id: 2}
	own, foreign, gone := &Ref{c: c, index: 3}, &Ref{c: other, index: 3}, &Ref{c: c, index: 4}
	gone.Release()
	for _, in := range []func(*Ref) any{
		func(r *Ref) any { return r },
		func(r *Ref) any { return []any{1, []any{r}} },
		func(r *Ref) any { return map[string]any{"a": map[string]any{"b": r}} },
	} {
		if _, err := encode(nil, c, in(own)); err != nil {
			t.Error(err)
		}
		if _, err := encode(nil, c, in(foreign)); !errors.Is(err, ErrForeignHandle) {
			t.Errorf("a reference from another context: %v", err)
		}
		if _, err := encode(nil, c, in(gone)); !errors.Is(err, errReleased) {
			t.Errorf("a released reference: %v", err)
		}
	}
}

func TestDepthIsLimitedBothWays(t *testing.T) {
	nest := func(n int) (v any, b []byte) {
		for i := range n {
			if i%2 == 0 {
				v = []any{v}
			} else {
				v = map[string]any{"k": v}
			}
		}
		for i := range n {
			if (n-1-i)%2 == 0 {
				b = append(b, tagArray, 1, 0, 0, 0)
			} else {
				b = append(b, tagObject, 1, 0, 0, 0, 1, 0, 0, 0, 'k')
			}
		}
		return v, append(b, tagNull)
	}
	v, b := nest(maxDepth)
	if enc, err := encode(nil, nil, v); err != nil || !bytes.Equal(enc, b) {
		t.Errorf("%d deep: %v", maxDepth, err)
	}
	if got, err := (&decoder{b: b}).value(); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("%d deep: %v", maxDepth, err)
	}
	for _, n := range []int{maxDepth + 1, 1_000_000} {
		v, b := nest(n)
		if _, err := encode(nil, nil, v); err != errTooDeep {
			t.Errorf("encoding %d deep: %v", n, err)
		}
		if _, err := (&decoder{b: b}).value(); err != errTooDeep {
			t.Errorf("decoding %d deep: %v", n, err)
		}
	}
	list := make([]any, 1)
	list[0] = list
	if _, err := encode(nil, nil, list); err != errTooDeep {
		t.Errorf("a value that contains itself: %v", err)
	}
}

func TestTrailingBytesAreMalformed(t *testing.T) {
	b, _ := encode(nil, nil, []any{"a"})
	for _, b := range [][]byte{append(b[:len(b):len(b)], 0), b[:len(b)-1], {tagError, tagNull}, nil} {
		if v, err := outcome(&decoder{b: b}); err != errMalformed {
			t.Errorf("%v became %v, %v", b, v, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range []any{nil, true, 1, "s", []byte("b"), []any{1, "x"}, map[string]any{"k": []any{nil}}, int64(math.MaxInt64), &Error{Name: "E"}} {
		b, _ := encode(nil, nil, v)
		f.Add(b)
	}
	f.Add([]byte{tagArray, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := &decoder{b: b}
		v, err := d.value()
		if err != nil {
			return
		}
		if _, isPending := v.(pending); isPending {
			return
		}
		again, err := encode(nil, nil, v)
		if err != nil {
			return // for example a string that is not UTF-8, a promise in a value, or a released reference
		}
		w, err := (&decoder{b: again}).value()
		if err != nil {
			t.Fatalf("%v was decoded, but not after encoding it: %v", v, err)
		}
		if c, _ := encode(nil, nil, w); len(c) != len(again) { // maps have no order, and NaN != NaN: compare sizes
			t.Fatalf("%#v became %#v", v, w)
		}
	})
}

// builder makes a value from a fuzzer's bytes.
type builder struct{ b []byte }

func (g *builder) take(n int) []byte {
	n = min(n, len(g.b))
	b := g.b[:n]
	g.b = g.b[n:]
	return b
}

func (g *builder) byte() byte {
	if len(g.b) == 0 {
		return 0
	}
	return g.take(1)[0]
}

func (g *builder) uint64() (n uint64) {
	for _, b := range g.take(8) {
		n = n<<8 | uint64(b)
	}
	return n
}

func (g *builder) string() string { return strings.ToValidUTF8(string(g.take(int(g.byte()))), "?") }

// value returns a value, and the expected value after a round trip.
func (g *builder) value(depth int) (in, out any) {
	kind := g.byte() % 12
	if depth > 20 && kind > 8 {
		kind = 0
	}
	switch kind {
	case 1:
		return true, true
	case 2:
		return false, false
	case 3:
		f := math.Float64frombits(g.uint64())
		if f != f {
			f = 0 // NaN is not equal to itself
		}
		return f, f
	case 4:
		n := int64(g.uint64())
		if n > maxSafeInteger || n < -maxSafeInteger {
			return n, n
		}
		return n, float64(n)
	case 5:
		s := g.string()
		return s, s
	case 6:
		b := append([]byte{}, g.take(int(g.byte()))...)
		return b, b
	case 7:
		t := time.UnixMilli(int64(g.uint64()) % maxDate)
		return t, t
	case 8:
		text := g.string()
		e := &Error{Name: g.string(), Message: text, Props: map[string]any{"__proto__": text}}
		return e, e
	case 9, 10:
		in, out := make([]any, g.byte()%8), []any{}
		for i := range in {
			v, w := g.value(depth + 1)
			in[i], out = v, append(out, w)
		}
		return in, out
	case 11:
		in, out := map[string]any{}, map[string]any{}
		for range g.byte() % 8 {
			k := g.string()
			in[k], out[k] = g.value(depth + 1)
		}
		return in, out
	}
	return nil, nil
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{9, 3, 5, 1, 'a', 11, 1, 1, 'k', 4, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1, 'm', 1, 'n'})
	f.Add([]byte{10, 4, 6, 2, 0, 255, 7, 0, 0, 0, 0, 0, 0, 0, 1, 3, 127, 240, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, want := (&builder{b}).value(0)
		enc, err := encode([]byte("before"), nil, in)
		if err != nil {
			t.Fatalf("%#v: %v", in, err)
		}
		for _, alias := range []bool{false, true} {
			d := &decoder{b: enc[len("before"):], alias: alias}
			if got, err := d.value(); err != nil || len(d.b) > 0 || !reflect.DeepEqual(got, want) {
				t.Fatalf("%#v became %#v, %v, with %d bytes left", in, got, err, len(d.b))
			}
		}
		for n := range min(len(enc)-len("before"), 200) { // a cut encoding is malformed, or decodes to less
			if got, err := (&decoder{b: enc[len("before"):][:n]}).value(); err == nil {
				t.Fatalf("%d bytes of %#v are %#v", n, in, got)
			}
		}
	})
}
