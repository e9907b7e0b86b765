package durable_test

import (
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// oddNames are names that mean something in JavaScript, but work as method
// names.
var oddNames = []string{"get", "put", "delete", "list", "queue", "scheduled", "email", "tail", "trace", "test", "map", "catch", "finally", "call", "apply", "bind",
	"length", "prototype", "arguments", "caller", "toJSON", "inspect", "dispose", "static", "async", "await", "yield", "new", "class", "import", "props", "self",
	"state", "storage", "go", "method", "eval", "undefined", "NaN", "symbol", "iterator", "next", "return", "close", "accept", "abort", "jurisdiction", "equals", "$", "_"}

func TestOddNamesOfMethodsWork(t *testing.T) {
	stub := durabletest.New(t, "LEDGER")
	for _, name := range oddNames {
		if got, err := durable.Call[string](t.Context(), stub, name); got != name || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
