package guard

import "net/http"

// Private has every answer of h say that no cache keeps it, and that no browser
// takes it for something else. A handler that wants it otherwise sets the
// headers itself.
func Private(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		SetPrivate(w.Header())
		h.ServeHTTP(w, r)
	})
}

// SetPrivate sets the headers of [Private].
func SetPrivate(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}
