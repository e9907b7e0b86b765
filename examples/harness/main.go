// Harness is a Worker that answers each operation of a Durable Object over
// HTTP, for trying things out on one's own machine: dedupe, sequences, storage,
// alarms, SQL, ids, stubs, WebSockets. GET / lists them with a curl line each.
package main

import (
	"fmt"
	"os"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// classes are two that do the same. The config says what each is backed by.
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
