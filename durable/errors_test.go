package durable

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"flow.internal/capdo/internal/jsrt"
)

// sentinels are all errors that callers can test for.
var sentinels = []error{ErrNoBinding, ErrInvalidID, ErrLimit, ErrOverloaded, ErrObjectReset, ErrDisconnected, ErrStorage, ErrRemote, ErrValue,
	ErrJurisdiction, ErrNoAlarmHandler, ErrNoSQL, ErrContextClosed, ErrTransactionParked, ErrTimeUp, ErrDeadlock, errors.ErrUnsupported}

// classified lists errors with workerd's messages. errors_js_test.go provokes
// those that local workerd can produce. Only Cloudflare produces the others:
// they are documented at
// https://developers.cloudflare.com/durable-objects/observability/troubleshooting/,
// or were found in workerd's program of 2026-11-17. Some have the properties
// that users reported.
var classified = []struct {
	message               string
	props                 string // the properties that are true
	want                  []error
	retryable, overloaded bool
}{
	// Overloaded.
	{"Durable Object is overloaded. Too many requests queued.", "overloaded", []error{ErrOverloaded}, false, true},
	{"Durable Object is overloaded. Too many requests queued.", "overloaded retryable", []error{ErrOverloaded}, false, true},
	{"Durable Object is overloaded. Too much data queued.", "overloaded", []error{ErrOverloaded}, false, true},
	{"Durable Object is overloaded. Requests queued for too long.", "overloaded", []error{ErrOverloaded}, false, true},
	{"Durable Object is overloaded. Requests queued for too long.", "", []error{ErrOverloaded}, false, true},
	{"Durable Object is overloaded. Too many requests for the same object within a 10 second window.", "overloaded", []error{ErrOverloaded}, false, true},
	{"Your account is generating too much load on Durable Objects. Please back off and try again later.", "", []error{ErrOverloaded}, false, true},
	{"Your account is doing too many concurrent storage operations. Please back off and try again later.", "", []error{ErrOverloaded}, false, true},
	{"an unknown reason", "overloaded", []error{ErrOverloaded}, false, true},

	// Reset.
	{"Durable Object reset because its code was updated.", "durableObjectReset", []error{ErrObjectReset}, false, false},
	{"Durable Object reset because its code was updated.", "durableObjectReset retryable", []error{ErrObjectReset}, true, false},
	{"Durable Object reset because its code was updated.", "", []error{ErrObjectReset}, false, false},
	{"Connection closed: this Durable Object instance is no longer active. Reconnect or retry the request.", "retryable", []error{ErrObjectReset}, true, false},
	{"Durable Object connection closed because the object was reset.", "", []error{ErrObjectReset}, false, false},
	{"Durable Object's isolate exceeded its memory limit and was reset.", "durableObjectReset overloaded", []error{ErrObjectReset}, false, true},
	{"Durable Object's isolate exceeded its memory limit and was reset.", "durableObjectReset overloaded remote", []error{ErrObjectReset}, false, true},
	{"Durable Object's isolate exceeded its memory limit and was reset.", "", []error{ErrObjectReset}, false, false},
	{"Durable Object exceeded its CPU time limit and was reset.", "durableObjectReset", []error{ErrObjectReset}, false, false},
	{"Durable Object exceeded its CPU time limit and was reset.", "", []error{ErrObjectReset}, false, false},
	{"A call to blockConcurrencyWhile() in a Durable Object waited for too long. The call was canceled and the Durable Object was reset.", "durableObjectReset overloaded", []error{ErrObjectReset}, false, true},
	{"the reason given to Abort", "durableObjectReset", []error{ErrObjectReset}, false, false},
	{"the Go program exited with code 2: panic: boom", "durableObjectReset remote", []error{ErrObjectReset}, false, false},

	// Storage.
	{"Durable Object storage operation exceeded timeout which caused object to be reset.", "durableObjectReset", []error{ErrStorage, ErrObjectReset}, false, false},
	{"Internal error while starting up Durable Object storage caused object to be reset.", "durableObjectReset retryable", []error{ErrStorage, ErrObjectReset}, true, false},
	{"Internal error while starting up Durable Object storage caused object to be reset; reference = 0123456789abcdef", "", []error{ErrStorage, ErrObjectReset}, false, false},
	{"Internal error in Durable Object storage write caused object to be reset; reference = 0123456789abcdef", "durableObjectReset", []error{ErrStorage, ErrObjectReset}, false, false},
	{"Internal error in Durable Object storage deleteAll() caused object to be reset; reference = 0123456789abcdef", "durableObjectReset", []error{ErrStorage, ErrObjectReset}, false, false},
	{"Durable Object's isolate exceeded its memory limit due to overflowing the storage cache. This could be due to writing too many values to storage without stopping to wait for writes to complete, or due to reading too many values in a single operation (e.g. a large list()). All objects in the isolate were reset.", "durableObjectReset overloaded", []error{ErrStorage, ErrObjectReset}, false, true},
	{"Durable Object was reset and rolled back to its last known good state because the application left the database in a state where constraints were violated: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT", "durableObjectReset", []error{ErrStorage, ErrObjectReset}, false, false},
	{"This Durable Object's storage back-end does not implement point-in-time recovery.", "", []error{errors.ErrUnsupported}, false, false},

	// Disconnected.
	{"Network connection lost.", "retryable", []error{ErrDisconnected}, true, false},
	{"Network connection lost.", "", []error{ErrDisconnected}, false, false},

	// Remote: what an object says about its own calls did not happen to its
	// caller.
	{"panic: boom", "remote", []error{ErrRemote}, false, false},
	{"Durable Object is overloaded. Too many requests queued.", "remote overloaded", []error{ErrRemote}, false, false},
	{"Durable Object is overloaded. Too many requests queued.", "remote overloaded retryable", []error{ErrRemote}, false, false},
	{"Network connection lost.", "remote", []error{ErrRemote}, false, false},
	{"Network connection lost.", "remote retryable", []error{ErrRemote}, true, false},
	{"The RPC receiver does not implement the method \"nothere\".", "remote", []error{ErrRemote}, false, false},
	{"Handler does not export a fetch() function.", "remote", []error{ErrRemote}, false, false},
	{"Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: 33554433 bytes.", "remote", []error{ErrRemote}, false, false},

	// Limits that the runtime enforces.
	{"Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: 33554433 bytes.", "", []error{ErrLimit}, false, false},
	{"Keys cannot be larger than 2048 bytes. A key of size 2049 was provided.", "", []error{ErrLimit}, false, false},
	{"Values cannot be larger than 131072 bytes. A value of size 131107 was provided.", "", []error{ErrLimit}, false, false},
	{"Maximum number of key value pairs is 128. 129 pairs were provided.", "", []error{ErrLimit}, false, false},

	// Ids, alarms, and what a class or a backend does not have.
	{"Invalid Durable Object ID: must be 64 hex digits", "", []error{ErrInvalidID}, false, false},
	{"Durable Object ID is not valid for this namespace.", "", []error{ErrInvalidID}, false, false},
	{"Jurisdiction restrictions are not implemented in workerd.", "", []error{ErrJurisdiction}, false, false},
	{"Your Durable Object class must have an alarm() handler in order to call setAlarm()", "", []error{ErrNoAlarmHandler}, false, false},
	{"setAlarm() cannot be called with an alarm time <= 0", "", []error{ErrValue}, false, false},
	{"This API doesn't support dates after 2189.", "", []error{ErrValue}, false, false},
	{"This API doesn't support dates before 1687.", "", []error{ErrValue}, false, false},
	{"Failed to execute 'setAlarm' on 'DurableObjectStorage': parameter 1 is not of type 'date'.", "", []error{ErrValue}, false, false},
	{"SQL is not enabled for this Durable Object class. To enable it, change `new_classes` to `new_sqlite_classes` within the 'migrations' field in your wrangler.jsonc or wrangler.toml file.", "", []error{ErrNoSQL}, false, false},
	{"The storage.kv (synchronous KV) API is only available for SQLite-backed Durable Objects, but this object's namespace is not declared to use SQLite.", "", []error{ErrNoSQL}, false, false},
	{"Durable Object is not backed by SQL.", "", []error{ErrNoSQL}, false, false},
	{"This Durable Object is not backed by SQLite storage, so the SQL API is not available.", "", []error{ErrNoSQL}, false, false},
	{"Can't call WebSocket send() after close().", "", []error{ErrWebSocketClosed}, false, false},

	// No sentinel: a caller cannot act on these.
	{"internal error; reference = 0123456789abcdef", "retryable", nil, true, false},
	{"Cannot perform I/O on behalf of a different Durable Object. I/O objects (such as streams, request/response bodies, and others) created in the context of one Durable Object cannot be accessed from a different Durable Object in the same isolate.", "", nil, false, false},
	{"list() cannot be called with both start and startAfter values.", "", nil, false, false},
	{"UNIQUE constraint failed: t.i: SQLITE_CONSTRAINT", "", nil, false, false},
	{"A key of size", "", nil, false, false},
}

