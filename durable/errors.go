package durable

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"flow.internal/capdo/internal/jsrt"
)

// Errors to test for with [errors.Is]. Act on these, never on messages.
var (
	// ErrNoBinding: the environment has no Durable Object namespace, or no
	// queue, under that name.
	ErrNoBinding = errors.New("no such Durable Object binding")
	// ErrInvalidID: not an id, or an id of another namespace.
	ErrInvalidID = errors.New("invalid Durable Object id")
	// ErrLimit: the call would exceed a documented limit, and had no
	// effect. The error is a [*LimitError] or wraps one; if SQLite enforces
	// the limit, it is a [*SQLError].
	ErrLimit = errors.New("limit exceeded")
	// ErrOverloaded: the object has too many requests queued, the account
	// sends too many, or a queue gets too many messages. The call had no
	// effect. Repeating it at once makes the overload worse.
	ErrOverloaded = errors.New("the Durable Object is overloaded")
	// ErrObjectReset: the object was reset (an abort, a crash, new code)
	// during the call. Whether the call took effect is unknown.
	ErrObjectReset = errors.New("the Durable Object was reset")
	// ErrDisconnected: the connection to the object was lost. Whether the
	// call took effect is unknown.
	ErrDisconnected = errors.New("the connection to the Durable Object was lost")
	// ErrStorage: the object's storage failed. Writes that were not yet
	// confirmed to a caller are lost. The object was reset, so the error
	// also matches ErrObjectReset.
	ErrStorage = errors.New("the Durable Object's storage failed")
	// ErrRemote: the object's own code returned an error, or threw one.
	ErrRemote = errors.New("the Durable Object's code failed")
	// ErrValue: a value has no equivalent on the other side of the boundary
	// between Go and JavaScript, or would change on the way.
	ErrValue = jsrt.ErrValue
	// ErrJurisdiction: the jurisdiction is unknown. Local workerd has none.
	ErrJurisdiction = errors.New("no such jurisdiction")
	// ErrNoAlarmHandler: the class has no Alarm method, so it cannot set
	// alarms.
	ErrNoAlarmHandler = errors.New("the class has no alarm handler")
	// ErrNoSQL: the class is not backed by SQLite.
	ErrNoSQL = errors.New("SQL is not enabled for this class")
	// ErrConstraint: the statement would violate a constraint of a table.
	// The error is a [*SQLError].
	ErrConstraint = errors.New("a constraint is violated")
	// ErrNoRows and ErrManyRows: [One] found no row, or more than one.
	ErrNoRows   = errors.New("the query has no rows")
	ErrManyRows = errors.New("the query has more than one row")
	// ErrNoWebSocketHandler: the class handles no events of WebSockets, so
	// it cannot accept them.
	ErrNoWebSocketHandler = errors.New("the class has no WebSocket handler")
	// ErrWebSocketClosed: the WebSocket is closed, or Close was called:
	// nothing can be sent.
	ErrWebSocketClosed = errors.New("the WebSocket is closed")
	// ErrCloseCode: the close code must not be sent, or there is a reason
	// without a code.
	ErrCloseCode = errors.New("no such WebSocket close code")
	// ErrNoUpgrade: a request does not ask for a WebSocket, or it does and
	// the response is not a WebSocket.
	ErrNoUpgrade = errors.New("no WebSocket upgrade")
	// ErrBacklog: messages arrived faster than the program read them, so
	// the connection was closed. From [WebSocket.Send] it means that the
	// other side reads too slowly, and that the message was not sent.
	ErrBacklog = errors.New("too many WebSocket messages were left unread")
	// ErrContextClosed: the invocation that a handle belongs to has ended,
	// or its object was evicted.
	ErrContextClosed = jsrt.ErrContextClosed
	// ErrForeignHandle: a handle (an ID, a WebSocket, …) of one object or
	// request was used with a handle of another.
	ErrForeignHandle = jsrt.ErrForeignHandle
	// ErrNested: [Storage.Transaction] or [State.BlockConcurrencyWhile] was
	// called inside one of them, by the same goroutine or by one that it
	// started.
	ErrNested = jsrt.ErrNestedSection
	// ErrTransactionParked: the function of a synchronous transaction
	// waited for something. The transaction was rolled back.
	ErrTransactionParked = jsrt.ErrTransactionParked
	// ErrTimeUp is the cause of a context whose stateless invocation will
	// soon be ended: about 24 s after its client received the answer or
	// disconnected; for cron triggers and queues, 6 s before the end of their
	// 15 minutes.
	ErrTimeUp = jsrt.ErrTimeUp
	// ErrDeadlock: no operation is in flight that could wake the request's
	// goroutine.
	ErrDeadlock = jsrt.ErrDeadlock
)

