// The smallest Worker that dedupes. The benchmarks report its size. It does not
// link net/http.
package main

import (
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
)

func main() {
	dodedupe.RegisterStore("Dedupe")
	durable.Run()
}