func TestClassify(t *testing.T) {
	for _, c := range classified {
		err := classify(&jsrt.Error{Name: "Error", Message: c.message, Props: propsOf(c.props)})
		var e *Error
		if !errors.As(err, &e) || e.Message != c.message {
			t.Errorf("%q %s became %#v", c.message, c.props, err)
		}
		for _, sentinel := range sentinels {
			if want := slices.Contains(c.want, sentinel); errors.Is(err, sentinel) != want {
				t.Errorf("%q %s is %q: %v", c.message, c.props, sentinel, !want)
			}
		}
		if Retryable(err) != c.retryable || Overloaded(err) != c.overloaded {
			t.Errorf("%q %s: Retryable is %v, Overloaded is %v", c.message, c.props, Retryable(err), Overloaded(err))
		}
	}
}

func propsOf(names string) map[string]any {
	props := map[string]any{}
	for name := range strings.FieldsSeq(names) {
		props[name] = true
	}
	return props
}

// Two rows must not match the same text: the order of the table would decide.
func TestEachMessageMatchesOneRowOnly(t *testing.T) {
	for _, c := range classified {
		n := 0
		for _, m := range messages {
			if rest, ok := strings.CutPrefix(c.message, m.begins); ok && strings.Contains(rest, m.has) {
				n++
			}
		}
		if n > 1 {
			t.Errorf("%q matches %d rows", c.message, n)
		}
	}
}

