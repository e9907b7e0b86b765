//go:build !js

package dodedupe

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// FuzzLedgerNames: scope and key, or stream, can be read back from where they are kept, so no two share a place.
func FuzzLedgerNames(f *testing.F) {
	f.Add("", []byte("a"), 0)
	f.Add("a:x", []byte("k"), 1)
	f.Add("a", []byte("x:k"), 8)
	f.Add("\xff\x00", []byte("capdo.ledger.v1:YQ:0/1"), MaxBuckets)
	f.Fuzz(func(t *testing.T, scope string, key []byte, buckets int) {
		m := Buckets(buckets)
		if m.invalid != 0 {
			m = PerKey()
		}
		object, inside := m.place(kindLedger, scope, key)
		parts := strings.Split(object, ":")
		if len(parts) != 3 || parts[0] != "capdo.ledger.v1" || decode64(t, parts[1]) != scope {
			t.Fatalf("scope %q: %q", scope, object)
		}
		if m.buckets == 0 {
			if inside != "" || decode64(t, parts[2]) != string(key) {
				t.Fatalf("key %q: %q, %q", key, object, inside)
			}
		} else if n, of, ok := strings.Cut(parts[2], "/"); !ok || inside != string(key) || of != strconv.Itoa(m.buckets) || !within(n, m.buckets) {
			t.Fatalf("key %q: %q, %q", key, object, inside)
		}
		if stream := objectName(kindSequence, scope, key); stream != "capdo.sequence.v1:"+parts[1]+":"+base64.RawURLEncoding.EncodeToString(key) {
			t.Fatalf("stream %q: %q", key, stream)
		}
	})
}

func within(n string, most int) bool {
	i, err := strconv.Atoi(n)
	return err == nil && i >= 0 && i < most && strconv.Itoa(i) == n
}

