//go:build !js

package durable

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A family of types with embedded structs, used with the types of StructOf.
type (
	labeled struct {
		V int `json:"X"`
	}
	prefers struct {
		Deeper
		labeled
	}
	inner  struct{ X, Y int }
	Tagged struct {
		X int `json:"x"`
	}
	Named  string
	Number int64
	Counts map[Named]int
	deep   struct{ Deeper }
	Deeper struct{ X, Z int }
	embeds struct {
		inner
		Z int
	}
	hides struct {
		inner
		X string
	}
	Other struct {
		X int `json:"x"`
	}
	wins struct {
		Deeper
		W int `json:"X"`
	}
	left struct {
		Tagged `json:"-"`
		A      int
	}
	nested struct {
		Tagged `json:"t"`
		A      int
	}
	pointers struct {
		*Tagged
		*Deeper
		B *int
	}
	basic struct {
		Named
		Number
		Counts
	}
	twice struct {
		A struct{ Tagged }
		Deeper
		D2
	}
	D2      struct{ deep }
	options struct {
		A int            `json:",omitempty"`
		B []int          `json:"b,omitempty"`
		C map[string]int `json:",omitempty"`
		D *int           `json:",omitempty"`
		E inner          `json:",omitempty"`
		F inner          `json:",omitzero"`
		G int64          `json:",string"`
		H *uint64        `json:",string"`
		I bool           `json:"i,string"`
		J float64        `json:",string,omitempty"`
		K [2]int         `json:",omitempty"`
		L any            `json:",omitempty"`
		N int            `json:"-"`
		P time.Time      `json:",omitzero"`
	}
	collections struct {
		A []string
		B map[int8]string
		C map[uint64][]int
		D map[netip.Addr]bool
		E [3]bool
		F [][]int
		G map[string]map[string]int
		H []*int
		I []byte
		J netip.Addr
		K *netip.Addr
		L []time.Time
		M map[string]any
	}
	list struct {
		Next *list
		N    int
	}
)

// tags has an embedded field that its tag hides. (vet warns about such types.)
var tags = reflect.StructOf([]reflect.StructField{{Name: "Tagged", Anonymous: true, Type: reflect.TypeFor[Tagged]()},
	{Name: "Y", Type: reflect.TypeFor[int](), Tag: `json:"x"`}})

// oddTags has names that vet and staticcheck warn about.
var oddTags = reflect.StructOf([]reflect.StructField{{Name: "M", Type: reflect.TypeFor[int](), Tag: `json:"-,"`},
	{Name: "O", Type: reflect.TypeFor[int](), Tag: `json:"a\"b"`}})

var equals = reflect.StructOf([]reflect.StructField{{Name: "Tagged", Anonymous: true, Type: reflect.TypeFor[Tagged]()},
	{Name: "Other", Anonymous: true, Type: reflect.TypeFor[Other]()}})

var family = []any{prefers{}, embeds{}, hides{}, reflect.New(tags).Elem().Interface(), reflect.New(equals).Elem().Interface(), reflect.New(oddTags).Elem().Interface(), wins{}, left{}, nested{}, pointers{}, basic{}, twice{}, options{}, collections{}, list{},
	Named(""), Number(0), Counts{}, uint64(0), int8(0), []Number{}, map[Number]Named{}, "", false, 0.0}

var parts = []reflect.Type{reflect.TypeFor[int](), reflect.TypeFor[string](), reflect.TypeFor[uint64](), reflect.TypeFor[bool](), reflect.TypeFor[float64](),
	reflect.TypeFor[[]int](), reflect.TypeFor[map[string]bool](), reflect.TypeFor[*Tagged](), reflect.TypeFor[hides](), reflect.TypeFor[time.Time](),
	reflect.TypeFor[netip.Addr](), reflect.TypeFor[[]byte](), reflect.TypeFor[Named](), reflect.TypeFor[any]()}

// drawType makes a struct type, or picks one of the family.
func drawType(t *rapid.T) reflect.Type {
	if rapid.Bool().Draw(t, "family") {
		return reflect.TypeOf(rapid.SampledFrom(family).Draw(t, "type"))
	}
	n := rapid.IntRange(0, 5).Draw(t, "fields")
	var fields []reflect.StructField
	for i := range n {
		name := rapid.SampledFrom([]string{"", "", "a", "b", "A", "F0", "-", "é"}).Draw(t, "name")
		option := rapid.SampledFrom([]string{"", "", ",omitempty", ",omitzero"}).Draw(t, "option")
		fields = append(fields, reflect.StructField{Name: "F" + strconv.Itoa(i), Type: rapid.SampledFrom(parts).Draw(t, "part"),
			Tag: reflect.StructTag(`json:"` + name + option + `"`)})
	}
	return reflect.StructOf(fields)
}

