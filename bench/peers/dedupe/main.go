// The smallest Worker that dedupes: what the benchmarks measure. It links no
// net/http.
package main

import (
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
)

func main() {
	dodedupe.RegisterStore("Dedupe")
	durable.Run()
}