// Error is a failure that workerd or the code on the other side of a call
// reported.
type Error struct {
	Name    string // JavaScript's name for it: "Error", "TypeError", …
	Message string
	// Retryable: workerd says that the same call may succeed when repeated.
	// The failed call may still have taken effect.
	Retryable bool
	// Props are properties that the remote code set on the error: booleans,
	// numbers and text. If a handler returns an *Error, its Props of these
	// types, or of types named after them, are sent. Others are dropped.
	Props map[string]any

	kind error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the sentinel that says what kind of failure it is, or nil.
func (e *Error) Unwrap() error { return e.kind }

// wrapped is an error with a text of its own.
type wrapped struct {
	text string
	kind error
}

func (w *wrapped) Error() string { return w.text }
func (w *wrapped) Unwrap() error { return w.kind }

// LimitError says which limit a call would exceed. It matches [ErrLimit].
type LimitError struct {
	Limit       string // what is limited, in words
	Max, Actual int    // bytes or counts
	Min         int    // likewise; 0 if there is no minimum
}

// Error names the limit, the maximum and the actual figure.
func (e *LimitError) Error() string {
	if e.Actual < e.Min {
		return e.Limit + ": " + strconv.Itoa(e.Actual) + " is less than the minimum of " +
			strconv.Itoa(e.Min)
	}
	return e.Limit + ": " + strconv.Itoa(e.Actual) + " exceeds the maximum of " +
		strconv.Itoa(e.Max)
}

// Unwrap returns [ErrLimit].
func (e *LimitError) Unwrap() error { return ErrLimit }

// Retryable reports whether workerd says that the same call may succeed when it
// is repeated, and that repeating it does not harm the object. The call may
// still have had an effect, so repeat only calls that may run twice. Wait
// before each attempt, longer each time.
//
// https://developers.cloudflare.com/durable-objects/best-practices/error-handling/
func Retryable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Retryable && !e.isOverloaded() && !Overloaded(err)
}

// Overloaded reports whether the object had too much to do. It refused the call
// ([ErrOverloaded]), or was reset because of the load, as an object that runs
// out of memory is. Send fewer requests, or spread the work over more objects.
func Overloaded(err error) bool {
	var e *Error
	return errors.Is(err, ErrOverloaded) ||
		errors.As(err, &e) && e.isOverloaded() && errors.Is(e.kind, ErrObjectReset)
}

// isOverloaded reports whether workerd says that this call was overloaded, or,
// in a remote object's error, that another call was.
func (e *Error) isOverloaded() bool {
	overloaded, _ := e.Props["overloaded"].(bool)
	return overloaded
}

// storageReset is the error of an object whose storage failed.
var storageReset = errors.Join(ErrStorage, ErrObjectReset)

// messages classifies errors that no property classifies. Each entry has the
// beginning of a message, and a later part of it if the middle varies. Text
// from users is in the middle or at the end of workerd's messages, never at the
// beginning. The texts are those of workerd 2026-11-17 and of
// https://developers.cloudflare.com/durable-objects/observability/troubleshooting/
// (2026-11); errors_test.go has them in full.
var messages = []struct {
	begins, has string
	kind        error
}{
	{"Durable Object is overloaded", "", ErrOverloaded},
	{"Your account is generating too much load on Durable Objects", "", ErrOverloaded},
	{"Your account is doing too many concurrent storage operations", "", ErrOverloaded},
	{"Durable Object storage operation exceeded timeout",
		"caused object to be reset", storageReset},
	{"Internal error while starting up Durable Object storage",
		"caused object to be reset", storageReset},
	{"Internal error in Durable Object storage", "caused object to be reset", storageReset},
	{"Durable Object's isolate exceeded its memory limit due to overflowing the storage cache",
		"", storageReset},
	{"Durable Object was reset and rolled back to its last known good state", "", storageReset},
	{"Durable Object reset because its code was updated", "", ErrObjectReset},
	{"Durable Object connection closed because the object was reset", "", ErrObjectReset},
	{"Connection closed: this Durable Object instance is no longer active", "", ErrObjectReset},
	{"Durable Object's isolate exceeded its memory limit and was reset", "", ErrObjectReset},
	{"Durable Object exceeded its CPU time limit and was reset", "", ErrObjectReset},
	{"A call to blockConcurrencyWhile() in a Durable Object",
		"and the Durable Object was reset", ErrObjectReset},
	{"Network connection lost", "", ErrDisconnected},
	{"Invalid Durable Object ID", "", ErrInvalidID},
	{"Durable Object ID is not valid for this namespace", "", ErrInvalidID},
	{"Your Durable Object class must have an alarm() handler", "", ErrNoAlarmHandler},
	{"setAlarm() cannot be called with an alarm time", "", ErrValue},
	{"This API doesn't support dates", "", ErrValue},
	{"Failed to execute 'setAlarm' on 'DurableObjectStorage'", "is not of type 'date'", ErrValue},
	{"Jurisdiction restrictions are not implemented", "", ErrJurisdiction},
	{"SQL is not enabled", "", ErrNoSQL},
	{"The storage.", "only available for SQLite-backed Durable Objects", ErrNoSQL},
	{"Durable Object is not backed by SQL", "", ErrNoSQL},
	{"This Durable Object is not backed by SQL", "", ErrNoSQL},
	{"This Durable Object's storage back-end does not implement point-in-time recovery", "",
		errors.ErrUnsupported},
	{"Can't call WebSocket send() after close()", "", ErrWebSocketClosed},
}

