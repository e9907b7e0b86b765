package durable

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// encoding/json writes values as JavaScript does, with the exceptions that the
// test replaces, and -0.
func TestSizesOfJSONAreExact(t *testing.T) {
	text := rapid.StringN(0, 20, -1)
	scalar := rapid.OneOf(rapid.Just(any(nil)), rapid.Bool().AsAny(), text.AsAny(),
		rapid.Map(rapid.Float64(), func(f float64) any { return f + 0 }), rapid.Int64Range(-maxSafeInteger, maxSafeInteger).AsAny(),
		rapid.SampledFrom([]any{0.0, 1e20, 1e21, 123456789e-14, 1e-6, 1e-7, -5e-324, math.MaxFloat64, "\b\f\n\r\t\x00\x1f\x7f\"\\/<>&"}))
	rapid.Check(t, func(t *rapid.T) {
		v := any(map[string]any{
			"list": rapid.SliceOfN(scalar, 0, 4).Draw(t, "list"),
			"map":  rapid.MapOfN(text, scalar, 0, 4).Draw(t, "map"),
		})
		got, refusal := jsonSize(v)
		if refusal != nil {
			t.Fatal(refusal)
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		want := strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029", "\n", "").Replace(b.String())
		if got != len(want) {
			t.Fatalf("%s has %d bytes, not %d", want, len(want), got)
		}
	})
}

func TestWhatJSONWouldChangeIsRefused(t *testing.T) {
	for _, c := range []struct {
		body any
		what string
	}{
		{[]byte("x"), "a Uint8Array"},
		{time.UnixMilli(0), "a Date"},
		{int64(1 << 53), "a BigInt"},
		{uint64(1 << 63), "a BigInt"},
		{BigInt("18446744073709551616"), "a BigInt"},
		{math.NaN(), "a number that is not finite"},
		{math.Inf(-1), "a number that is not finite"},
		{[]any{1, map[string]any{"secret": []byte("x")}}, "a Uint8Array"},
	} {
		_, _, _, err := encodeMessage(c.body, QueueJSON)
		if !errors.Is(err, ErrValue) || !strings.HasPrefix(err.Error(), "durable: JSON would change "+c.what+"; hint: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%T: %v", c.body, err)
		}
		if _, _, _, err := encodeMessage(c.body, QueueV8); err != nil {
			t.Errorf("%T as V8: %v", c.body, err)
		}
	}
}

func TestSizesOfMessagesAreLimited(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	for contentType, largest := range map[string]any{"": text(MaxQueueMessageSize - 2), QueueJSON: text(MaxQueueMessageSize - 2),
		QueueText: text(MaxQueueMessageSize), QueueBytes: []byte(text(MaxQueueMessageSize)), QueueV8: text(MaxQueueMessageSize)} {
		if _, _, size, err := encodeMessage(largest, contentType); size != MaxQueueMessageSize || err != nil {
			t.Errorf("%s: %d, %v", contentType, size, err)
		}
		larger := any(append([]byte(nil), text(MaxQueueMessageSize+1)...))
		if s, ok := largest.(string); ok {
			larger = s + "x"
		}
		var limit *LimitError
		if _, _, _, err := encodeMessage(larger, contentType); !errors.As(err, &limit) || limit.Max != MaxQueueMessageSize || limit.Actual != MaxQueueMessageSize+1 {
			t.Errorf("%s: %v", contentType, err)
		}
	}
}

func TestMinusZeroIsSentAsZero(t *testing.T) {
	if n, err := jsonSize(math.Copysign(0, -1)); n != len("0") || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
