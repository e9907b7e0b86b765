//go:build !js

package dodedupe

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
)

func atNoon() int64 { return faulty.Noon }

// FuzzLedgerObject: an object must answer any messages, and leave readable
// records.
func FuzzLedgerObject(f *testing.F) {
	claim := codec.AppendNumbers(wire.Message("k", "owner", "f"), 1000, 5000)
	f.Add(claim, claim)
	f.Add(codec.AppendNumbers(wire.Message("", "owner", ""), 1000, 5000), []byte{1})
	f.Add(codec.AppendNumbers(wire.Message("k", "owner", "f"), 5000), append(codec.AppendNumbers(wire.Message("k", "owner"), 1), "result"...))
	f.Add([]byte{2}, []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		o, one, many := newFakeLedgerObject(atNoon)
		for _, msg := range [][]byte{first, second} {
			for _, m := range ledgerMethods {
				if m.name == wire.MethodAwait {
					continue // this message would wait
				}
				out, err := m.serve(o, t.Context(), msg)
				if err != nil {
					t.Fatalf("%s %x: thrown: %v", m.name, msg, err)
				}
				if _, err := wire.DecodeReply(out); err != nil && !effect.Definite(err) {
					t.Fatalf("%s %x: %v", m.name, msg, err)
				}
			}
		}
		for _, table := range []*faulty.Backend{one, many} {
			for key, row := range table.Rows {
				if _, err := entry.Decode(row.Record); err != nil {
					t.Fatalf("key %q: %x: %v", key, row.Record, err)
				}
			}
		}
	})
}

