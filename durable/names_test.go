//go:build !js

package durable

import (
	"context"
	"strings"
	"testing"
)

type (
	nearAlarm   struct{}
	nearFetch   struct{}
	nearMessage struct{}
	nearClose   struct{}
	nearError   struct{}
	misspelt    struct{}
	byPointer   struct{}
	right       struct{}
)

func (nearAlarm) Alarm(context.Context) error                                  { return nil }
func (nearFetch) Fetch(string) error                                           { return nil }
func (nearMessage) WebSocketMessage(context.Context, *WebSocket, string) error { return nil }
func (nearClose) WebSocketClose(context.Context, *WebSocket) error             { return nil }
func (nearError) WebSocketError(context.Context, *WebSocket) error             { return nil }
func (misspelt) WebsocketClose(context.Context, *WebSocket) error              { return nil }
func (*byPointer) Alarm(context.Context, AlarmInfo) error                      { return nil }
func (right) Alarm(context.Context, AlarmInfo) error                           { return nil }

func tryRegister[T any](methods ...RPCMethod[T]) (panicked string) {
	defer func(w worker) { program = w }(program)
	defer func() { panicked, _ = recover().(string) }()
	Register("A", func(context.Context, *State, *Env) (t T, err error) { return t, nil }, methods...)
	return ""
}

func TestHandlersThatWouldNeverBeCalledAreRefused(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{tryRegister[nearAlarm](), "must be Alarm(ctx context.Context, info durable.AlarmInfo) error"},
		{tryRegister[nearFetch](), "must be Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error)"},
		{tryRegister[*nearMessage](), "must be WebSocketMessage(ctx"},
		{tryRegister[nearClose](), "must be WebSocketClose(ctx"},
		{tryRegister[nearError](), "must be WebSocketError(ctx"},
		{tryRegister[misspelt](), "WebsocketClose"},
		{tryRegister[byPointer](), "register that type instead of durable.byPointer"},
		{tryRegister[Alarmer](), "is an interface"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	for _, got := range []string{tryRegister[right](), tryRegister[*right](), tryRegister[*byPointer]()} {
		if got != "" {
			t.Error(got)
		}
	}
	defer func(check func(any) string) { checkMethods = check }(checkMethods)
	checkMethods = nil // as in a Worker
	if got := tryRegister[nearAlarm]() + tryRegister[byPointer](); strings.Count(got, "would never be called") != 2 {
		t.Errorf("in a Worker: %q", got)
	}
}

func TestNamesThatMeanSomethingElseAreRefused(t *testing.T) {
	for _, name := range []string{"id", "name", "toString", "valueOf", "hasOwnProperty", "__proto__", "constructor", "then", "dup", "fetch", "connect",
		"alarm", "ctx", "env", "webSocketMessage", "Symbol.dispose", "a-b", ""} {
		method := Method(name, func(right, context.Context, []byte) ([]byte, error) { return nil, nil })
		if got := tryRegister(method); !strings.Contains(got, "cannot be the name of an RPC method: ") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTypesAreCheckedBeforeAMethodRuns(t *testing.T) {
	for want, register := range map[string]func(){
		"(result, at .Total[])": func() {
			Func[right]("a", func(right, context.Context) (struct{ Total []chan int }, error) { panic("ran") })
		},
		"(argument 1)": func() { Func[right]("a", func(right, context.Context, opaque) error { panic("ran") }) },
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, want) {
					t.Errorf("%q, want %q", text, want)
				}
			}()
			register()
		}()
	}
	if _, err := Call[opaque](t.Context(), nil, "a"); err == nil || !strings.Contains(err.Error(), "(result of a)") {
		t.Errorf("Call: %v", err)
	}
}