// limitMessages are the messages about limits that workerd enforces itself, up
// to the actual figure.
var limitMessages = []struct {
	begins, limit string
	max           int
}{
	{"Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: ", "size of an RPC call's arguments or result, in bytes", MaxRPCSize},
	{"Keys cannot be larger than 2048 bytes. A key of size ",
		"size of a key, in bytes", MaxKeySizeKV},
	{"Values cannot be larger than 131072 bytes. A value of size ",
		"size of a value, in bytes", MaxValueSizeKV},
	{"Maximum number of key value pairs is 128. ", "entries in one call", MaxEntries},
}

// classify adds the kind to an error from JavaScript. It returns others
// unchanged.
func classify(err error) error {
	js, ok := err.(*jsrt.Error)
	if !ok {
		return err
	}
	e := &Error{Name: js.Name, Message: js.Message, Retryable: js.Flag("retryable"),
		Props: js.Props, kind: withSentinels(kindOf(js), js)}
	// For example, a TypeError quotes the wrong value.
	if e.kind == nil && classifySQL != nil && e.Name == "Error" {
		return classifySQL(e)
	}
	return e
}

// classifyStatement is classify for the error of a SQL statement. It checks for
// an error of SQLite first, whatever the text says, because SQLite quotes text
// from users, such as a MATCH or a JSON path.
func classifyStatement(err error) error {
	js, ok := err.(*jsrt.Error)
	if !ok || js.Flag("durableObjectReset") {
		return classify(err)
	}
	e := &Error{Name: js.Name, Message: js.Message,
		Retryable: js.Flag("retryable"), Props: js.Props}
	if sql := parseSQLError(e); sql != nil {
		return sql
	}
	return classify(err)
}

func kindOf(js *jsrt.Error) error {
	kind := kindOfMessage(js.Message)
	switch {
	case js.Flag("durableObjectReset"): // an object without memory is overloaded, too
		if errors.Is(kind, ErrObjectReset) {
			return kind
		}
		return ErrObjectReset
	case js.Flag("remote"): // the text may be about a call that the object made
		return ErrRemote
	case js.Flag("valueRefused"):
		return ErrValue
	case js.Flag("overloaded"):
		return ErrOverloaded
	}
	return kind
}

func kindOfMessage(message string) error {
	for _, m := range messages {
		if rest, ok := strings.CutPrefix(message, m.begins); ok && strings.Contains(rest, m.has) {
			return m.kind
		}
	}
	for _, m := range limitMessages {
		if figure, ok := strings.CutPrefix(message, m.begins); ok {
			figure, _, _ = strings.Cut(figure, " ")
			if actual, err := strconv.Atoi(figure); err == nil {
				return &LimitError{Limit: m.limit, Max: m.max, Actual: actual}
			}
		}
	}
	return nil
}

// throw is the inverse of classify: it returns the error that the caller gets
// for a handler's error. Name and message always arrive, and so do the
// properties that [Error] promises.
func throw(err error) *jsrt.Error {
	js := &jsrt.Error{Name: "Error", Message: validText(err.Error())}
	var e *Error
	if !errors.As(err, &e) {
		nameSentinels(js, err)
		return js
	}
	if e.Name != "" {
		js.Name = validText(e.Name)
	}
	js.Props = map[string]any{}
	for k, v := range e.Props {
		switch k {
		case "name", "message", "stack":
			continue
		case "remote", "retryable", "overloaded", "durableObjectReset", "durableObjectId",
			"valueRefused": // about the failed call, not about this one
			continue
		}
		if p := errorProp(v); p != nil && utf8.ValidString(k) {
			js.Props[k] = p
		}
	}
	nameSentinels(js, err)
	return js
}

func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// errorProp returns a property as a primitive value, or nil. (It does not use
// Encode, which every program would then contain.)
func errorProp(x any) any {
	switch v := reflect.ValueOf(x); {
	case v.Kind() == reflect.Bool:
		return v.Bool()
	case v.Kind() == reflect.String:
		return validText(v.String())
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return v.Uint()
	case v.CanFloat():
		return v.Float()
	}
	return nil
}
