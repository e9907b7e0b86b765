//go:build !js

package dodedupe

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"flow.internal/capdo/dedupe"
)

func TestLedgerNamesArePinned(t *testing.T) {
	for _, c := range []struct {
		m                            Mapping
		scope, key, object, innerKey string
	}{
		{PerKey(), "", "order-1041", "capdo.ledger.v1::b3JkZXItMTA0MQ", ""},
		{PerKey(), "a:x", "k", "capdo.ledger.v1:YTp4:aw", ""},
		{Buckets(1), "", "k", "capdo.ledger.v1::0/1", "k"},
		{Buckets(8), "orders", "order-1041", "capdo.ledger.v1:b3JkZXJz:2/8", "order-1041"},
		{Buckets(65536), "", "\x00", "capdo.ledger.v1::2707/65536", "\x00"},
	} {
		if object, innerKey := c.m.locate(kindLedger, c.scope, []byte(c.key)); object != c.object || innerKey != c.innerKey {
			t.Errorf("%v, scope %q, key %q: %s, %q; want %s", c.m, c.scope, c.key, object, innerKey, c.object)
		}
	}
	if got := objectName(kindSequence, "s", []byte("stream")); got != "capdo.sequence.v1:cw:c3RyZWFt" {
		t.Errorf("stream: %s", got)
	}
	for _, n := range []int{0, -1, MaxBuckets + 1} {
		if _, err := newLedger(nil, &LedgerOptions{Mapping: Buckets(n)}); !errors.Is(err, ErrBuckets) {
			t.Errorf("%d buckets: %v", n, err)
		}
	}
}

func TestBucketsAreEven(t *testing.T) {
	counts := map[string]int{}
	for n := range 8000 {
		object, _ := Buckets(8).locate(kindLedger, "", fmt.Append(nil, "key ", n))
		counts[object]++
	}
	for object, n := range counts {
		if len(counts) != 8 || n < 850 || n > 1150 {
			t.Errorf("%s has %d of 8000 keys", object, n)
		}
	}
}

// These names are in use: a change forgets every existing record.
func TestObjectNamesArePinned(t *testing.T) {
	for _, c := range []struct{ scope, key, want string }{
		{"", "a", "capdo.dedupe.v1::YQ"},
		{"", "order-1041", "capdo.dedupe.v1::b3JkZXItMTA0MQ"},
		{"orders", "1041", "capdo.dedupe.v1:b3JkZXJz:MTA0MQ"},
		{"a:x", "k", "capdo.dedupe.v1:YTp4:aw"},
		{"a", "x:k", "capdo.dedupe.v1:YQ:eDpr"},
		{"a", ":x", "capdo.dedupe.v1:YQ:Ong"},
		{"a:", "x", "capdo.dedupe.v1:YTo:eA"},
		{"", "YQ", "capdo.dedupe.v1::WVE"},
		{"", "YQ==", "capdo.dedupe.v1::WVE9PQ"},
		{"", "capdo.dedupe.v1::YQ", "capdo.dedupe.v1::Y2FwZG8uZGVkdXBlLnYxOjpZUQ"},
		{"YQ", "a", "capdo.dedupe.v1:WVE:YQ"},
		{"", "\x00", "capdo.dedupe.v1::AA"},
		{"", "\x00\x00", "capdo.dedupe.v1::AAA"},
		{"", "\xff\xfe\xfd", "capdo.dedupe.v1::__79"},
		{"", "\xfb\xef\xbe", "capdo.dedupe.v1::----"},
		{"\xff", "\ufffd", "capdo.dedupe.v1:_w:77-9"},
		{"\ufffd", "\xff", "capdo.dedupe.v1:77-9:_w"},
		{"", "é", "capdo.dedupe.v1::w6k"},
		{"", "e\u0301", "capdo.dedupe.v1::ZcyB"},
		{"", strings.Repeat("\x00", dedupe.MaxKeySize), "capdo.dedupe.v1::" + strings.Repeat("A", 2731)},
	} {
		if got := objectName(kindStore, c.scope, []byte(c.key)); got != c.want {
			t.Errorf("scope %q, key %.40q: %.80q, want %.80q", c.scope, c.key, got, c.want)
		}
	}
}

// FuzzObjectName: scope and key can be decoded from the name, so no two pairs
// have the same name.
func FuzzObjectName(f *testing.F) {
	f.Add("", []byte("a"))
	f.Add("a:x", []byte("k"))
	f.Add("a", []byte("x:k"))
	f.Add("\xff\x00", []byte("capdo.dedupe.v1:YQ:YQ"))
	f.Fuzz(func(t *testing.T, scope string, key []byte) {
		name := objectName(kindStore, scope, key)
		for _, c := range []byte(name) {
			if c < 0x20 || c > 0x7e {
				t.Fatalf("name %q is not printable ASCII", name)
			}
		}
		parts := strings.Split(name, ":")
		if len(parts) != 3 || parts[0] != "capdo.dedupe.v1" || decode64(t, parts[1]) != scope || decode64(t, parts[2]) != string(key) {
			t.Fatalf("scope %q and key %q have the name %q", scope, key, name)
		}
	})
}

// decode64 is written independently, so that it does not repeat a mistake of
// the code that makes the names.
func decode64(t *testing.T, s string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var out []byte
	var acc, bits uint
	for i := range len(s) {
		d := strings.IndexByte(digits, s[i])
		if d < 0 {
			t.Fatalf("%q is not base64url", s)
		}
		acc = acc<<6 | uint(d)
		if bits += 6; bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	return string(out)
}

// FuzzLedgerNames: scope and key, or stream, can be decoded from their place,
// so no two have the same place.
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
		object, innerKey := m.locate(kindLedger, scope, key)
		parts := strings.Split(object, ":")
		if len(parts) != 3 || parts[0] != "capdo.ledger.v1" || decode64(t, parts[1]) != scope {
			t.Fatalf("scope %q: %q", scope, object)
		}
		if m.buckets == 0 {
			if innerKey != "" || decode64(t, parts[2]) != string(key) {
				t.Fatalf("key %q: %q, %q", key, object, innerKey)
			}
		} else if n, of, ok := strings.Cut(parts[2], "/"); !ok || innerKey != string(key) || of != strconv.Itoa(m.buckets) || !within(n, m.buckets) {
			t.Fatalf("key %q: %q, %q", key, object, innerKey)
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
