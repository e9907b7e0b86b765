package durable

import (
	"context"
	"errors"
	"strings"

	"flow.internal/capdo/internal/jsrt"
)

// namedErrors are the errors registered with [RegisterError].
var namedErrors []namedError

type namedError struct {
	name string
	err  error
}

// sentinelProp is the property of a JavaScript error that names the sentinels
// which the error matches, separated by spaces.
const sentinelProp = "durableError"

// RegisterError gives a sentinel error a name, so that callers of RPC methods
// can test for it: if a method returns an error that matches err by errors.Is,
// the caller's error matches it, too. A caller in another program must register
// the name for an error of its own. Call RegisterError before [Run]:
//
//	var ErrSoldOut = errors.New("sold out")
//
//	func init() { durable.RegisterError("shop.sold-out", ErrSoldOut) }
//
// In JavaScript the name is in the error's property durableError. RegisterError
// panics if the name is taken, is empty, or contains a space.
func RegisterError(name string, err error) {
	if name == "" || strings.ContainsAny(name, " \t\r\n") || err == nil {
		panic("durable: an error needs a name without spaces, and must not be nil")
	}
	for _, s := range namedErrors {
		if s.name == name {
			panic("durable: the error " + name + " is registered twice")
		}
	}
	namedErrors = append(namedErrors, namedError{name, err})
}

// nameSentinels sets the property that lists the sentinels which err matches.
// It keeps names that this program does not know, so that they pass through it.
func nameSentinels(js *jsrt.Error, err error) {
	known, _ := js.Props[sentinelProp].(string)
	names := strings.Fields(known)
	for _, s := range namedErrors {
		if errors.Is(err, s.err) && !contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	if len(names) == 0 {
		return
	}
	if js.Props == nil {
		js.Props = map[string]any{}
	}
	js.Props[sentinelProp] = strings.Join(names, " ")
}

// withSentinels returns the kind of an error that another object has thrown,
// joined with the sentinels that the error lists.
func withSentinels(kind error, js *jsrt.Error) error {
	list, _ := js.Props[sentinelProp].(string)
	if list == "" || !js.Flag("remote") {
		return kind
	}
	names, kinds := strings.Fields(list), []error{kind}
	for _, s := range namedErrors {
		if contains(names, s.name) {
			kinds = append(kinds, s.err)
		}
	}
	if len(kinds) == 1 {
		return kind
	}
	return errors.Join(kinds...)
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// className returns the name of the class whose handler ctx belongs to, with a
// dot, or "".
func className(ctx context.Context) string {
	if i := jsrt.FromContext(ctx); i != nil {
		if it, ok := i.Context().Object.(*instance); ok {
			return it.class.name + "."
		}
	}
	return ""
}
