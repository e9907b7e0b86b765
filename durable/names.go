package durable

import "reflect"

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

// handler is an event's: T has to implement typ, and what comes near is a
// mistake.
type handler struct {
	typ       reflect.Type
	signature string
	method    func(reflect.Type) (reflect.Method, bool)
}

// The names are constants where they are used: then the linker drops the methods
// that nobody calls, as it would not where a name is known only at run time.
var handlers = [...]handler{
	{reflect.TypeFor[Fetcher](), "Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error)",
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Fetch") }},
	{reflect.TypeFor[Alarmer](), "Alarm(ctx context.Context, info durable.AlarmInfo) error",
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("Alarm") }},
	{reflect.TypeFor[WebSocketMessager](), "WebSocketMessage(ctx context.Context, ws *durable.WebSocket, m durable.Message) error",
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("WebSocketMessage") }},
	{reflect.TypeFor[WebSocketCloser](), "WebSocketClose(ctx context.Context, ws *durable.WebSocket, code int, reason string, wasClean bool) error",
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("WebSocketClose") }},
	{reflect.TypeFor[WebSocketErrorer](), "WebSocketError(ctx context.Context, ws *durable.WebSocket, err error) error",
		func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("WebSocketError") }},
}

// misspelled are names that are meant to be handlers'.
var misspelled = [...]func(reflect.Type) (reflect.Method, bool){
	func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("WebsocketMessage") },
	func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("WebsocketClose") },
	func(t reflect.Type) (reflect.Method, bool) { return t.MethodByName("WebsocketError") },
}

// checkHandlers panics for a method that looks like a handler, and would never be
// called.
func checkHandlers[T any](class string) {
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Interface {
		panic("durable: class " + class + ": " + t.String() + " is an interface, which does not say what events the class handles; hint: register the type behind it")
	}
	all := t // with the methods of *T
	if t.Kind() != reflect.Pointer {
		all = reflect.PointerTo(t)
	}
	for _, h := range handlers {
		m, ok := h.method(all)
		switch {
		case !ok || t.Implements(h.typ):
		case all.Implements(h.typ):
			panic("durable: class " + class + ": " + m.Name + " is a method of " + all.String() + " and would never be called; hint: register that type instead of " + t.String())
		default:
			panic("durable: class " + class + ": the method " + m.Name + " of " + t.String() + " would never be called; hint: its signature must be " + h.signature)
		}
	}
	for _, method := range misspelled {
		if m, ok := method(all); ok {
			panic("durable: class " + class + ": the method " + m.Name + " of " + t.String() + " would never be called; hint: handlers' names begin with WebSocket")
		}
	}
}