func TestEachRowHasAMessage(t *testing.T) {
	has := func(begins, text string) bool {
		for _, c := range classified {
			if rest, ok := strings.CutPrefix(c.message, begins); ok && strings.Contains(rest, text) {
				return true
			}
		}
		return false
	}
	for _, m := range messages {
		if !has(m.begins, m.has) {
			t.Errorf("no message begins %q and has %q", m.begins, m.has)
		}
	}
	for _, m := range limitMessages {
		if !has(m.begins, "") {
			t.Errorf("no message begins %q", m.begins)
		}
	}
}

// Users' text may be anything, even workerd's message for another failure.
func TestTextOfUsersDoesNotDecideWhatFailed(t *testing.T) {
	defer func(before func(*Error) error) { classifySQL = before }(classifySQL)
	for _, c := range classified {
		for _, frame := range []string{
			"%: SQLITE_ERROR",
			"bad JSON path: '%': SQLITE_ERROR",
			"% at offset 3: SQLITE_ERROR",
			"%: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_TRIGGER)",
		} {
			text := strings.Replace(frame, "%", c.message, 1)
			err := classifyStatement(&jsrt.Error{Name: "Error", Message: text})
			var e *SQLError
			if !errors.As(err, &e) || errors.Is(err, ErrConstraint) != strings.Contains(frame, "CONSTRAINT") {
				t.Fatalf("%q became %#v", text, err)
			}
			for _, sentinel := range sentinels {
				if errors.Is(err, sentinel) {
					t.Errorf("a statement: %q is %q", text, sentinel)
				}
			}
		}
		classifySQL = sqlError
		for _, begins := range []string{"Invalid URL: ", "Fetch API cannot load: ", `Invalid header value: "`, "x"} {
			err := classify(&jsrt.Error{Name: "TypeError", Message: begins + c.message + ": SQLITE_TOOBIG"})
			var e *SQLError
			if errors.As(err, &e) {
				t.Errorf("%q became an error of SQLite", err)
			}
			for _, sentinel := range sentinels {
				if errors.Is(err, sentinel) {
					t.Errorf("%q is %q", begins+c.message, sentinel)
				}
			}
		}
	}
}

