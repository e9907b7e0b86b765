package durable

import (
	"errors"
	"math"
	"testing"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// What serialization makes of the values was measured with workerd 2026-11-17, from its message about RPC arguments that are too large: 8 to 20
// bytes for the whole, and for each value inside another as given here.
func TestValuesAreMeasuredAsTheyAreStored(t *testing.T) {
	for name, c := range map[string]struct {
		value    any
		want     int
		measured int // of serialization, without what it adds to the whole; 0 where that was not measured
	}{
		"nil":                               {nil, 1, 0},
		"ASCII has one byte a character":    {"abc", 3, 3},
		"and so has what is below U+0100":   {"né\u00ff", 3, 3},
		"else each UTF-16 unit has two":     {"né中", 6, 6},
		"of which an emoji has two":         {"a😀", 6, 6},
		"bad UTF-8 becomes U+FFFD":          {"a\xff", 4, 0},
		"bytes":                             {make([]byte, 1000), 1000, 1000},
		"a list of fractions":               {[]any{0.5, 1.5}, 18, 18},
		"a list of whole numbers":           {[]any{int64(1), 2.0}, 20, 0},
		"a list of a BigInt":                {[]any{int64(math.MaxInt64)}, 11, 10},
		"a list of times":                   {[]any{time.UnixMilli(1)}, 9, 9},
		"a list of lists":                   {[]any{[]any{0.5}}, 9 + 12, 14},
		"a list of objects":                 {[]any{map[string]any{"k": 0.5}}, 9 + 8 + 12, 15},
		"an object with a list and a bytes": {map[string]any{"ab": []any{"c"}, "d": []byte{1}}, 2 + 7 + (1 + 7) + 12 + 1 + 7 + 1 + 15, 0},
	} {
		n, err := valueSize(c.value)
		if n != c.want || n < c.measured || err != nil {
			t.Errorf("%s: %d, %v; want %d, %d at least", name, n, err, c.want, c.measured)
		}
	}
}

func TestValueSizeRefusesWhatCannotBeStored(t *testing.T) {
	for _, v := range []any{func() {}, struct{}{}, time.Unix(0, 1), []any{complex(1, 1)}, map[string]any{"k": uint8(1)}} {
		if _, err := valueSize(v); !errors.Is(err, ErrValue) {
			t.Errorf("%T: %v", v, err)
		}
	}
}

func TestErrorAmongValuesIsRefused(t *testing.T) {
	failure := &jsrt.Error{Name: "Error", Message: "stored"}
	for _, v := range []any{failure, []any{1.0, failure}, map[string]any{"a": []any{failure}}} {
		var got any
		if err := Decode(v, &got); !errors.Is(err, ErrValue) {
			t.Errorf("%#v became %#v, %v", v, got, err)
		}
	}
}
