//go:build !js

package nethttp

// difference is what is not as behind net/http's server.
type difference struct {
	way []string // those on which it is so; all when nil
	why string   // as docs/http.md has it
	is  func(got, want seen) bool
}

var differences = map[string]difference{}
