package durable

import (
	"context"
	"strings"

	"flow.internal/capdo/internal/jsname"
)

// unfitNames are names that RPC methods cannot have, each between spaces, and
// why. (A switch over them would be three times as much code.)
var unfitNames = [...]struct{ names, why string }{
	{" constructor fetch alarm webSocketMessage webSocketClose webSocketError ",
		"workerd gives it another meaning on a Durable Object"},
	{" connect dup then id name ",
		"a stub has a member of that name, which callers would get instead"},
	{" ctx env ", "it is a property of every Durable Object"},
	{" toString toLocaleString valueOf hasOwnProperty isPrototypeOf propertyIsEnumerable" +
		" __proto__ __defineGetter__ __defineSetter__ __lookupGetter__ __lookupSetter__ ",
		"every JavaScript object has a member of that name, which callers would get instead"},
}

// unfitForMethod returns why an RPC method cannot have a name, or "".
func unfitForMethod(name string) string {
	if !jsname.IsIdentifier(name) {
		return "it is not an identifier of JavaScript's"
	}
	for _, unfit := range unfitNames {
		if strings.Contains(unfit.names, " "+name+" ") {
			return unfit.why
		}
	}
	return ""
}

// checkHandlers panics for a method that looks like a handler but would never
// be called. Tests and native programs check every such method by its name. A
// Worker checks only the most likely ones, since the rest would cost 80 KiB.
// object has a class's type T (nil if T is an interface), and pointer is a *T.
func checkHandlers(class string, object, pointer any) {
	why := ""
	switch {
	case object == nil:
		why = "its type is an interface, which does not say what events the class handles; " +
			"hint: register the type behind it"
	case checkMethods != nil:
		why = checkMethods(pointer)
	case handlersOf(pointer)&^handlersOf(object) != 0:
		why = "its handlers have pointer receivers and would never be called; " +
			"hint: register the pointer's type"
	case handlersOf(object)&onAlarm == 0 && isNearAlarmer(object):
		why = "its method Alarm would never be called; " +
			"hint: the signature must be Alarm(ctx context.Context, info durable.AlarmInfo) error"
	}
	if why != "" {
		panic("durable: class " + class + ": " + why)
	}
}

// checkMethods returns what is wrong with the methods of the class type that
// pointer points to. It is nil in a Worker.
var checkMethods func(pointer any) string

// CheckMethods is for package durabletest.
func (w *worker) CheckMethods(check func(pointer any) string) { checkMethods = check }

func isNearAlarmer(object any) bool {
	switch object.(type) {
	case interface{ Alarm(context.Context) error }, interface{ Alarm() error }, interface {
		Alarm(context.Context, *AlarmInfo) error
	}:
		return true
	}
	return false
}
