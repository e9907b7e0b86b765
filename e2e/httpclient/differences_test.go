//go:build !js

package httpclient

// difference is a difference between a client in a Worker and a native one.
type difference struct {
	why  string   // as in docs/http.md
	ways []string // ways that differ; nil means all
	has  string   // the outcome contains this text
}

const (
	host     = "`Request.Host` other than the URL's host is refused, with `http.ErrNotSupported`. With `Transport` it works."
	trailers = "`Request.Trailer` is refused, with `http.ErrNotSupported`."
	panics   = "An object whose handler panics before it has sent anything: the error has the panic's text."
)

var differences = map[string]difference{
	"a Host of its own":       {host, []string{"default", "without a context", "in an object", "copy", "outbound"}, "Request.Host is"},
	"a trailer":               {trailers, []string{"default", "without a context", "in an object", "outbound", "object"}, "fetch cannot send trailers"},
	"abort before the header": {panics, []string{"object"}, "abort Handler"},
}
