//go:build !js

package dodedupe

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// These messages are in use between programs of different age. No message has a time of the caller in it, only durations.
func TestLedgerMessageBytesArePinned(t *testing.T) {
	sent := map[string]string{}
	f := &fakeLedgerObjects{}
	call := func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
		out, err := f.call(ctx, object, method, msg)
		sent[method] = hex.EncodeToString(msg)
		return out, err
	}
	for _, m := range []Mapping{PerKey(), Buckets(1)} {
		l, err := newLedger(call, &LedgerOptions{Mapping: m})
		if err != nil {
			t.Fatal(err)
		}
		key, o := []byte("k"), dedupe.ClaimOptions{Owner: "ow", Fingerprint: []byte("f"), Lease: time.Second, TTL: time.Minute}
		claim, err := l.Claim(t.Context(), key, o)
		if err != nil {
			t.Fatal(err)
		}
		fence := hex.EncodeToString(appendNumbers(nil, claim.Fence))
		if err := errors.Join(l.Extend(t.Context(), claim, time.Second), l.Complete(t.Context(), claim, []byte("res")), l.Forget(t.Context(), key)); err != nil {
			t.Fatal(err)
		}
		l.Release(t.Context(), claim)
		inside := "00"
		if m != PerKey() {
			inside = "016b"
		}
		want := map[string]string{
			methodClaim:    "01" + inside + "026f77" + "0166" + "e807" + "e0d403",
			methodExtend:   "01" + inside + "026f77" + fence + "e807",
			methodComplete: "01" + inside + "026f77" + fence + "726573",
			methodRelease:  "01" + inside + "026f77" + fence,
			methodSeek:     "01" + inside,
			methodDrop:     "01" + inside + "01" + fence,
		}
		for method, w := range want {
			if sent[method] != w {
				t.Errorf("%v, %s: %s, want %s", m, method, sent[method], w)
			}
		}
	}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"acquired":    {encodeAnswer(&answer{dedupe.Acquired, entry{number: 1000, attempt: 2, takenOver: true}, 0}), "01e8070201"},
		"replay":      {encodeAnswer(&answer{dedupe.Replay, entry{attempt: 2, until: 1000, result: []byte("res")}, 0}), "0202e807726573"},
		"in progress": {encodeAnswer(&answer{dedupe.InProgress, entry{attempt: 2}, 1000}), "0302e807"},
		"mismatch":    {must(reply(nil, undone{dedupe.ErrMismatch})), "0107"},
		"fenced":      {must(reply(nil, undone{dedupe.ErrFenced})), "0108"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A newer client's message is refused, and nothing is changed: the client can say so, and fall back.
func TestMessageOfAnotherVersionOrMalformedIsRefused(t *testing.T) {
	whole := appendNumbers(message("k", "owner", "f"), 1000, 5000)
	for name, c := range map[string]struct {
		msg  []byte
		want error
	}{
		"nothing": {nil, ErrMalformed}, "a newer version": {append([]byte{2}, whole[1:]...), ErrVersion}, "a part": {whole[:len(whole)-3], ErrMalformed},
		"more": {append(slices.Clone(whole), 0), ErrMalformed}, "a number in another form": {append(whole[:len(whole)-2:len(whole)-2], 0x88, 0x80, 0), ErrMalformed},
	} {
		many := newFakeTable()
		o := &ledgerObject{one: book{table: newFakeTable(), clock: unixMilli}, many: book{table: many, clock: unixMilli}}
		out, err := o.claim(t.Context(), c.msg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeReply(out); !errors.Is(err, c.want) || !definite(err) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if len(many.ops) != 0 {
			t.Errorf("%s: the table saw %v", name, many.ops)
		}
	}
}

// A newer object's answer, or its error, is no success: the outcome is unknown, or it says that nothing was changed.
func TestAnswerOfANewerObjectIsNotMisread(t *testing.T) {
	for _, c := range []struct {
		answer  []byte
		unknown bool
	}{
		{[]byte{2, 0, 1, 1, 1, 0}, true}, {[]byte{messageVersion, doneCode, 9, 1}, true}, {[]byte{messageVersion, doneCode, 1, 1, 1, 0, 7}, true},
		{[]byte{messageVersion, 200}, false},
	} {
		l, err := newLedger(func(context.Context, string, string, []byte) ([]byte, error) { return c.answer, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		claim, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Second})
		if claim.Outcome != 0 || err == nil || errors.Is(err, dedupe.ErrUnknownOutcome) != c.unknown {
			t.Errorf("answer %x: %v, %v", c.answer, claim.Outcome, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{1, 1, 1, 0})
	f.Add([]byte{2, 1, 1, 'r'})
	f.Add([]byte{3, 1, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := decodeAnswer(body)
		if err == nil && !slices.Equal(encodeAnswer(&a), body) {
			t.Fatalf("%x: %+v", body, a)
		}
	})
}
