package durable

import (
	"context"
	"testing"
)

func TestRegisterRefusesBadNames(t *testing.T) {
	construct := func(context.Context, *State, *Env) (*State, error) { return nil, nil }
	method := func(name string) RPCMethod[*State] {
		return Method(name, func(*State, context.Context, []byte) ([]byte, error) { return nil, nil })
	}
	defer func(w worker) { program = w }(program)
	for name, register := range map[string]func(){
		"a class that is no identifier": func() { Register("my-class", construct) },
		"an empty class":                func() { Register("", construct) },
		"a class twice":                 func() { Register("A", construct); Register("A", construct) },
		"a method twice":                func() { Register("B", construct, method("x"), method("x")) },
		"a reserved method":             func() { Register("C", construct, method("fetch")) },
		"a method that is an injection": func() { Register("D", construct, method("x(){}; constructor")) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			register()
		}()
	}
}

func TestScanNeverChangesAValue(t *testing.T) {
	c := &Cursor{columns: []string{"c"}}
	for _, v := range []any{0.5, 1e300, float64(1 << 53), "1", nil, []byte("1"), true} {
		c.row = []any{v}
		var n int64
		if err := c.Scan(&n); err == nil {
			t.Errorf("%#v was scanned into an int64 as %d", v, n)
		}
	}
	for _, n := range []int64{0, -1, 1<<53 - 1, -(1<<53 - 1)} {
		c.row = []any{float64(n)}
		var got int64
		if err := c.Scan(&got); err != nil || got != n {
			t.Errorf("%d became %d, %v", n, got, err)
		}
	}
	for _, n := range []int64{1 << 53, -1 << 53, 1<<53 + 1} {
		if v, err := bindValue(n); err == nil {
			t.Errorf("%d was bound as %v", n, v)
		}
	}
}
