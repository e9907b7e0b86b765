package dedupehttp_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
)

func (a answer) isProblem(status int, code string) bool {
	return a.status == status && bytes.Contains(a.body, []byte(`"code":"`+code+`"`))
}

// The client gets an answer and the Worker continues: the lease is extended,
// and the next request gets the response.
func TestWorkersTimeoutKeepsTheClaim(t *testing.T) {
	var runs atomic.Int32
	extended := make(chan error, 100)
	answered, completed := make(chan bool), make(chan error, 1)
	serve(func(w http.ResponseWriter, r *http.Request) {
		n := runs.Add(1)
		<-answered
		for range 6 { // two leases
			if err := <-extended; err != nil {
				t.Error(err)
			}
		}
		if r.Context().Err() == nil {
			t.Error("the handler's context did not end")
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "charged ", n)
	}, &dedupehttp.Options{Timeout: 300 * time.Millisecond, Lease: 1500 * time.Millisecond}, func(e dedupe.Event) {
		switch e.Op {
		case "Extend":
			extended <- e.Err
		case "Complete":
			completed <- e.Err
		}
	})
	if a := mustSend(t, "k"); !a.isProblem(503, "timed_out") || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	if a := mustSend(t, "k"); !a.isProblem(409, "in_progress") {
		t.Errorf("%d %s", a.status, a.body)
	}
	close(answered)
	if err := <-completed; err != nil {
		t.Fatal(err)
	}
	if a := mustSend(t, "k"); a.status != 201 || string(a.body) != "charged 1" || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
}

// Cloudflare ends an invocation about 30 s after its answer, and the library
// ends the handler before that. A handler that needs longer loses its claim
// when the lease ends. The next run learns that it has taken over.
func TestAHandlerThatOutlivesItsWorkerIsTakenOver(t *testing.T) {
	outlived, over := make(chan bool), make(chan bool)
	var takenOver []bool
	serve(func(w http.ResponseWriter, r *http.Request) {
		claim, _ := dedupehttp.ClaimOf(r.Context())
		if takenOver = append(takenOver, claim.TakenOver); len(takenOver) == 1 {
			<-outlived
			defer close(over)
		}
		fmt.Fprint(w, "run ", len(takenOver))
	}, &dedupehttp.Options{Timeout: 300 * time.Millisecond, Lease: 2 * time.Second}, ignore)
	begin := time.Now()
	if a := mustSend(t, "k"); !a.isProblem(503, "timed_out") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	// The handler works, and its lease is extended.
	for time.Since(begin) < 20*time.Second {
		if a := mustSend(t, "k"); !a.isProblem(409, "in_progress") {
			t.Fatalf("after %v: %d %s", time.Since(begin), a.status, a.body)
		}
		time.Sleep(time.Second)
	}
	var a answer
	for a = mustSend(t, "k"); a.status == 409 && time.Since(begin) < 2*time.Minute; a = mustSend(t, "k") {
		time.Sleep(time.Second)
	}
	if a.status != 200 || string(a.body) != "run 2" || len(takenOver) != 2 || !takenOver[1] {
		t.Errorf("after %v: %d %s; takeovers: %v", time.Since(begin), a.status, a.body, takenOver)
	}
	close(outlived) // the first run ends without changing anything
	<-over
	if a := mustSend(t, "k"); string(a.body) != "run 2" || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s", a.status, a.body)
	}
}
