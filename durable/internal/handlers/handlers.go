// Package handlers finds methods that look like a Durable Object's handlers and
// would never be called. It looks methods up by name, which makes a Worker 80
// KiB larger (gzip), so only tests and native programs link it.
package handlers

import "reflect"

// handler describes an event's handler. Method names must be constants where
// they are used, so that the linker can drop other methods.
type handler struct {
	signature string
	method    func(reflect.Type) (reflect.Method, bool)
}

func handlers() []handler {
	return []handler{
		{"Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error)",
			func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Fetch") }},
		{"Alarm(ctx context.Context, info durable.AlarmInfo) error",
			func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Alarm") }},
		{"WebSocketMessage(ctx context.Context, ws *durable.WebSocket, m durable.Message) error",
			func(t reflect.Type) (reflect.Method, bool) {
				return t.MethodByName("WebSocketMessage")
			}},
		{"WebSocketClose(ctx context.Context, ws *durable.WebSocket, code int, reason string, wasClean bool) error",
			func(t reflect.Type) (reflect.Method, bool) {
				return t.MethodByName("WebSocketClose")
			}},
		{"WebSocketError(ctx context.Context, ws *durable.WebSocket, err error) error",
			func(t reflect.Type) (reflect.Method, bool) {
				return t.MethodByName("WebSocketError")
			}},
	}
}

// misspelled returns a method whose name looks like a misspelled handler.
func misspelled(t reflect.Type) (m reflect.Method, ok bool) {
	if m, ok = t.MethodByName("WebsocketMessage"); ok {
		return m, ok
	}
	if m, ok = t.MethodByName("WebsocketClose"); ok {
		return m, ok
	}
	return t.MethodByName("WebsocketError")
}

// Check returns what is wrong with the methods of a class's type t, or "". The
// interfaces are those of Fetch, Alarm and WebSocketMessage, Close and Error.
func Check(t reflect.Type, interfaces [5]reflect.Type) string {
	all := t // with the methods of *T
	if t.Kind() != reflect.Pointer {
		all = reflect.PointerTo(t)
	}
	for i, h := range handlers() {
		m, ok := h.method(all)
		switch {
		case !ok || t.Implements(interfaces[i]):
		case all.Implements(interfaces[i]):
			return m.Name + " is a method of " + all.String() +
				" and would never be called; hint: register that type instead of " + t.String()
		default:
			return "the method " + m.Name + " of " + t.String() +
				" would never be called; hint: its signature must be " + h.signature
		}
	}
	if m, ok := misspelled(all); ok {
		return "the method " + m.Name + " of " + t.String() +
			" would never be called; hint: the names of handlers begin with WebSocket"
	}
	return ""
}
