package durable

import "context"

// TypedMethod is an RPC method with the types of its argument and its result.
// The class and its callers share it, so the compiler checks both:
//
//	var List = durable.NewMethod[ListArgs, []Item]("list")
//
//	durable.Register("Shop", NewShop, durable.Implement(List, (*Shop).List))
//
//	items, err := List.Call(ctx, stub, ListArgs{Limit: 10})
//
// Use struct{} for a missing argument or result, and a struct for several
// arguments. Values are converted as by [Encode] and [Decode], so JavaScript
// calls it as stub.list({limit: 10}).
type TypedMethod[Arg, Result any] struct{ name string }

// NewMethod returns a method of that name. [Register] says which names are
// allowed.
func NewMethod[Arg, Result any](name string) TypedMethod[Arg, Result] {
	return TypedMethod[Arg, Result]{name}
}

// Name returns the method's name.
func (m TypedMethod[Arg, Result]) Name() string { return m.name }

// Call calls the method of an object. Its errors are those of the function
// [Call]. They name the method, and if a value does not fit, they say whether
// it is the argument or the result.
func (m TypedMethod[Arg, Result]) Call(
	ctx context.Context, s *Stub, arg Arg,
) (result Result, err error) {
	v, err := Encode(arg)
	if err != nil {
		return result, m.failed("argument", err)
	}
	ref, err := s.live()
	if err != nil {
		return result, err
	}
	if v, err = ref.Await(ctx, m.name, v); err != nil {
		return result, s.failed(err)
	}
	if err := Decode(v, &result); err != nil {
		return result, m.failed("result", err)
	}
	return result, nil
}

func (m TypedMethod[Arg, Result]) failed(what string, err error) error {
	return &wrapped{m.name + ": " + what + ": " + err.Error(), err}
}

// Implement returns the method of T, for [Register]. fn is usually a method
// expression such as (*Shop).List.
func Implement[T, Arg, Result any](
	m TypedMethod[Arg, Result],
	fn func(object T, ctx context.Context, arg Arg) (Result, error),
) RPCMethod[T] {
	return RPCMethod[T]{name: m.name, fn: func(
		object T, ctx context.Context, args []any,
	) (any, error) {
		var in any
		if len(args) > 0 {
			in = args[0]
		}
		var arg Arg
		err := Decode(in, &arg)
		if len(args) > 1 {
			err = &wrapped{"durable: the method takes one argument", ErrValue}
		}
		if err != nil {
			return nil, m.refused(ctx, "argument", err)
		}
		result, err := fn(object, ctx, arg)
		if err != nil {
			return nil, err
		}
		out, err := Encode(result)
		if err != nil {
			return nil, m.refused(ctx, "result", err)
		}
		return out, nil
	}}
}

// refused adds the class to the error.
func (m TypedMethod[Arg, Result]) refused(ctx context.Context, what string, err error) error {
	return &wrapped{className(ctx) + m.name + ": " + what + ": " + err.Error(), err}
}
