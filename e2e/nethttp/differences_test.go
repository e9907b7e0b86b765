//go:build !js

package nethttp

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// difference is what is not as behind net/http's server.
type difference struct {
	why  string   // as docs/http.md has it
	ways []string // on which it is so; all when nil
	is   func(got, want seen) bool
}

const (
	statuses  = "A status above 599 is sent as 500."
	joined    = "A header that has several values comes out of an object as one value, joined by commas. `Set-Cookie` is kept."
	panics    = "A handler that panics before it has sent anything is answered with 500."
	breaks    = "A response that breaks off may lose what was flushed just before."
	decoded   = "A body that Go reads, as below a middleware, is decoded from gzip and br."
	multipart = "A Worker has no files: `ParseMultipartForm` fails for what is larger than its memory."
	controls  = "`ResponseController` has no deadlines and no `Hijack`."
)

var differences = map[string]difference{
	"600":                                      {statuses, nil, func(got, want seen) bool { return got.status == 500 && got.body == want.body }},
	"several values":                           {joined, indirect, func(got, _ seen) bool { return slices.Equal(got.header["X-Multi"], []string{"a, b"}) }},
	"a panic":                                  {panics, nil, fails},
	"abort before the header":                  {panics, nil, fails},
	"abort after a Flush":                      {breaks, nil, breaksOff},
	"abort after much":                         {breaks, nil, breaksOff},
	"panic after a Flush":                      {breaks, nil, breaksOff},
	"less than the Content-Length":             {breaks, nil, breaksOff},
	"a proxy whose upstream breaks off":        {breaks, nil, breaksOff},
	"a proxy whose upstream breaks off early":  {breaks, nil, breaksOff},
	"gzip middleware":                          {decoded, copied, isDecoded},
	"gzip middleware, flushed":                 {decoded, copied, isDecoded},
	"chi, gzip":                                {decoded, copied, isDecoded},
	"nothing is recognized in what is encoded": {decoded, copied, isDecoded},
	"br":                           {decoded, copied, func(got, _ seen) bool { return got.body == "hello" && got.header["Content-Encoding"] == nil }},
	"multipart beyond memory":      {multipart, nil, func(got, _ seen) bool { return strings.Contains(got.notes, "not implemented on js") }},
	"ResponseController deadlines": {controls, nil, func(got, _ seen) bool { return got.notes == "feature not supported feature not supported\n" }},
	"ResponseController Hijack":    {controls, nil, func(got, _ seen) bool { return got.status == 501 && got.notes == "true\n" }},
}

func TestDifferencesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range differences {
		if !strings.Contains(string(page), "| "+d.why) {
			t.Errorf("%s: docs/http.md does not say: %s", name, d.why)
		}
	}
}

var (
	indirect = []string{"object", "forward", "copied"}
	copied   = []string{"copied"}
)

func fails(got, want seen) bool { return want.broken && !got.broken && got.status >= 500 }

// breaksOff reports that nothing looks complete, and nothing is wrong.
func breaksOff(got, want seen) bool {
	return want.broken && got.broken && strings.HasPrefix(want.body, got.body[:min(len(got.body), len(want.body))])
}

func isDecoded(got, want seen) bool {
	z, err := gzip.NewReader(bytes.NewBufferString(want.body))
	if err != nil {
		return false
	}
	text, _ := io.ReadAll(z) // what is only flushed has no end
	return got.body == string(text) && got.header["Content-Encoding"] == nil && !got.broken
}
