package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// returnValues sends n generated values to JavaScript, which returns each of
// them directly and as a promise. It compares the results.
func returnValues(host *jsrt.Ref, seed uint64, n int) (any, error) {
	g := &generator{rand.New(rand.NewPCG(seed, 1)), host}
	for i := range n {
		v := g.value(0)
		got, err := host.Call("same", v)
		if e, isError := v.(*jsrt.Error); isError {
			got, err = err, nil
			if got == nil || dump(got) != dump(e) {
				return nil, fmt.Errorf("seed %d, value %d: %s came back as %s", seed, i,
					clip(dump(e)), clip(dump(got)))
			}
			continue
		}
		if err != nil || dump(got) != dump(v) {
			return nil, fmt.Errorf("seed %d, value %d: %s came back as %s, %v", seed, i,
				clip(difference(dump(v), dump(got))), clip(difference(dump(got), dump(v))), err)
		}
	}
	return n, nil
}

// difference shows where a differs from b.
func difference(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return a[max(0, i-40):]
}

func clip(s string) string { return s[:min(len(s), 300)] }

// generator makes Go values that have an equivalent in JavaScript.
type generator struct {
	*rand.Rand
	host *jsrt.Ref
}

func (g *generator) value(depth int) any {
	n := 16
	if depth > 4 {
		n = 11
	}
	switch g.IntN(n) {
	case 0:
		return nil
	case 1:
		return g.IntN(2) == 0
	case 2:
		return g.float()
	case 3:
		return int64(g.Uint64() >> g.IntN(64))
	case 4, 5, 6:
		return g.string()
	case 7:
		return g.bytes()
	case 8:
		return time.UnixMilli(g.Int64N(2*8_640_000_000_000_000) - 8_640_000_000_000_000)
	case 9:
		return g.host
	case 10:
		return g.error()
	case 11, 12:
		list := make([]any, g.IntN(6))
		for i := range list {
			list[i] = g.value(depth + 1)
		}
		return list
	case 13:
		return g.nested(1 + g.IntN(490))
	}
	m := map[string]any{}
	for range g.IntN(6) {
		m[g.key()] = g.value(depth + 1)
	}
	return m
}

func (g *generator) float() float64 {
	special := []float64{0, math.Copysign(0, -1), 1, -1, math.NaN(), math.Inf(1), math.Inf(-1),
		math.MaxFloat64, math.SmallestNonzeroFloat64, 1<<53 - 1}
	if i := g.IntN(20); i < len(special) {
		return special[i]
	}
	return math.Float64frombits(g.Uint64())
}

var alphabet = []rune("ab\x00\"\\é€😀\uFEFF\uFFFD\u2028")

func (g *generator) string() string {
	n := []int{0, 1, 5, 24, 25, 100, 4090, 4096, 5000, 20_000}[g.IntN(10)]
	if g.IntN(2) == 0 {
		return strings.Repeat("x", n)
	}
	var b strings.Builder
	for range n {
		b.WriteRune(alphabet[g.IntN(len(alphabet))])
	}
	return b.String()
}

func (g *generator) key() string {
	if names := []string{"__proto__", "constructor", "toString",
		"length", "name", "", "0"}; g.IntN(3) == 0 {
		return names[g.IntN(len(names))]
	}
	return g.string()
}

func (g *generator) bytes() []byte {
	b := make([]byte, []int{0, 1, 7, 100, 4095, 4096, 16_383, 16_384, 40_000}[g.IntN(9)])
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g *generator) error() *jsrt.Error {
	text := func() string { // JavaScript keeps 16,384 units of an error's text
		s := []rune(g.string())
		return string(s[:min(len(s), 8000)])
	}
	return &jsrt.Error{Name: text(), Message: text(),
		Props: map[string]any{"code": text(), "retryable": true, "__proto__": "p", "n": 1.5}}
}

func (g *generator) nested(n int) any {
	var v any = g.float()
	for i := range n {
		if i%2 == 0 {
			v = []any{v}
		} else {
			v = map[string]any{"v": v}
		}
	}
	return v
}
