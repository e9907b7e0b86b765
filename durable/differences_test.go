//go:build !js

package durable

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"math/big"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type (
	bothTexts   struct{}
	readsText   struct{}
	pointerText struct{}
	keyWithText string
	accented    struct {
		A int `json:"é→"`
	}
	quotedText struct {
		A string `json:",string"`
	}
	twoCases     struct{ Name int }
	withEmbedded struct {
		netip.Addr
		Port int
	}
)

func (bothTexts) MarshalText() ([]byte, error)    { return []byte("text"), nil }
func (*bothTexts) UnmarshalText([]byte) error     { return nil }
func (bothTexts) MarshalJSON() ([]byte, error)    { return []byte("{}"), nil }
func (*readsText) UnmarshalText([]byte) error     { return nil }
func (*pointerText) MarshalText() ([]byte, error) { return []byte("p"), nil }
func (*pointerText) UnmarshalText([]byte) error   { return nil }
func (keyWithText) MarshalText() ([]byte, error)  { return []byte("other"), nil }

// differences are the intended differences from encoding/json. Each row of the
// table in docs/objects.md has a function that checks it.
var differences = map[string]func() bool{
	"`time.Time`, or a type made of it": func() bool {
		at := time.UnixMilli(7)
		return encodes(at, at) && encodes(stamp(at), at) && refuses(at.Add(1))
	},
	"`[]byte`": func() bool { return encodes([]byte{1}, []byte{1}) && decodes([]byte{1}, []byte{1}) },
	"integers beyond ±(2^53-1), `math/big.Int`": func() bool {
		return encodes(int64(1<<60), int64(1<<60)) && encodes(big.NewInt(5), int64(5)) && decodes(BigInt("5"), 5) && decodes(5.0, uint8(5)) &&
			decodes(uint64(math.MaxUint64), uint64(math.MaxUint64))
	},
	"a BigInt in an `any`": func() bool { return decodes[any](int64(1<<60), int64(1<<60)) && decodes[any](BigInt("5"), BigInt("5")) },
	"NaN, infinities, -0": func() bool {
		nan, _ := Encode(math.NaN())
		zero, _ := Encode(math.Copysign(0, -1))
		return nan != nan && math.Signbit(zero.(float64)) && encodes(math.Inf(1), math.Inf(1))
	},
	"a type with `MarshalText` and `MarshalJSON`": func() bool { return encodes(bothTexts{}, "text") },
	"a type with `MarshalJSON` or `UnmarshalJSON` only, such as `json.RawMessage`": func() bool {
		return refuses(json.RawMessage("1")) && refusesInto[json.RawMessage]("1") && encodes(json.Number("1.5"), 1.5)
	},
	"a type with `MarshalText` only, when read; with `UnmarshalText` only, when sent": func() bool { return refusesInto[oneWay]("x") && refuses(readsText{}) },
	"a struct with only unexported fields; an embedded one that is exported":          func() bool { return refuses(opaque{}) && refuses(around{}) },
	"a struct with `MarshalText` of an embedded field, and other fields": func() bool {
		return refuses(withEmbedded{netip.MustParseAddr("::1"), 80})
	},
	"`MarshalText` of a pointer receiver": func() bool { return encodes(pointerText{}, "p") },
	"text that is not UTF-8":              func() bool { return refuses("\xff") && refuses(map[string]int{"\xff": 1}) },
	"map keys that are text": func() bool {
		return encodes(map[keyWithText]bool{"k": true}, map[string]any{"k": true}) && decodes(map[string]any{"k": true}, map[keyWithText]bool{"k": true})
	},
	"map keys that are pointers; two keys with one text": func() bool {
		n := 1
		return refuses(map[*int]int{&n: 1}) && refuses(map[pointerKey]int{{1}: 1, {2}: 2})
	},
	"the tag's option `string` on text": func() bool { return refuses(quotedText{}) },
	"names in tags beyond ASCII":        func() bool { return encodes(accented{1}, map[string]any{"é→": int64(1)}) },
	"arrays of another length":          func() bool { return refusesInto[[2]int]([]any{1.0}) && refusesInto[[1]int]([]any{1.0, 2.0}) },
	"numbers that a float32 would round": func() bool {
		return refusesInto[float32](0.1) && decodes(0.5, float32(0.5))
	},
	"null as an argument, a result, in a list or a map, where there is no nil": func() bool {
		return refusesInto[int](nil) && refusesInto[[]int]([]any{nil}) && refusesInto[map[string]int](map[string]any{"a": nil}) && decodes[*int](nil, nil)
	},
	"a slice that is read": func() bool {
		old := []int{1, 2}
		into := old[:1]
		err := Decode([]any{5.0, 6.0}, &into)
		return err == nil && old[0] == 1 && cmp.Equal(into, []int{5, 6})
	},
	"two properties that differ from a field's name in case only": func() bool {
		return refusesInto[twoCases](map[string]any{"NAME": 1.0, "name": 2.0}) && decodes(map[string]any{"NAME": 1.0}, twoCases{1})
	},
	"more than 500 levels, 2,097,152 values, a value in itself": func() bool {
		var deep, self any
		for range maxNesting + 1 {
			deep = []any{deep}
		}
		list := []any{nil}
		list[0], self = list, list
		return refuses(deep) && refuses(self) && refuses(make([]any, maxValues+1)) && refusesInto[any](deep)
	},
}

// pointerKey's texts are all the same.
type pointerKey struct{ n int }

func (pointerKey) MarshalText() ([]byte, error) { return []byte("k"), nil }

func encodes(v, want any) bool {
	got, err := Encode(v)
	return err == nil && reflect.DeepEqual(got, want)
}

func refuses(v any) bool {
	_, err := Encode(v)
	return errors.Is(err, ErrValue)
}

func decodes[T any](v any, want T) bool {
	var got T
	return Decode(v, &got) == nil && reflect.DeepEqual(got, want)
}

func refusesInto[T any](v any) bool {
	var got T
	return errors.Is(Decode(v, &got), ErrValue)
}

func TestDifferencesFromJSONAreThoseOfTheDocuments(t *testing.T) {
	text, err := os.ReadFile("../docs/objects.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "These differences from `encoding/json` are meant:\n\n| value | here | why |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var rows []string
	for row := range strings.Lines(table) {
		rows = append(rows, strings.TrimSpace(strings.Split(row, "|")[1]))
	}
	slices.Sort(rows)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(differences)), rows); diff != "" {
		t.Errorf("differences without a test or without a row:\n%s", diff)
	}
	for row, holds := range differences {
		if !holds() {
			t.Errorf("%s: this is not true", row)
		}
	}
}