// fill fills a value with content that both JSON and JavaScript can hold.
func fill(t *rapid.T, v reflect.Value, depth int) {
	switch v.Type() {
	case timeType:
		v.Set(reflect.ValueOf(time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "time")).UTC()))
		return
	case reflect.TypeFor[netip.Addr]():
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{1, 2, 3, rapid.Byte().Draw(t, "address")})))
		return
	}
	n := rapid.IntRange(-1, 2).Draw(t, "n")
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(n > 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		bits := v.Type().Bits()
		v.SetInt(rapid.SampledFrom([]int64{0, 1, -7, math.MaxInt64 >> (64 - bits), -1 << (bits - 1)}).Draw(t, "int"))
	case reflect.Uint64:
		v.SetUint(rapid.SampledFrom([]uint64{0, 1, 1 << 53, math.MaxInt64, math.MaxUint64}).Draw(t, "uint"))
	case reflect.Float64:
		v.SetFloat(rapid.SampledFrom([]float64{0, 1.5, -1e300, 5e-324, 1e21, 1e-7, 123456789}).Draw(t, "float"))
	case reflect.String:
		v.SetString(rapid.SampledFrom([]string{"", "a", "é😀", "__proto__", "then", "\x00\\\"<"}).Draw(t, "text"))
	case reflect.Pointer:
		if n > 0 && depth < 5 && v.CanSet() {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem(), depth+1)
		}
	case reflect.Slice:
		if n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range max(n, 0) {
			if v.Type().Elem().Kind() != reflect.Uint8 {
				fill(t, v.Index(i), depth+1)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), depth+1)
		}
	case reflect.Map:
		if n >= 0 {
			v.Set(reflect.MakeMap(v.Type()))
		}
		for range max(n, 0) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(t, key, depth+1)
			fill(t, value, depth+1)
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() || f.Kind() == reflect.Struct {
				fill(t, f, depth+1)
			}
		}
	case reflect.Interface:
		if x := rapid.SampledFrom([]any{nil, 1.5, "text", true, []any{nil, 2.0}, map[string]any{"k": nil}}).Draw(t, "any"); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	}
}

// asJSON returns what encoding/json would make of an encoded value.
func asJSON(v any) any {
	switch v := v.(type) {
	case int64:
		return json.Number(strconv.FormatInt(v, 10))
	case uint64:
		return json.Number(strconv.FormatUint(v, 10))
	case float64:
		return json.Number(formatFloat(v, 64))
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = asJSON(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = asJSON(e)
		}
		return out
	}
	return v
}

func TestValuesAreThoseOfJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := reflect.New(drawType(t))
		if p.Elem().Kind() == reflect.Map {
			p.Elem().Set(reflect.MakeMap(p.Elem().Type()))
		}
		fill(t, p.Elem(), 0)
		compareWithJSON(t, p)
	})
	for _, v := range family { // with zero values only
		compareWithJSON(t, reflect.New(reflect.TypeOf(v)))
	}
}

