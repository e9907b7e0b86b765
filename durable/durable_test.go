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
		"a class name that is not an identifier": func() { Register("my-class", construct) },
		"an empty class":                         func() { Register("", construct) },
		"a class twice":                          func() { Register("A", construct); Register("A", construct) },
		"a method twice":                         func() { Register("B", construct, method("x"), method("x")) },
		"a reserved method":                      func() { Register("C", construct, method("fetch")) },
		"a method name that contains code":       func() { Register("D", construct, method("x(){}; constructor")) },
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
