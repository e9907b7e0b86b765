package durablehttp

import (
	"net/http"

	"flow.internal/capdo/internal/jsrt"
)

// job is a request to answer. Its handler runs in the I/O context, and critical
// section, that Serve was called in.
type job struct {
	w     *responseWriter
	h     http.Handler
	r     *http.Request
	place jsrt.Section
}

// start runs the handler in a goroutine of its own.
func (w *responseWriter) start(h http.Handler, r *http.Request) {
	j := job{w, h, r, jsrt.Inside()}
	if idle.n == 0 {
		go serveJobs(j)
		return
	}
	idle.n--
	idle.list[idle.n] <- j
}

// idle are goroutines that have answered a request and wait for the next one.
// Their stacks have already grown to the size that handlers need, which saves
// time.
var idle struct {
	list [32]chan job
	n    int
}

func serveJobs(j job) {
	jsrt.Section{}.Enter() // between two requests it works for nobody
	next := make(chan job, 1)
	for {
		j.run()
		if idle.n == len(idle.list) {
			return
		}
		idle.list[idle.n] = next
		idle.n++
		j = <-next
	}
}

func (j *job) run() {
	leave := j.place.Enter()
	defer leave()
	j.w.run(j.h, j.r)
	*j = job{}
}