// FuzzLedgerMessages: what a caller says is what the object hears, in each message, and what the object answers is what the caller gets. The book's
// own decisions are told from entries, so nothing is compared with itself.
func FuzzLedgerMessages(f *testing.F) {
	f.Add([]byte("k"), "owner", []byte("f"), []byte("result"), int64(1000), int64(5000))
	f.Add([]byte("\x00"), "", []byte{}, []byte{}, int64(1), int64(1))
	f.Add(bytes.Repeat([]byte{0xff}, dedupe.MaxKeySize), strings.Repeat("\xff", 64), bytes.Repeat([]byte{1}, 64), bytes.Repeat([]byte{2}, 300), maxLease, maxTTL)
	f.Fuzz(func(t *testing.T, key []byte, owner string, fingerprint, result []byte, lease, ttl int64) {
		objects := &fakeLedgerObjects{clock: func() int64 { return noon }}
		l, err := newLedger(objects.call, &LedgerOptions{Mapping: Buckets(1)})
		if err != nil {
			t.Fatal(err)
		}
		o := dedupe.ClaimOptions{
			Owner: owner, Fingerprint: fingerprint,
			Lease: time.Duration(lease%maxLease) * time.Millisecond, TTL: time.Duration(ttl%maxTTL) * time.Millisecond,
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
		object, inside := l.mapping.place(kindLedger, "", key)
		heard := func() entry {
			e, err := decodeEntry(objects.object(object).many.table.(*fakeTable).rows[inside].record)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		if o.TTL == 0 {
			o.TTL = dedupe.DefaultTTL
		}
		e := heard()
		if owner != "" && e.owner != owner || e.owner != c.Owner || e.fingerprint != string(fingerprint) ||
			e.until != noon+o.Lease.Milliseconds() || e.ttl != o.TTL.Milliseconds() || e.number != c.Fence {
			t.Fatalf("the object heard %+v, and answered %+v, of %+v", e, c, o)
		}
		if err := errors.Join(l.Extend(t.Context(), c, 2*o.Lease), l.Complete(t.Context(), c, result)); err != nil && !errors.Is(err, dedupe.ErrInvalidLease) {
			t.Fatal(err)
		}
		if e := heard(); e.state != done || !bytes.Equal(e.result, result) {
			t.Fatalf("completed with %q, and the object heard %+v", result, e)
		}
		o.Owner += "x"
		if len(o.Owner) > dedupe.MaxOwnerSize {
			o.Owner = "x"
		}
		if r, err := l.Claim(t.Context(), key, o); err != nil || r.Outcome != dedupe.Replay || !bytes.Equal(r.Result, result) || r.CompletedAt.UnixMilli() != noon {
			t.Fatalf("%+v, %v; want a replay of %q", r, err, result)
		}
		if err := l.Forget(t.Context(), key); err != nil || len(objects.object(object).many.table.(*fakeTable).rows) != 0 {
			t.Fatalf("forgotten: %v, and there is a record", err)
		}
	})
}

// FuzzStoredEntry: whatever is stored, an object answers each message; what it cannot read is an error that says so and that nothing was changed, and
// stays as it is until it is forgotten.
func FuzzStoredEntry(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{entryVersion + 1, 7})
	f.Add([]byte{1, 2, 3})
	f.Add((&entry{state: held, number: noon * 1000, attempt: 1, firstSeen: noon, ttl: 300, until: noon + 31, owner: "a"}).encode())
	f.Add((&entry{state: done, number: 1, attempt: 1, firstSeen: maxNow, ttl: maxTTL, until: maxNow, result: []byte("r")}).encode())
	f.Add((&entry{state: numbered, number: seed(never), firstSeen: noon, ttl: 1}).encode())
	f.Fuzz(func(t *testing.T, stored []byte) {
		before, unreadable := decodeEntry(stored)
		for _, key := range []string{"", "k"} {
			for _, c := range messagesTo(key) {
				one, many := newFakeTable(), newFakeTable()
				clock := func() int64 { return noon }
				o := &ledgerObject{one: book{table: one, clock: clock}, many: book{table: many, clock: clock}}
				table := map[bool]*fakeTable{true: one, false: many}[key == ""]
				table.rows[key] = fakeRow{slices.Clone(stored), before.watch != 0, before.due()}
				out, err := o.deliver(t.Context(), c.method, c.msg)
				if err != nil {
					t.Fatalf("%s: thrown: %v", c.method, err)
				}
				_, err = decodeReply(out)
				switch {
				case unreadable != nil && c.method == methodSeek: // it says that there is something
				case unreadable != nil && (!errors.Is(err, unreadable) || !definite(err)):
					t.Fatalf("%s of %x: %v, want %v", c.method, stored, err, unreadable)
				}
				if unreadable != nil && !bytes.Equal(table.rows[key].record, stored) {
					t.Fatalf("%s: %x became %x", c.method, stored, table.rows[key].record)
				}
				if row, ok := table.rows[key]; unreadable == nil && ok {
					if _, err := decodeEntry(row.record); err != nil {
						t.Fatalf("%s: %x became %x: %v", c.method, stored, row.record, err)
					}
				}
			}
			forgetStored(t, key, fakeRow{stored, before.watch != 0, before.due()})
		}
	})
}

type messageTo struct {
	method string
	msg    []byte
}

// messagesTo are one of each message about a key, but for that which forgets.
func messagesTo(key string) []messageTo {
	all := []messageTo{
		{methodClaim, appendNumbers(message(key, "b", "f"), 1000, 5000)},
		{methodAwait, appendNumbers(message(key, "f"), 0)},
		{methodComplete, append(appendNumbers(message(key, "a"), noon*1000), "result"...)},
		{methodExtend, appendNumbers(message(key, "a"), noon*1000, 1000)},
		{methodRelease, appendNumbers(message(key, "a"), noon*1000)},
		{methodSeek, message(key)},
	}
	if key != "" {
		all = append(all, messageTo{methodNext, appendNumbers(message(key, "b", "f"), 5000)})
	}
	return all
}

// forgetStored forgets what is stored, and expects the key to be free.
func forgetStored(t *testing.T, key string, row fakeRow) {
	t.Helper()
	table := newFakeTable()
	table.rows[key] = row
	b := &book{table: table, clock: func() int64 { return noon }}
	what, fence, err := b.look(context.Background(), key)
	if err == nil {
		err = b.forget(context.Background(), key, what, fence)
	}
	if err != nil {
		t.Fatalf("forget of %x: %v", row.record, err)
	}
	if e, _, err := b.read(context.Background(), key); err != nil || e.state != absent && e.state != free {
		t.Fatalf("forgotten: %x left %+v, %v", row.record, e, err)
	}
}

// FuzzReplyToLedger: whatever an object answers, a caller gets an answer of the form that there is, or an error; and nothing that makes no sense counts as
// done, or as certainly not done.
func FuzzReplyToLedger(f *testing.F) {
	for _, body := range [][]byte{{}, {1, 1, 1, 0}, {2, 1, 1, 'r'}, {3, 1, 0}, {1, 5}, {0, 0}, {5, 5, 1}} {
		f.Add(must(reply(body, nil)))
	}
	f.Add(must(reply(nil, undone{dedupe.ErrFenced})))
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
		_, errReply := decodeReply(out)
		for op, err := range map[string]error{
			"Claim": err, "Next": errNext, "Complete": l.Complete(t.Context(), held, nil), "Extend": l.Extend(t.Context(), held, time.Second),
			"Release": l.Release(t.Context(), held), "Forget": l.Forget(t.Context(), held.Key),
		} {
			switch {
			case errReply != nil && err == nil:
				t.Fatalf("%s: %x counts as done", op, out)
			case errReply != nil && errors.Is(err, dedupe.ErrUnknownOutcome) == definite(errReply):
				t.Fatalf("%s: %x is %v", op, out, err)
			case errReply == nil && (op == "Claim" || op == "Next") && err != nil && !errors.Is(err, dedupe.ErrUnknownOutcome):
				t.Fatalf("%s: %x is done, and %v", op, out, err)
			}
		}
	})
}

// A fence is remembered by the object, too, so that one who repairs a record within the millisecond of its claim gets another.
func TestFencesGrowOverARecordThatBecameUnreadable(t *testing.T) {
	s := newShelf(t)
	first := s.claim("a", 1000, 5000, dedupe.Acquired)
	row := s.table.rows["k"]
	s.table.rows["k"] = fakeRow{record: []byte{entryVersion}, due: row.due}
	s.forget()
	if again := s.claim("b", 1000, 5000, dedupe.Acquired); again.entry.number <= first.entry.number {
		t.Errorf("fence %d after %d", again.entry.number, first.entry.number)
	}
}
