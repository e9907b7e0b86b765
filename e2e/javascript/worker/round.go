package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"net/netip"
	"reflect"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// Sample has a field for each kind of JavaScript value.
type Sample struct {
	Bool   bool
	Int    int64
	Uint   uint64
	Float  float64
	Text   string
	Bytes  []byte
	At     time.Time
	Addr   netip.Addr
	Large  *big.Int
	Any    any
	List   []Sample
	Map    map[string]Sample
	Ints   map[int8]string
	Array  [2]string
	None   *Sample
	NoList []int
	NoMap  map[string]int
}

// samples are Go values that an object written in JavaScript sends back.
func samples() []any {
	at := time.UnixMilli(1_700_000_000_123)
	huge, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	inner := Sample{At: at, Addr: netip.MustParseAddr("::1"), Large: big.NewInt(7),
		Any: []any{nil, 1.5}}
	return []any{
		true, 0.0, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64,
		math.Inf(1), math.Inf(-1),
		int64(0), int64(1<<53 - 1), int64(1 << 53), int64(math.MaxInt64), int64(math.MinInt64),
		uint64(math.MaxUint64), int8(-128), float32(0.1),
		"", "é😀\x00", []byte{}, []byte{0, 255}, at, time.UnixMilli(-8_640_000_000_000_000),
		durable.BigInt("5"), durable.BigInt(huge.String()), netip.MustParseAddr("1.2.3.4"), huge,
		[]any{}, map[string]any{},
		[]any{nil, int64(1 << 60), uint64(1 << 63), durable.BigInt("1"), "a", []byte{1}},
		map[string]any{"__proto__": 1.0, "constructor": "c", "": nil, "then": []any{}},
		[]int{1}, [3]bool{true},
		inner, Sample{Bool: true, Int: math.MinInt64, Uint: math.MaxUint64, Float: -1e-7, Text: "t", Bytes: []byte{1}, At: at, Addr: netip.MustParseAddr("1.1.1.1"),
			Large: huge, Any: map[string]any{"k": true}, List: []Sample{inner},
			Map: map[string]Sample{"a b": inner}, Ints: map[int8]string{-1: "x"},
			Array: [2]string{"a"}},
	}
}

// round answers with the samples that came back changed, and with the number of
// samples.
func round(w http.ResponseWriter, r *http.Request) {
	changed := []string{}
	stub := durablehttp.Env(r).Object("ABACUS", "a")
	for _, v := range samples() {
		sent, encodeErr := durable.Encode(v)
		back, callErr := durable.Call[any](r.Context(), stub, "echo", v)
		got := reflect.New(reflect.TypeOf(v))
		decodeErr := durable.Decode(back, got.Interface())
		if encodeErr != nil || callErr != nil || decodeErr != nil ||
			!isSame(v, got.Elem().Interface()) {
			changed = append(changed,
				fmt.Sprintf("%#v, sent as %#v, came back as %#v: %v, %v, %v", v, sent, got.Elem(),
					encodeErr, callErr, decodeErr))
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"changed": changed, "samples": len(samples())})
}

// isSame compares values after encoding: times and big integers have several
// forms in Go.
func isSame(a, b any) bool {
	x, errX := durable.Encode(a)
	y, errY := durable.Encode(b)
	if f, ok := x.(float64); ok && math.Signbit(f) != math.Signbit(y.(float64)) {
		return false
	}
	return errX == nil && errY == nil && reflect.TypeOf(a) == reflect.TypeOf(b) &&
		fmt.Sprintf("%#v", plainTimes(x)) == fmt.Sprintf("%#v", plainTimes(y))
}

func plainTimes(v any) any {
	switch v := v.(type) {
	case time.Time:
		return v.UnixMilli()
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, plainTimes(e))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = plainTimes(e)
		}
		return out
	}
	return v
}