// compareWithJSON fails the test unless the value at p is encoded as
// encoding/json does it, and is decoded in the same way.
func compareWithJSON(t interface{ Fatalf(string, ...any) }, p reflect.Value) {
	in := p.Elem().Interface()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatalf("%v", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var want any
	if err := d.Decode(&want); err != nil {
		t.Fatalf("%v", err)
	}
	got, err := Encode(in)
	if diff := cmp.Diff(want, asJSON(got)); err != nil || diff != "" {
		t.Fatalf("%#v: %v\n%s", in, err, diff)
	}
	if got == nil {
		return
	}
	back, wantBack := reflect.New(p.Type().Elem()), reflect.New(p.Type().Elem())
	err, wantErr := Decode(got, back.Interface()), json.Unmarshal(text, wantBack.Interface())
	exact := cmp.Exporter(func(reflect.Type) bool { return true })
	sameTime := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
	sameAddr := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(wantBack.Interface(), back.Interface(), exact, sameTime, sameAddr); (err == nil) != (wantErr == nil) || err == nil && diff != "" {
		t.Fatalf("%s: %v, encoding/json: %v\n%s", text, err, wantErr, diff)
	}
}

type (
	stamp      time.Time
	embedsTime struct{ time.Time }
	noted      struct {
		time.Time
		Note string
	}
	opaque  struct{ n int }
	Opaque  struct{ n int }
	around  struct{ Opaque }
	oneWay  struct{}
	rawJSON struct{ Raw json.RawMessage }
	loop    *loop
	cyclic  struct{ Next *cyclic }
)

func (oneWay) MarshalText() ([]byte, error) { return []byte("x"), nil }

func TestUnexportedFieldsRoundTrip(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	for _, c := range []struct{ in, encoded any }{
		{stamp(at), at},
		{embedsTime{at.Add(5)}, "2023-11-14T22:13:20.123000005Z"},
		{*big.NewInt(7), int64(7)},
		{*new(big.Int).SetUint64(math.MaxUint64), uint64(math.MaxUint64)},
		{*huge, BigInt("123456789012345678901234567890")},
		{netip.MustParseAddr("1.2.3.4"), "1.2.3.4"},
		{[]netip.Addr{netip.MustParseAddr("::1")}, []any{"::1"}},
		{map[string]stamp{"k": stamp(at)}, map[string]any{"k": at}},
		{map[netip.Addr]int{netip.MustParseAddr("1.2.3.4"): 5}, map[string]any{"1.2.3.4": int64(5)}},
		{json.Number("12"), int64(12)}, {json.Number("0.1"), 0.1}, {json.Number("18446744073709551615"), uint64(math.MaxUint64)},
		{uint64(math.MaxUint64), uint64(math.MaxUint64)}, {Number(1 << 60), int64(1 << 60)}, {BigInt("5"), BigInt("5")},
	} {
		got, err := Encode(c.in)
		if !reflect.DeepEqual(got, c.encoded) || err != nil {
			t.Errorf("%#v became %#v, %v", c.in, got, err)
			continue
		}
		back := reflect.New(reflect.TypeOf(c.in))
		if err := Decode(got, back.Interface()); err != nil || fmt.Sprint(back.Elem()) != fmt.Sprint(reflect.ValueOf(c.in)) && !reflect.DeepEqual(back.Elem().Interface(), c.in) {
			t.Errorf("%#v came back as %#v, %v", c.in, back.Elem(), err)
		}
	}
}

func TestWhatWouldChangeIsRefusedByName(t *testing.T) {
	var self loop
	self = &self
	var anySelf any
	anySelf = &anySelf
	ring := &cyclic{}
	ring.Next = ring
	deepList := any(nil)
	for range 10_000 {
		deepList = []any{deepList}
	}
	m := map[string]any{}
	m["m"] = m
	for _, c := range []struct {
		in   any
		text string
	}{
		{opaque{1}, "Go's durable.opaque has its state in unexported fields"},
		{struct{ A []map[string]opaque }{[]map[string]opaque{{"k": {1}}}}, "(at .A[0][key])"},
		{around{Opaque{1}}, "embedded field Opaque"},
		{noted{time.Unix(0, 0), "lost"}, "leaves out the other fields"},
		{rawJSON{json.RawMessage("1")}, "Go's json.RawMessage has MarshalJSON and no MarshalText; hint: give it MarshalText (at .Raw)"},
		{time.Unix(0, 1), "fractions of a millisecond"},
		{stamp(time.UnixMilli(maxDate + 1)), "JavaScript Date"},
		{map[float64]int{1: 2}, "keys that are neither text nor integers"},
		{make(chan int), "Go's chan int has no equivalent"}, {complex(1, 1), "complex128"}, {func() {}, "func()"},
		{"\xff", "not valid UTF-8"}, {map[string]any{"a": []any{"\xff"}}, "(at [key][0])"}, {map[string]int{"\xff": 1}, "not valid UTF-8"},
		{self, "pointer that leads to itself"}, {anySelf, "pointer that leads to itself"}, {ring, "contains itself"}, {deepList, "nested"}, {m, "contains itself"},
		{BigInt("x"), "BigInt"}, {json.Number("1e400"), "json.Number"}, {json.Number("0.12345678901234567"), "digits"},
	} {
		if v, err := Encode(c.in); !errors.Is(err, ErrValue) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%T: %#v, %v; want an error with %q", c.in, v, err, c.text)
		}
	}
	for _, c := range []struct {
		value, dest any
		text        string
	}{
		{"x", new(oneWay), "has MarshalText and no UnmarshalText"},
		{map[string]any{}, new(opaque), "unexported fields"},
		{1.5, new(int), "a number does not fit Go's int"}, {int64(1 << 60), new(int32), "a BigInt"}, {uint64(1 << 63), new(int64), "a BigInt"},
		{BigInt("18446744073709551616"), new(uint64), "a BigInt"}, {-1.0, new(uint), "a number"}, {0.1, new(float32), "float32"},
		{map[string]any{"A": []any{1.0, nil}}, new(struct{ A []int }), "null does not fit Go's int unchanged (at .A[1])"},
		{"x", new(netip.Addr), "a string does not fit Go's netip.Addr"}, {[]any{1.0}, new([2]int), "an array of 1"},
		{map[string]any{"X": 1.0}, new(struct{ *inner }), "cannot be set"}, {1.0, new(loop), "leads to itself"}, {deepList, new(any), "nested"},
		{m, new(map[string]any), "contains itself"}, {map[string]any{"x": 1.0}, new(map[int]any), "does not fit Go's int"},
		{nil, new(int), "null"},
	} {
		if err := Decode(c.value, c.dest); !errors.Is(err, ErrValue) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("into %T: %v; want an error with %q", c.dest, err, c.text)
		}
	}
}

func TestNullAndOldContentAreAsInJSON(t *testing.T) {
	type s struct {
		N int
		P *int
		L []int
		M map[string]int
		T time.Time
	}
	make := func() s { n := 7; return s{1, &n, []int{1}, map[string]int{"old": 1}, time.Unix(5, 0)} }
	for _, text := range []string{`{"n":null,"p":null,"l":null,"m":null,"T":null}`, `{"P":3,"M":{"new":2}}`, `{}`, `{"N":2,"L":[]}`} {
		want, got := make(), make()
		var v any
		if err := errors.Join(json.Unmarshal([]byte(text), &want), json.Unmarshal([]byte(text), &v), Decode(v, &got)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
}
