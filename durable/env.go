package durable

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"flow.internal/capdo/internal/jsrt"
	"flow.internal/capdo/internal/plain"
)

// Env is the Worker's environment: its bindings, from the wrangler config. It
// belongs to the invocation or the object that received it.
type Env struct{ ref *jsrt.Ref }

var errNoEnv = errors.New("durable: the environment is nil" +
	"\nhint: durablehttp.Env finds it in requests that durablehttp.Handle serves; " +
	"an object keeps the one it was constructed with")

// Var returns a variable or secret, and whether there is one of that name. If
// the config's value is not text, such as a number or an object, Var returns it
// as JSON. Var fails for a binding of another kind, such as a namespace.
func (e *Env) Var(name string) (value string, ok bool, err error) {
	if e == nil {
		return "", false, errNoEnv
	}
	v, err := e.ref.Context().Host().Call("variable", e.ref, name)
	if v == false {
		return "", false, errors.New("durable: " + strconv.Quote(name) +
			" is a binding, not a variable")
	}
	value, ok = v.(string)
	return value, ok, classify(err)
}

// Namespace returns the Durable Object namespace bound to the name. It fails
// with [ErrNoBinding], whose text lists the bindings, and with
// [ErrContextClosed].
func (e *Env) Namespace(binding string) (*Namespace, error) {
	if e == nil {
		return nil, errNoEnv
	}
	v, err := e.ref.Context().Host().Call("namespace", e.ref, plain.Argument(binding))
	if err != nil {
		return nil, classify(err)
	}
	ref, ok := v.(*jsrt.Ref)
	if !ok {
		return nil, &wrapped{"durable: " + ErrNoBinding.Error() + ": " + strconv.Quote(binding) +
			" (bindings of this Worker: " + e.bindings() + ")", ErrNoBinding}
	}
	return &Namespace{ref: ref, binding: binding}, nil
}

// Object returns a stub for the object of that name behind a binding, as
// [Env.Namespace] and [Namespace.GetByName] do. It has no error result: the
// stub's first call returns any error, such as [ErrNoBinding].
func (e *Env) Object(binding, name string) *Stub {
	return &Stub{isDead: true, replace: func() (any, error) {
		n, err := e.Namespace(binding)
		if err != nil {
			return nil, err
		}
		return n.ref.Call("getByName", name)
	}}
}

func (e *Env) bindings() string {
	v, _ := e.ref.Context().Host().Call("keys", e.ref)
	list, _ := v.([]any)
	var names []string
	for _, v := range list {
		names = append(names, v.(string))
	}
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
