package durable

import (
	"context"
	"errors"
	"reflect"
	"strconv"
)

// Func exports fn, usually a method expression such as (*Counter).Add, as an
// RPC method whose arguments and result are Go values, converted as by [Decode]
// and [Encode]:
//
//	func(object T, ctx context.Context, …) error
//	func(object T, ctx context.Context, …) (Result, error)
//
// Go calls it with the function [Call], JavaScript as stub.add(1, 2). An
// argument that the caller leaves out is nil; if its type has no nil, the call
// is refused. Func panics if fn has another signature. It also panics if no
// value of a parameter's or the result's type can be converted, because a call
// would otherwise fail only after the method had run. An error reaches the
// caller with its message, and an [*Error] also with its name and properties.
func Func[T any](name string, fn any) RPCMethod[T] {
	f := reflect.ValueOf(fn)
	if err := checkFunc[T](f); err != nil {
		panic("durable: method " + name + ": " + err.Error())
	}
	return RPCMethod[T]{name: name, fn: func(
		object T, ctx context.Context, args []any,
	) (any, error) {
		return invoke(name, f, object, ctx, args)
	}}
}

func checkFunc[T any](f reflect.Value) error {
	if f.Kind() != reflect.Func {
		return errors.New("is not a function")
	}
	t := f.Type()
	switch {
	case t.IsVariadic():
		return errors.New("a variadic function cannot be an RPC method")
	case t.NumIn() < 2 || t.In(0) != reflect.TypeFor[T]() || t.In(1) != contextType:
		return errors.New("the function's first parameters must be of types " +
			reflect.TypeFor[T]().String() + " and context.Context")
	case t.NumOut() < 1 || t.NumOut() > 2 || t.Out(t.NumOut()-1) != errorType:
		return errors.New("the function must return error, or a result and error")
	}
	for i := 2; i < t.NumIn(); i++ {
		if err := codecOf(t.In(i)).check(true); err != nil {
			return in("argument "+strconv.Itoa(i-1), err)
		}
	}
	if t.NumOut() == 2 {
		return in("result", codecOf(t.Out(0)).check(false))
	}
	return nil
}

func invoke(
	method string, f reflect.Value, object any, ctx context.Context, args []any,
) (any, error) {
	t := f.Type()
	if len(args) > t.NumIn()-2 {
		return nil, refused(strconv.Itoa(len(args)) + " arguments for a method that takes " +
			strconv.Itoa(t.NumIn()-2))
	}
	values := []reflect.Value{reflect.ValueOf(object), reflect.ValueOf(ctx)}
	for i := 2; i < t.NumIn(); i++ {
		p := reflect.New(t.In(i))
		var arg any
		if i-2 < len(args) {
			arg = args[i-2]
		}
		if err := Decode(arg, p.Interface()); err != nil {
			return nil, in("argument "+strconv.Itoa(i-1)+" of "+method, err)
		}
		values = append(values, p.Elem())
	}
	out := f.Call(values)
	if err, _ := out[len(out)-1].Interface().(error); err != nil || len(out) == 1 {
		return nil, err
	}
	v, err := Encode(out[0].Interface())
	return v, in("result of "+method, err)
}
