package guard

import "net/http"

// Private sets headers on every answer of h: caches must not store it, and
// browsers must not guess its type. A handler may set the headers differently.
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
