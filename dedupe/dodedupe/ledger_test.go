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
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
)

func TestLedgerPerKey(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger { return fakeLedger(t, &fakeLedgerObjects{}, PerKey()) })
}

func TestLedgerInBuckets(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger { return fakeLedger(t, &fakeLedgerObjects{}, Buckets(3)) })
}

func TestSequencer(t *testing.T) {
	dedupetest.TestSequencer(t, func(t *testing.T) dedupe.Sequencer { return newSequencer((&fakeLedgerObjects{}).call, nil) })
}

func TestLedgerWithLostMessages(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger {
		l := fakeLedger(t, &fakeLedgerObjects{}, Buckets(2))
		l.call = (&fakeLedgerObjects{}).lossy()
		return l
	})
}

func TestSequencerWithLostMessages(t *testing.T) {
	dedupetest.TestSequencer(t, func(t *testing.T) dedupe.Sequencer { return newSequencer((&fakeLedgerObjects{}).lossy(), nil) })
}

func TestLedgerCallThatStaysUnknownSaysSo(t *testing.T) {
	f := &fakeLedgerObjects{network: func(int, string) (faulty.Fault, error) { return faulty.PerformsThenFails, lost() }}
	l := fakeLedger(t, f, PerKey())
	o := dedupe.ClaimOptions{Lease: time.Minute}
	claim, err := l.Claim(t.Context(), []byte("k"), o)
	wantUnknown(t, err, true, durable.ErrDisconnected)
	f.network = nil
	o.Owner = claim.Owner
	if claim, err = l.Claim(t.Context(), []byte("k"), o); claim.Outcome != dedupe.Acquired || claim.Attempt != 1 || err != nil {
		t.Errorf("a repeated call by the same owner: %+v, %v", claim, err)
	}
	f.network = func(int, string) (faulty.Fault, error) { return faulty.PerformsThenFails, lost() }
	wantUnknown(t, l.Complete(t.Context(), claim, []byte("r")), true, durable.ErrDisconnected)
	f.network = nil
	if err := l.Complete(t.Context(), claim, []byte("r")); err != nil {
		t.Error(err)
	}
	if n := len(f.sent); n != 6 {
		t.Errorf("%d messages: %v", n, f.sent)
	}
}

// Programs of different versions exchange these messages. They contain only
// durations, never times of the caller.
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
		fence := hex.EncodeToString(codec.AppendNumbers(nil, claim.Fence))
		if err := errors.Join(l.Extend(t.Context(), claim, time.Second), l.Complete(t.Context(), claim, []byte("res")), l.Forget(t.Context(), key)); err != nil {
			t.Fatal(err)
		}
		l.Release(t.Context(), claim)
		innerKey := "00"
		if m != PerKey() {
			innerKey = "016b"
		}
		want := map[string]string{
			wire.MethodClaim:    "01" + innerKey + "026f77" + "0166" + "e807" + "e0d403",
			wire.MethodExtend:   "01" + innerKey + "026f77" + fence + "e807",
			wire.MethodComplete: "01" + innerKey + "026f77" + fence + "726573",
			wire.MethodRelease:  "01" + innerKey + "026f77" + fence,
			wire.MethodLook:     "01" + innerKey,
			wire.MethodForget:   "01" + innerKey + "01" + fence,
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
		"acquired":    {wire.EncodeAnswer(&entry.Answer{Outcome: dedupe.Acquired, Entry: entry.Entry{Number: 1000, Attempt: 2, TakenOver: true}, RetryAfter: 0}), "01e8070201"},
		"replay":      {wire.EncodeAnswer(&entry.Answer{Outcome: dedupe.Replay, Entry: entry.Entry{Attempt: 2, Until: 1000, Result: []byte("res")}, RetryAfter: 0}), "0202e807726573"},
		"in progress": {wire.EncodeAnswer(&entry.Answer{Outcome: dedupe.InProgress, Entry: entry.Entry{Attempt: 2}, RetryAfter: 1000}), "0302e807"},
		"mismatch":    {mustReply(wire.Reply(nil, effect.None(dedupe.ErrMismatch))), "0107"},
		"fenced":      {mustReply(wire.Reply(nil, effect.None(dedupe.ErrFenced))), "0108"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A newer client's message is refused and changes nothing. The client gets a
// clear error and can fall back.
func TestUnreadableMessageIsRefused(t *testing.T) {
	whole := codec.AppendNumbers(wire.Message("k", "owner", "f"), 1000, 5000)
	for name, c := range map[string]struct {
		msg  []byte
		want error
	}{
		"nothing": {nil, ErrMalformed}, "a newer version": {append([]byte{2}, whole[1:]...), ErrVersion}, "a part": {whole[:len(whole)-3], ErrMalformed},
		"trailing bytes": {append(slices.Clone(whole), 0), ErrMalformed}, "a number in another form": {append(whole[:len(whole)-2:len(whole)-2], 0x88, 0x80, 0), ErrMalformed},
	} {
		o, _, many := newFakeLedgerObject(unixMilli)
		out, err := o.call(t.Context(), "", wire.MethodClaim, c.msg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.DecodeReply(out); !errors.Is(err, c.want) || !effect.Definite(err) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if len(many.Ops) != 0 {
			t.Errorf("%s: the backend saw %v", name, many.Ops)
		}
	}
}

// A newer object's answer or error must not count as success: the outcome is
// unknown, or the error says that nothing was changed.
func TestAnswerOfANewerObjectIsNotMisread(t *testing.T) {
	for _, c := range []struct {
		answer  []byte
		unknown bool
	}{
		{[]byte{2, 0, 1, 1, 1, 0}, true}, {[]byte{1, 0, 9, 1}, true}, {[]byte{1, 0, 1, 1, 1, 0, 7}, true},
		{[]byte{1, 200}, false},
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
