// Harness is a Worker that serves each operation of a Durable Object over HTTP,
// to try them on your own machine: dedupe, sequences, storage, alarms, SQL,
// ids, stubs, WebSockets. GET / lists them, each with a curl command.
package main

import (
	"fmt"
	"os"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// classes are two identical classes. The config gives each a different storage
// backend.
var classes = []string{"FlowDurableObject", "FlowSqlDurableObject"}

func main() {
	for _, class := range classes {
		durable.Register(class, openObject,
			dodedupe.RecordMethods(func(o *object) *dodedupe.Records { return o.records })...)
	}
	durablehttp.Handle(newMux())
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
