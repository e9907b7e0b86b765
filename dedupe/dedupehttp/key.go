package dedupehttp

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/problem"
)

// MaxIdempotencyKey is the size of the longest key in the header
// Idempotency-Key, in bytes, without quotes and escapes.
const MaxIdempotencyKey = 255

const keyInvalid = "idempotency_key_invalid"

// parseKey returns the key in the values of the header Idempotency-Key: a
// String of RFC 9651, or the bare key.
func parseKey(values []string) (string, *problem.Problem) {
	switch len(values) {
	case 0:
		return "", keyProblem("idempotency_key_missing",
			"This request needs the header Idempotency-Key.")
	case 1:
	default:
		return "", keyProblem(keyInvalid, "The request has more than one header Idempotency-Key.")
	}
	value := strings.Trim(values[0], " \t")
	key, ok := value, isBare(value)
	if strings.HasPrefix(value, `"`) {
		key, ok = unquote(value)
	}
	switch {
	case len(key) > MaxIdempotencyKey:
		return "", keyProblem("idempotency_key_too_long",
			"The key in the header Idempotency-Key is longer than 255 bytes.")
	case !ok:
		return "", keyProblem(keyInvalid,
			"The header Idempotency-Key is not one string of printable ASCII characters, "+
				"without parameters.")
	case key == "":
		return "", keyProblem(keyInvalid, "The key in the header Idempotency-Key is empty.")
	}
	return key, nil
}

func keyProblem(code, detail string) *problem.Problem {
	hint := `send one header like Idempotency-Key: "8e03978e-40d5-43e8-bc93-6894a57f9324"`
	return &problem.Problem{Status: http.StatusBadRequest, Code: code, Detail: detail, Hint: hint}
}

// isBare reports whether a key has only visible characters, and none that ends
// or separates values in a structured field. (Two keys must not count as one:
// if header values are joined, as in Workers, the second header is visible only
// by a comma.)
func isBare(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(`",;\`, c) >= 0 {
			return false
		}
	}
	return true
}

// unquote decodes the string of a structured field. It stops if the result is
// too long.
func unquote(s string) (string, bool) {
	var key []byte
	for i := 1; i < len(s) && len(key) <= MaxIdempotencyKey; i++ {
		switch c := s[i]; {
		case c == '"':
			return string(key), i == len(s)-1
		case c == '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
		case c < ' ' || c > '~':
			return "", false
		}
		key = append(key, s[i])
	}
	return string(key), false
}

// The forms of a ledger's key. A change would forget every live record.
const (
	keyWhole  = 1 // the length of the scope as a varint, the scope, the key
	keyHashed = 2 // the SHA-256 of that
)

// ledgerKey returns the ledger's key for a scope and a key. Different pairs
// have different keys, except for a collision of SHA-256.
func ledgerKey(scope, key string) []byte {
	k := append(binary.AppendUvarint([]byte{keyWhole}, uint64(len(scope))), scope...)
	k = append(k, key...)
	if len(k) <= dedupe.MaxKeySize {
		return k
	}
	sum := sha256.Sum256(k)
	return append([]byte{keyHashed}, sum[:]...)
}

// fingerprint identifies a request: its method, path and query, the headers
// that define the meaning of the body, and the body. If an outer handler, such
// as http.StripPrefix, has changed the URL, both URLs count, so two routes to
// one handler are two requests.
func fingerprint(r *http.Request, body []byte) []byte {
	h := sha256.New()
	parts := []string{
		r.Method, r.URL.EscapedPath(), r.URL.RawQuery,
		strings.Join(r.Header.Values("Content-Type"), ", "),
		strings.Join(r.Header.Values("Content-Encoding"), ", "),
	}
	if path, query := target(r); path != parts[1] || query != parts[2] {
		parts = append([]string{changedURL, path, query}, parts...)
	}
	for _, part := range parts {
		h.Write(appendString(nil, part))
	}
	h.Write(body)
	return h.Sum(nil)
}

const changedURL = "\x00" // no method

// target returns path and query as the client sent them.
func target(r *http.Request) (path, query string) {
	if r.RequestURI == "" { // not from a server
		return r.URL.EscapedPath(), r.URL.RawQuery
	}
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return r.RequestURI, ""
	}
	return u.EscapedPath(), u.RawQuery
}

// appendString appends a string after its length.
func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
