// Package problem writes error responses as application/problem+json (RFC
// 9457), with a code that callers can act on.
package problem

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Problem is the body of an error response. It never contains a key or a
// payload.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`          // the status in words
	Code   string `json:"code"`           // what went wrong, stable, in snake_case
	Detail string `json:"detail"`         // what failed, as a sentence
	Hint   string `json:"hint,omitempty"` // what the caller can do about it

	// RetryAfter, if positive, is sent in the Retry-After header, in seconds,
	// rounded up.
	RetryAfter time.Duration `json:"-"`
}

// Write sends the problem as the response.
func (p Problem) Write(w http.ResponseWriter) { Write(w, &p, &p) }

// Write sends body, which contains p, as the response. It sets p's title.
func Write(w http.ResponseWriter, p *Problem, body any) {
	p.Title = http.StatusText(p.Status)
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // texts and numbers always marshal
	}
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	Secure(header)
	if p.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	w.WriteHeader(p.Status)
	w.Write(append(text, '\n'))
}

// Secure keeps a response out of caches and stops browsers from guessing its
// type.
func Secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}
