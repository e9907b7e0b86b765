package durable

import (
	"context"
	"reflect"
)

// unfitForMethod returns why an RPC method cannot have a name, or "".
func unfitForMethod(name string) string {
	switch name {
	case "constructor", "fetch", "alarm", "webSocketMessage", "webSocketClose", "webSocketError":
		return "workerd gives it another meaning on a Durable Object"
	case "connect", "dup", "then", "id", "name":
		return "a stub has a member of that name, which callers would get instead"
	case "ctx", "env":
		return "it is a property of every Durable Object"
	case "toString", "toLocaleString", "valueOf", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable",
		"__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__":
		return "every JavaScript object has a member of that name, which callers would get instead"
	}
	if !isIdentifier(name) {
		return "it is not an identifier of JavaScript's"
	}
	return ""
}

// checkHandlers panics for a method that looks like a handler, and would never be
// called. Tests and native programs look at every such method, by its name; a
// Worker, where that would cost 80 KiB, at the likeliest.
func checkHandlers[T any](class string) {
	t := reflect.TypeFor[T]()
	why := ""
	var zero T
	switch {
	case t.Kind() == reflect.Interface:
		why = t.String() + " is an interface, which does not say what events the class handles; hint: register the type behind it"
	case checkMethods != nil:
		why = checkMethods(t)
	case t.Kind() != reflect.Pointer && len(eventsOf(&zero)) > len(eventsOf(zero)):
		why = "handlers are methods of *" + t.String() + " and would never be called; hint: register that type instead of " + t.String()
	case !t.Implements(reflect.TypeFor[Alarmer]()) && isNearAlarmer(zero):
		why = "the method Alarm of " + t.String() + " would never be called; hint: its signature must be Alarm(ctx context.Context, info durable.AlarmInfo) error"
	}
	if why != "" {
		panic("durable: class " + class + ": " + why)
	}
}

// checkMethods says what is wrong with a class's methods; nil in a Worker.
var checkMethods func(t reflect.Type) string

// CheckMethods is for package durabletest.
func (w *worker) CheckMethods(check func(t reflect.Type) string) { checkMethods = check }

func isNearAlarmer(object any) bool {
	switch object.(type) {
	case interface{ Alarm(context.Context) error },
		interface{ Alarm(context.Context) },
		interface{ Alarm() error },
		interface{ Alarm() },
		interface {
			Alarm(context.Context, *AlarmInfo) error
		},
		interface {
			Alarm(context.Context, AlarmInfo)
		}:
		return true
	}
	return false
}
