package jsrt

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func roundTrip(t *testing.T, v any) any {
	t.Helper()
	b, err := encode(nil, v)
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
		"nil":                                  {nil, nil},
		"booleans":                             {[]any{true, false}, []any{true, false}},
		"a small integer is a number":          {7, 7.0},
		"the largest safe integer is a number": {int64(1<<53 - 1), float64(1<<53 - 1)},
		"an integer beyond is a BigInt and exact": {int64(1 << 53), int64(1 << 53)},
		"so is the smallest":                      {int64(math.MinInt64), int64(math.MinInt64)},
		"infinity":                                {math.Inf(-1), math.Inf(-1)},
		"strings":                                 {[]any{"", "a", "\x00", "😀", strings.Repeat("long", 100)}, []any{"", "a", "\x00", "😀", strings.Repeat("long", 100)}},
		"bytes":                                   {[]byte{0, 255}, []byte{0, 255}},
		"times have ms":                           {time.UnixMilli(1234), time.UnixMilli(1234)},
		"maps":                                    {map[string]any{"a": []any{}, "": nil}, map[string]any{"a": []any{}, "": nil}},
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
		if b, err := encode(nil, v); err == nil {
			t.Errorf("%#v was encoded as %v", v, b)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range []any{nil, true, 1, "s", []byte("b"), []any{1, "x"}, map[string]any{"k": []any{nil}}, int64(math.MaxInt64), &Error{Name: "E"}} {
		b, _ := encode(nil, v)
		f.Add(b)
	}
	f.Add([]byte{tagArray, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.ContainsAny(b, string([]byte{tagRef})) {
			return // references need JavaScript
		}
		d := &decoder{b: b}
		v, err := d.value()
		if err != nil {
			return
		}
		if _, isPending := v.(pending); isPending {
			return
		}
		again, err := encode(nil, v)
		if err != nil {
			return // a string that was not UTF-8
		}
		w, err := (&decoder{b: again}).value()
		if err != nil {
			t.Fatalf("%v was decoded, but not after encoding it: %v", v, err)
		}
		if c, _ := encode(nil, w); len(c) != len(again) { // maps have no order, NaN is not itself: compare sizes
			t.Fatalf("%#v became %#v", v, w)
		}
	})
}