func TestGoErrorsPassUnclassified(t *testing.T) {
	if err := classify(context.Canceled); err != context.Canceled {
		t.Errorf("a Go error became %v", err)
	}
	if err := classify(nil); err != nil {
		t.Errorf("nil became %v", err)
	}
	for _, err := range []error{nil, context.Canceled, ErrContextClosed} {
		if Retryable(err) || Overloaded(err) {
			t.Errorf("%v: Retryable is %v, Overloaded is %v", err, Retryable(err), Overloaded(err))
		}
	}
}

func TestLimitsThatWorkerdEnforcesSayTheFigures(t *testing.T) {
	for message, want := range map[string]LimitError{
		"Serialized RPC arguments or return values are limited to 32MiB, but the size of this value was: 33554433 bytes.": {Limit: "size of an RPC call's arguments or result, in bytes", Max: MaxRPCSize, Actual: 33554433},
		"Keys cannot be larger than 2048 bytes. A key of size 2049 was provided.":                                         {Limit: "size of a key, in bytes", Max: MaxKeySizeKV, Actual: 2049},
		"Values cannot be larger than 131072 bytes. A value of size 131107 was provided.":                                 {Limit: "size of a value, in bytes", Max: MaxValueSizeKV, Actual: 131107},
		"Maximum number of key value pairs is 128. 129 pairs were provided.":                                              {Limit: "entries in one call", Max: MaxEntries, Actual: 129},
	} {
		var limit *LimitError
		if err := classify(&jsrt.Error{Message: message}); !errors.As(err, &limit) || *limit != want {
			t.Errorf("%q: %#v", message, err)
		}
	}
}

func TestThrowKeepsNameAndProperties(t *testing.T) {
	in := &Error{Name: "RangeError", Message: "m", Props: map[string]any{"code": "E1", "remote": true, "overloaded": true, "durableObjectId": "0"}}
	js := throw(errors.Join(errors.New("while asking"), in))
	if js.Name != "RangeError" || len(js.Props) != 1 || js.Props["code"] != "E1" || js.Message != "while asking\nm" {
		t.Errorf("%#v", js)
	}
	if js := throw(errors.New("bad \xff text")); js.Message != "bad \uFFFD text" {
		t.Errorf("%#v", js)
	}
	if js := throw(errors.New("plain")); js.Name != "Error" || js.Message != "plain" {
		t.Errorf("%#v", js)
	}
}

func TestLimitErrorSaysWhichLimit(t *testing.T) {
	for _, c := range []struct {
		err  *LimitError
		want string
	}{
		{&LimitError{Limit: "size of a key, in bytes", Max: 10, Actual: 11}, "size of a key, in bytes: 11 exceeds the maximum of 10"},
		{&LimitError{Limit: "timeout of retries, in ms", Min: 500, Max: 60000, Actual: 499}, "timeout of retries, in ms: 499 is less than the minimum of 500"},
		{&LimitError{Limit: "timeout of retries, in ms", Min: 500, Max: 60000, Actual: 60001}, "timeout of retries, in ms: 60001 exceeds the maximum of 60000"},
		{&LimitError{Limit: "retries", Max: 5, Actual: -1}, "retries: -1 is less than the minimum of 0"},
	} {
		if !errors.Is(c.err, ErrLimit) || c.err.Error() != c.want {
			t.Errorf("%v", c.err)
		}
	}
}
