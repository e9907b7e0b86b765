package durable_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
	"github.com/google/go-cmp/cmp"
)

// order is a value with fields of its own types.
type order struct {
	ID     uint64         `json:"id"`
	Lines  map[string]int `json:"lines"`
	At     time.Time      `json:"at"`
	Parent *order         `json:"parent,omitempty"`
}

func TestStructsAreStoredAndComeBack(t *testing.T) {
	want := order{1 << 63, map[string]int{"__proto__": 1, "constructor": 2, "then": 3, "toJSON": 4}, time.UnixMilli(5), &order{At: time.UnixMilli(0)}}
	inside(t, durabletest.SQLite, func(ctx context.Context, s *durable.Storage) {
		for name, put := range puts(ctx, s) {
			if err := put("k", want); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			got, ok, err := durable.Get[order](s.KV(), "k")
			if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
				t.Errorf("%s: %v, %v\n%s", name, ok, err, diff)
			}
		}
		if v, ok, err := durable.Get[order](s.KV(), "absent"); ok || err != nil || v.ID != 0 {
			t.Errorf("an absent key: %v, %v, %v", v, ok, err)
		}
		if _, ok, err := durable.Get[int](s.KV(), "k"); ok || !errors.Is(err, durable.ErrValue) || !strings.Contains(err.Error(), "(value)") {
			t.Errorf("a value of another type: %v, %v", ok, err)
		}
		err := s.KV().Put("k", map[string]any{"a": []any{make(chan int)}})
		if want := "durable: Go's chan int has no equivalent in JavaScript (value, at [key][0])"; err == nil || err.Error() != want {
			t.Errorf("%v; want %s", err, want)
		}
	})
}

// Keys belong to their owner, and errors may end up in a log.
func TestErrorsAboutValuesQuoteNone(t *testing.T) {
	const secret, bad = "secret", "secret\xff"
	onBothBackends(t, func(t *testing.T, ctx context.Context, s *durable.Storage) {
		_, _, get := s.Get(ctx, bad, nil)
		_, getMany := s.GetMany(ctx, []string{bad}, nil)
		_, remove := s.Delete(ctx, bad, nil)
		for i, err := range []error{get, getMany, remove, s.Put(ctx, bad, 1, nil), s.Put(ctx, secret, make(chan int), nil),
			s.Put(ctx, secret, map[string]any{secret: bad}, nil), s.Put(ctx, secret, map[string]string{bad: secret}, nil),
			s.PutMany(ctx, []durable.Entry{{Key: secret, Value: bad}}, nil), s.Put(ctx, secret, json.Number(secret), nil),
			durable.Decode(secret, new(netip.Addr)), durable.Decode(map[string]any{secret: secret}, new(map[netip.Addr]int)),
			durable.Decode(map[string]any{secret: secret}, new(map[string]int)), durable.Decode([]any{secret}, new([]time.Time))} {
			if !errors.Is(err, durable.ErrValue) || strings.Contains(err.Error(), secret) {
				t.Errorf("case %d: %v", i, err)
			}
		}
	})
}

func TestNilIsAValueThatIsThere(t *testing.T) {
	onBothBackends(t, func(t *testing.T, ctx context.Context, s *durable.Storage) {
		must(t, s.Put(ctx, "k", nil, nil))
		v, ok, err := s.Get(ctx, "k", nil)
		many, manyErr := s.GetMany(ctx, []string{"k", "absent"}, nil)
		list, listErr := s.List(ctx, nil)
		existed, deleteErr := s.Delete(ctx, "k", nil)
		if v != nil || !ok || len(many) != 1 || len(list) != 1 || !existed || errors.Join(err, manyErr, listErr, deleteErr) != nil {
			t.Errorf("%v %v, %v, %v, %v; %v", v, ok, many, list, existed, errors.Join(err, manyErr, listErr, deleteErr))
		}
		if v, ok, err := s.Get(ctx, "k", nil); v != nil || ok || err != nil {
			t.Errorf("then: %v, %v, %v", v, ok, err)
		}
	})
	inside(t, durabletest.SQLite, func(_ context.Context, s *durable.Storage) {
		must(t, s.KV().Put("k", []byte(nil)))
		if v, ok, err := s.KV().Get("k"); v != nil || !ok || err != nil {
			t.Errorf("KV: %v, %v, %v", v, ok, err)
		}
	})
}

