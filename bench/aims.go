//go:build !js

package main

import (
	"bytes"
	"fmt"
)

// aims are the ratios to JavaScript over RPC that this project wants to reach,
// with 16 callers.
var aims = []struct {
	work, peer string
	most       float64
}{
	{"hello", "handlefetch", 1.5},
	{"taken", "handlefetch", 1.5},
	{"taken", "nethttp", 1.8},
	{"new", "handlefetch", 1.15},
	{"taken", "object", 1.10},
	{"new", "object", 1.02},
}

// aimsTable compares the measured ratios with the aims, and says why they differ.
func (r *Results) aimsTable(b *bytes.Buffer) {
	fmt.Fprint(b, `
## Aims

The aims are CPU ratios to JavaScript over RPC, with 16 callers. An aim that is
not reached is marked. The object alone is an object in Go that a Worker in
JavaScript calls.

| | aim | measured |
|---|---:|---:|
`)
	for _, a := range aims {
		measured := r.ratio(a.work, a.peer, 16)
		if measured == 0 {
			continue
		}
		mark := ""
		if measured > a.most {
			mark = " (not reached)"
		}
		fmt.Fprintf(b, "| %s, %s | %.2f | %.2f%s |\n", workTitle(a.work), title(a.peer), a.most,
			measured, mark)
	}
	fmt.Fprint(b, `
[PROFILE.md](PROFILE.md) has the profile behind the difference. Before capdo
optimized the compiled program, about a quarter of the CPU time was in it: hello
world and a taken key took 2.3 times what JavaScript takes, and if the Go program
took no time, that would have been 1.7 and 1.6. The rest is workerd and V8: Go
needs more of their functions for a request, and the same functions take longer
beside a Go program.

Also not reached:

- **The first request of a fresh process in 1.3 times that of an empty Go
  program** (see Cold start). V8 compiles each function when it is called for the
  first time, and a program that serves a request has more of them to
  initialize and to call. The empty program serves none.
- **Five times the speed of a Go runtime per object.** Here that port's objects
  are all in memory, and most of a request's time is workerd's in both.
- **Five heap allocations of Go for a claim.** [PROFILE.md](PROFILE.md) lists
  them.
`)
}

func workTitle(name string) string {
	for _, w := range works {
		if w.Name == name {
			return w.Title
		}
	}
	return name
}
