package dedupehttp

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Problem is the body of an error response, as application/problem+json (RFC 9457). Act on Code and Status, never on the texts. It never
// contains a key or a payload.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`          // the status in words
	Code   string `json:"code"`           // what went wrong, stable
	Detail string `json:"detail"`         // what failed, in a sentence
	Hint   string `json:"hint,omitempty"` // what to do about it

	// RetryAfter, if positive, is sent in the header Retry-After, in seconds, rounded up.
	RetryAfter time.Duration `json:"-"`
}

// write sends the problem as the response.
func (p Problem) write(w http.ResponseWriter) {
	p.Title = http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // texts and a number always marshal
	}
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	secure(header)
	if p.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n'))
}

// secure keeps a response out of caches, and browsers from taking it for what it
// is not.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}