func TestIterationsOfKVNest(t *testing.T) {
	inside(t, durabletest.SQLite, func(_ context.Context, s *durable.Storage) {
		kv := s.KV()
		for i := range 300 {
			must(t, kv.Put(fmt.Sprintf("%03d", i), i))
		}
		for name, c := range map[string]struct {
			opts *durable.ListOptions
			want int
		}{
			"all": {nil, 300}, "backwards": {&durable.ListOptions{Reverse: true}, 300}, "limited": {&durable.ListOptions{Limit: 200}, 200},
			"a page": {&durable.ListOptions{Limit: 128}, 128}, "between": {&durable.ListOptions{Start: "010", End: "290"}, 280},
			"after": {&durable.ListOptions{StartAfter: "009", Prefix: "", Reverse: true}, 290}, "huge": {&durable.ListOptions{Limit: 1 << 40}, 300},
		} {
			seen, last := map[string]bool{}, ""
			for e, err := range kv.List(c.opts) {
				must(t, err)
				if len(seen)%150 == 1 {
					for _, err := range kv.List(nil) {
						must(t, err)
					}
				}
				if isReverse := c.opts != nil && c.opts.Reverse; last != "" && (e.Key > last) == isReverse {
					t.Fatalf("%s: %s after %s", name, e.Key, last)
				}
				seen[e.Key], last = true, e.Key
			}
			if len(seen) != c.want {
				t.Errorf("%s: %d entries", name, len(seen))
			}
		}
		for _, err := range kv.List(&durable.ListOptions{Limit: -1}) {
			if !errors.Is(err, durable.ErrLimit) {
				t.Errorf("a negative limit: %v", err)
			}
		}
	})
	onBothBackends(t, func(t *testing.T, ctx context.Context, s *durable.Storage) {
		if list, err := s.List(ctx, &durable.ListOptions{Limit: -1}); !errors.Is(err, durable.ErrLimit) {
			t.Errorf("a negative limit: %v, %v", list, err)
		}
	})
}

func TestTextThatIsNotUTF8IsErrValue(t *testing.T) {
	inside(t, durabletest.SQLite, func(ctx context.Context, s *durable.Storage) {
		for name, look := range looks(ctx, s) {
			if err := look("\xff"); !errors.Is(err, durable.ErrValue) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, _, get := s.KV().Get("\xff")
		_, exec := s.SQL().Exec("select '\xff'")
		_, name := durabletest.Env(t, nil).Namespace("LAB")
		must(t, name)
		for name, err := range map[string]error{"get": get, "put": s.KV().Put("\xff", 1), "value": s.KV().Put("k", "\xff"), "query": exec} {
			if !errors.Is(err, durable.ErrValue) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	ns, err := durabletest.Env(t, nil).Namespace("LAB")
	must(t, err)
	if _, err := ns.GetByName("\xff", nil); !errors.Is(err, durable.ErrValue) {
		t.Errorf("a name: %v", err)
	}
}

func TestSmallIntegersTakeFewBytes(t *testing.T) {
	numbers := make([]int, 40_000)
	for i := range numbers {
		numbers[i] = i % 8000
	}
	inside(t, durabletest.KV, func(ctx context.Context, s *durable.Storage) {
		must(t, s.Put(ctx, "k", numbers, nil)) // 3 bytes each
		if err := s.Put(ctx, "k", append(numbers, numbers...), nil); !errors.Is(err, durable.ErrLimit) {
			t.Errorf("twice as many: %v", err)
		}
	})
}

func TestErrorArrivesWhateverItsProperties(t *testing.T) {
	type code int16
	_, err := object(t)(t.Context(), func(context.Context, *Lab) (string, error) {
		return "", &durable.Error{Name: "Declined", Message: "no", Props: map[string]any{"code": code(5), "list": []string{"a"}, "message": "other",
			"name": 1, "big": int64(1 << 60), "text": "\xff", "\xff": 1, "stack": "s"}}
	})
	var e *durable.Error
	if !errors.As(err, &e) || e.Name != "Declined" || e.Message != "no" || e.Props["code"] != 5.0 || e.Props["list"] != nil || e.Props["text"] != "\uFFFD" {
		t.Errorf("%#v", err)
	}
}

func TestReleasedStubSaysSo(t *testing.T) {
	stub := durabletest.New(t, "LAB")
	stub.Release()
	stub.Release()
	_, call := stub.Call(t.Context(), "echo", nil)
	_, id := stub.ID()
	_, fetch := stub.Fetch(t.Context(), &durable.Request{URL: "http://a/"})
	for name, err := range map[string]error{"Call": call, "ID": id, "Fetch": fetch} {
		if err == nil || !strings.Contains(err.Error(), "the Stub has been released") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
