//go:build !js

package durable

import (
	"reflect"

	"flow.internal/capdo/durable/internal/handlers"
)

func init() {
	checkMethods = func(t reflect.Type) string {
		return handlers.Check(t, [5]reflect.Type{reflect.TypeFor[Fetcher](), reflect.TypeFor[Alarmer](),
			reflect.TypeFor[WebSocketMessager](), reflect.TypeFor[WebSocketCloser](), reflect.TypeFor[WebSocketErrorer]()})
	}
}