// FuzzLedgerMessages: for each message the object must receive what the caller
// sent, and the caller must get what the object answered. The test computes the
// engine's decisions from entries, so it does not compare anything with itself.
func FuzzLedgerMessages(f *testing.F) {
	f.Add([]byte("k"), "owner", []byte("f"), []byte("result"), int64(1000), int64(5000))
	f.Add([]byte("\x00"), "", []byte{}, []byte{}, int64(1), int64(1))
	f.Add(bytes.Repeat([]byte{0xff}, dedupe.MaxKeySize), strings.Repeat("\xff", 64), bytes.Repeat([]byte{1}, 64), bytes.Repeat([]byte{2}, 300), entry.MaxLease, codec.MaxTTL)
	f.Fuzz(func(t *testing.T, key []byte, owner string, fingerprint, result []byte, lease, ttl int64) {
		objects := &fakeLedgerObjects{clock: func() int64 { return faulty.Noon }}
		l, err := newLedger(objects.call, &LedgerOptions{Mapping: Buckets(1)})
		if err != nil {
			t.Fatal(err)
		}
		o := dedupe.ClaimOptions{
			Owner: owner, Fingerprint: fingerprint,
			Lease: time.Duration(lease%entry.MaxLease) * time.Millisecond, TTL: time.Duration(ttl%codec.MaxTTL) * time.Millisecond,
		}
		c, err := l.Claim(t.Context(), key, o)
		if invalid := o.Check(key); invalid != nil || o.TTL < 0 {
			if err == nil || len(objects.sent) != 0 {
				t.Fatalf("%v, sent %v; want an error for %v, %v", err, objects.sent, invalid, o.TTL)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		object, innerKey := l.mapping.locate(kindLedger, "", key)
		heard := func() entry.Entry {
			e, err := entry.Decode(objects.object(object).many.Backend.(*faulty.Backend).Rows[innerKey].Record)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		if o.TTL == 0 {
			o.TTL = dedupe.DefaultTTL
		}
		if o.Lease == 0 {
			o.Lease = dedupe.DefaultLease
		}
		e := heard()
		if owner != "" && e.Owner != owner || e.Owner != c.Owner || e.Fingerprint != string(fingerprint) ||
			e.Until != faulty.Noon+o.Lease.Milliseconds() || e.TTL != o.TTL.Milliseconds() || e.Number != c.Fence {
			t.Fatalf("the object received %+v and answered %+v, for %+v", e, c, o)
		}
		if err := errors.Join(l.Extend(t.Context(), c, 2*o.Lease), l.Complete(t.Context(), c, result)); err != nil && !errors.Is(err, dedupe.ErrInvalidLease) {
			t.Fatal(err)
		}
		if e := heard(); e.State != entry.Done || !bytes.Equal(e.Result, result) {
			t.Fatalf("completed with %q, but the object received %+v", result, e)
		}
		o.Owner += "x"
		if len(o.Owner) > dedupe.MaxOwnerSize {
			o.Owner = "x"
		}
		if r, err := l.Claim(t.Context(), key, o); err != nil || r.Outcome != dedupe.Replay || !bytes.Equal(r.Result, result) || r.CompletedAt.UnixMilli() != faulty.Noon {
			t.Fatalf("%+v, %v; want a replay of %q", r, err, result)
		}
		if err := l.Forget(t.Context(), key); err != nil || len(objects.object(object).many.Backend.(*faulty.Backend).Rows) != 0 {
			t.Fatalf("forgotten: %v, but there is a record", err)
		}
	})
}

// FuzzStoredEntry: an object must answer each message, whatever is stored. If
// it cannot read the record, its error says so and says that nothing was
// changed. The record stays unchanged until it is forgotten.
func FuzzStoredEntry(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{entry.Version + 1, 7})
	f.Add([]byte{1, 2, 3})
	f.Add((&entry.Entry{State: entry.Held, Number: faulty.Noon * 1000, Attempt: 1, FirstSeen: faulty.Noon, TTL: 300, Until: faulty.Noon + 31, Owner: "a"}).Encode())
	f.Add((&entry.Entry{State: entry.Done, Number: 1, Attempt: 1, FirstSeen: codec.MaxNow, TTL: codec.MaxTTL, Until: codec.MaxNow, Result: []byte("r")}).Encode())
	f.Add((&entry.Entry{State: entry.Numbered, Number: entry.FenceAt(entry.Never), FirstSeen: faulty.Noon, TTL: 1}).Encode())
	f.Fuzz(func(t *testing.T, stored []byte) {
		before, unreadable := entry.Decode(stored)
		for _, key := range []string{"", "k"} {
			for _, c := range messagesTo(key) {
				o, one, many := newFakeLedgerObject(atNoon)
				table := map[bool]*faulty.Backend{true: one, false: many}[key == ""]
				table.Rows[key] = faulty.Row{Record: slices.Clone(stored), Notify: before.NotifyAt != 0, Due: before.Due()}
				out, err := o.call(t.Context(), "", c.method, c.msg)
				if err != nil {
					t.Fatalf("%s: thrown: %v", c.method, err)
				}
				_, err = wire.DecodeReply(out)
				switch {
				case unreadable != nil && c.method == wire.MethodLook:
					// The error says that there is a record.
				case unreadable != nil && (!errors.Is(err, unreadable) || !effect.Definite(err)):
					t.Fatalf("%s of %x: %v, want %v", c.method, stored, err, unreadable)
				}
				if unreadable != nil && !bytes.Equal(table.Rows[key].Record, stored) {
					t.Fatalf("%s: %x became %x", c.method, stored, table.Rows[key].Record)
				}
				if row, ok := table.Rows[key]; unreadable == nil && ok {
					if _, err := entry.Decode(row.Record); err != nil {
						t.Fatalf("%s: %x became %x: %v", c.method, stored, row.Record, err)
					}
				}
			}
			forgetStored(t, key, faulty.Row{Record: stored, Notify: before.NotifyAt != 0, Due: before.Due()})
		}
	})
}

type messageTo struct {
	method string
	msg    []byte
}

// messagesTo returns one message of each kind about a key, except forget.
func messagesTo(key string) []messageTo {
	all := []messageTo{
		{wire.MethodClaim, codec.AppendNumbers(wire.Message(key, "b", "f"), 1000, 5000)},
		{wire.MethodAwait, codec.AppendNumbers(wire.Message(key, "f"), 0)},
		{wire.MethodComplete, append(codec.AppendNumbers(wire.Message(key, "a"), faulty.Noon*1000), "result"...)},
		{wire.MethodExtend, codec.AppendNumbers(wire.Message(key, "a"), faulty.Noon*1000, 1000)},
		{wire.MethodRelease, codec.AppendNumbers(wire.Message(key, "a"), faulty.Noon*1000)},
		{wire.MethodLook, wire.Message(key)},
	}
	if key != "" {
		all = append(all, messageTo{wire.MethodNext, codec.AppendNumbers(wire.Message(key, "b", "f"), 5000)})
	}
	return all
}

// forgetStored forgets the stored record, and expects the key to be free.
func forgetStored(t *testing.T, key string, row faulty.Row) {
	t.Helper()
	o, one, many := newFakeLedgerObject(atNoon)
	backend := map[bool]*faulty.Backend{true: one, false: many}[key == ""]
	backend.Rows[key] = row
	if err := caller(o.call).forget(context.Background(), "", key); err != nil {
		t.Fatalf("forget of %x: %v", row.Record, err)
	}
	left, ok := backend.Rows[key]
	if e, err := entry.Decode(left.Record); ok && (err != nil || e.State != entry.Free) {
		t.Fatalf("forgotten: %x left %+v, %v", row.Record, e, err)
	}
}

// FuzzReplyToLedger: whatever an object answers, the caller must get a
// well-formed answer or an error. A senseless reply must not count as done, nor
// as certainly not done.
func FuzzReplyToLedger(f *testing.F) {
	for _, body := range [][]byte{{}, {1, 1, 1, 0}, {2, 1, 1, 'r'}, {3, 1, 0}, {1, 5}, {0, 0}, {5, 5, 1}} {
		f.Add(mustReply(wire.Reply(body, nil)))
	}
	f.Add(mustReply(wire.Reply(nil, effect.None(dedupe.ErrFenced))))
	f.Add([]byte{9})
	f.Fuzz(func(t *testing.T, out []byte) {
		call := func(context.Context, string, string, []byte) ([]byte, error) { return out, nil }
		l, err := newLedger(call, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Second})
		if (err == nil) != (c.Outcome >= dedupe.Acquired && c.Outcome <= dedupe.InProgress) {
			t.Fatalf("%x: %v, %v", out, c.Outcome, err)
		}
		held := dedupe.Claim{Outcome: dedupe.Acquired, Ledger: l.identity, Key: []byte("k"), Owner: "a", Fence: 1}
		_, errNext := newSequencer(call, nil).Next(t.Context(), []byte("s"), []byte("k"), nil, 0)
		_, errReply := wire.DecodeReply(out)
		for op, err := range map[string]error{
			"Claim": err, "Next": errNext, "Complete": l.Complete(t.Context(), held, nil), "Extend": l.Extend(t.Context(), held, time.Second),
			"Release": l.Release(t.Context(), held), "Forget": l.Forget(t.Context(), held.Key),
		} {
			switch {
			case errReply != nil && err == nil:
				t.Fatalf("%s: %x counts as done", op, out)
			case errReply != nil && errors.Is(err, dedupe.ErrUnknownOutcome) == effect.Definite(errReply):
				t.Fatalf("%s: %x is %v", op, out, err)
			case errReply == nil && (op == "Claim" || op == "Next") && err != nil && !errors.Is(err, dedupe.ErrUnknownOutcome):
				t.Fatalf("%s: %x is done, but %v", op, out, err)
			}
		}
	})
}
