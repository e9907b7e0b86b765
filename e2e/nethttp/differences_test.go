//go:build !js

package nethttp

import (
	"slices"
	"strings"
	"testing"

	"flow.internal/capdo/e2e/internal/documented"
)

// difference is a difference to net/http's server.
type difference struct {
	why  string   // as in docs/http.md
	ways []string // ways that differ; nil means all
	is   func(got, want seen) bool
}

const (
	statuses  = "A status above 599 is sent as 500."
	joined    = "A header that has several values comes out of an object as one value, joined by commas. `Set-Cookie` is kept."
	panics    = "A handler that panics before it has sent anything is answered with 500."
	breaks    = "A response that breaks off may lose what was flushed just before."
	multipart = "A Worker has no files: `ParseMultipartForm` fails for what is larger than its memory."
	controls  = "`ResponseController` has no deadlines and no `Hijack`."
)

var differences = map[string]difference{
	"600":                                     {statuses, nil, func(got, want seen) bool { return got.status == 500 && got.body == want.body }},
	"several values":                          {joined, indirect, func(got, _ seen) bool { return slices.Equal(got.header["X-Multi"], []string{"a, b"}) }},
	"a panic":                                 {panics, nil, fails},
	"abort before the header":                 {panics, nil, fails},
	"abort after a Flush":                     {breaks, nil, breaksOff},
	"abort after much":                        {breaks, nil, breaksOff},
	"panic after a Flush":                     {breaks, nil, breaksOff},
	"less than the Content-Length":            {breaks, nil, breaksOff},
	"a proxy whose upstream breaks off":       {breaks, nil, breaksOff},
	"a proxy whose upstream breaks off early": {breaks, nil, breaksOff},
	"multipart beyond memory":                 {multipart, nil, func(got, _ seen) bool { return strings.Contains(got.notes, "not implemented on js") }},
	"ResponseController deadlines":            {controls, nil, func(got, _ seen) bool { return got.notes == "feature not supported feature not supported\n" }},
	"ResponseController Hijack":               {controls, nil, func(got, _ seen) bool { return got.status == 501 && got.notes == "true\n" }},
}

func TestDifferencesAreDocumented(t *testing.T) {
	for name, d := range differences {
		documented.Row(t, "../../docs/http.md", d.why, name)
	}
}

var indirect = []string{"object", "forward", "copied"}

func fails(got, want seen) bool { return want.broken && !got.broken && got.status >= 500 }

// breaksOff reports whether the response is incomplete and otherwise right.
func breaksOff(got, want seen) bool {
	return want.broken && got.broken && strings.HasPrefix(want.body, got.body[:min(len(got.body), len(want.body))])
}
