// Package plain stores text and bytes without the conversions that other values
// need. Those conversions make a Worker 90 KiB larger (gzip). Package durable
// sets its functions.
package plain

import "context"

// Get is the Get of a *durable.KV. The stored value may be of any type.
var Get func(kv any, key string) (value any, ok bool, err error)

// GetAsync is the Get of a *durable.Storage. The stored value may be of any
// type.
var GetAsync func(ctx context.Context, storage any, key string) (value any, ok bool, err error)

// Put is the Put of a *durable.KV for a string or a non-nil []byte.
var Put func(kv any, key string, value any) error

// PutAsync is the Put of a *durable.Storage for a string or a non-nil []byte.
var PutAsync func(ctx context.Context, storage any, key string, value any) error

// constants has names and keys that are used often, as arguments of a call. Go
// allocates memory for other texts that become arguments.
var constants = map[string][]any{}

// Constant declares a name or a key that is used often, during initialization.
func Constant(text string) string {
	constants[text] = []any{text}
	return text
}

// Arguments returns a text as the arguments of a call. Nobody may change them.
func Arguments(text string) []any {
	if args := constants[text]; args != nil {
		return args
	}
	return []any{text}
}

// Argument returns a text as an argument of a call.
func Argument(text string) any {
	if args := constants[text]; args != nil {
		return args[0]
	}
	return text
}
