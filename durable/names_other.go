//go:build !js

package durable

import (
	"reflect"

	"flow.internal/capdo/durable/internal/handlers"
)

func init() {
	checkMethods = func(pointer any) string {
		return handlers.Check(reflect.TypeOf(pointer).Elem(), [5]reflect.Type{
			reflect.TypeFor[Fetcher](),
			reflect.TypeFor[Alarmer](),
			reflect.TypeFor[WebSocketMessager](),
			reflect.TypeFor[WebSocketCloser](),
			reflect.TypeFor[WebSocketErrorHandler](),
		})
	}
}
