//go:build !js

package flow

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"sync/atomic"
	"testing"
)

func TestNumbersHaveOneForm(t *testing.T) {
	for spelled, want := range map[string]string{
		// RFC 8785, appendix B
		"-0": "0", "5e-324": "5e-324", "-5E-324": "-5e-324", "1.7976931348623157e308": "1.7976931348623157e+308",
		"9007199254740992": "9007199254740992", "295147905179352830000": "295147905179352830000",
		"9.999999999999997e22": "9.999999999999997e+22", "1e23": "1e+23", "1000000000000000000000000": "1e+24",
		"0.000001": "0.000001", "0.0000001": "1e-7", "333333333.3333332": "333333333.3333332",
		"999999999999999700000": "999999999999999700000", "1e21": "1e+21", "100000000000000000000": "100000000000000000000",
		// spellings of one value
		"100": "100", "100.0": "100", "1e2": "100", "1E+2": "100", "10000e-2": "100", "0.001e5": "100", "1.50": "1.5", "0.0e9": "0", "-0.0": "0",
		"-1.25e1": "-12.5",
		// more digits than a float64 has
		"9007199254740993": "9007199254740993", "9007199254740993.0": "9007199254740993", "0.1000000000000000055": "0.1000000000000000055",
		"1e400": "1e+400", "10e399": "1e+400", "0e99999999999": "0",
	} {
		got, err := canonicalNumber(spelled)
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", spelled, got, err, want)
		}
		if again, err := canonicalNumber(string(got)); err != nil || again != got {
			t.Errorf("%s is not canonical: %s, %v", got, again, err)
		}
	}
	if got, err := canonicalNumber("1e99999999999"); err == nil {
		t.Errorf("an exponent that is too large to compute with: %s", got)
	}
}

// FuzzNumber compares the form of float64s with encoding/json, which uses
// ECMAScript's form.
func FuzzNumber(f *testing.F) {
	for _, v := range []float64{0, 1, -1.5, 1e21, 1e-6, 1e-7, math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53} {
		f.Add(math.Float64bits(v))
	}
	f.Fuzz(func(t *testing.T, bits uint64) {
		v := math.Float64frombits(bits)
		want, err := json.Marshal(v)
		if err != nil || v == 0 {
			return
		}
		for _, format := range []byte("efg") {
			if got, err := canonicalNumber(strconv.FormatFloat(v, format, -1, 64)); err != nil || string(got) != string(want) {
				t.Errorf("%c: %s, %v; want %s", format, got, err, want)
			}
		}
	})
}

func TestOneIdIsOnePayment(t *testing.T) {
	var n atomic.Int64
	p, b := one(t, ExactlyOnce, counted(&n, nil)), memory()
	p.steps[1].handler = Handler{Run: func(_ context.Context, in json.RawMessage) (json.RawMessage, error) {
		n.Add(1)
		return []byte(`"charged"`), nil
	}}
	for _, id := range []string{"100", "100.0", "1e2", "1E2"} {
		want(t, p, b, `{"id":`+id+`,"amount":5.0}`, `"charged"`)
	}
	if n.Load() != 1 {
		t.Errorf("charged %d times", n.Load())
	}
	for _, id := range []string{`"100"`, "101", "9007199254740992", "9007199254740993", `"é"`, `"\u0065\u0301"`, `"\ud83d\ude00"`, `"\ud83d\ude01"`, `"\ufffd"`} {
		before := n.Load()
		want(t, p, b, `{"id":`+id+`,"amount":5}`, `"charged"`)
		if n.Load() != before+1 {
			t.Errorf("%s is confused with another id", id)
		}
	}
	want(t, p, b, `{"id":"😀","amount":5}`, `"charged"`) // another spelling
	if n.Load() != 10 {
		t.Errorf("charged %d times", n.Load())
	}
}

func TestTextThatStandsForNoValueIsRefused(t *testing.T) {
	var n atomic.Int64
	p, b := one(t, ExactlyOnce, counted(&n, nil)), memory()
	for _, text := range []string{"\xe9", "\xe8", "\xed\xa0\x80", "\xff", `\ud800`, `\udfff`, `\uD83Dx`, `\ud83d\n`, `\ude00\ud83d`, `\\\ud800`, `\ud800\ud800\udc00`} {
		wantError(t, p, b, `{"id":"order-`+text+`","amount":5}`, ErrInput)
		wantError(t, p, b, `{"id":"a","amount":5,"more":["`+text+`"]}`, ErrInput)
		wantError(t, p, b, `{"id":"a","amount":5,"`+text+`":1}`, ErrInput)
	}
	wantError(t, p, b, `{"id":1e99999999999,"amount":5}`, ErrInput)
	if n.Load() != 0 {
		t.Error("it ran")
	}
	want(t, p, b, `{"id":"\\ud800 \"\\","amount":5}`, `"run 1"`)

	broken := one(t, ExactlyOnce, counted(&n, nil))
	for _, text := range []string{"\xe9", `\ud800`} {
		broken.steps[1].handler = Handler{Run: func(context.Context, json.RawMessage) (json.RawMessage, error) { return []byte(`"` + text + `"`), nil }}
		wantError(t, broken, memory(), pay1, ErrOutput)
		broken.steps[0].handler = broken.steps[1].handler
		_, err := broken.Run(t.Context(), memory(), []byte(pay1))
		if node := (*NodeError)(nil); !errors.As(err, &node) || node.Node != "in" || !errors.Is(err, ErrOutput) {
			t.Errorf("an entry without an output value: %v", err)
		}
		broken.steps[0].handler = echo()
	}
}
