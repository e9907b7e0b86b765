//go:build !js

package javascript

import (
	"encoding/json"
	"strings"
	"testing"
)

// becomes lists the values in testdata/clone.mjs that do not come back
// unchanged: what they become, or the end of the error that refuses them.
// Errors with "clone" come from workerd, which does not send these values to
// Go.
var becomes = map[string]string{
	"undefined": "became null", "an object with undefined": `became {"a":null}`,
	"a sparse Array": "became [1,null,3]", "an Array with a property": "became [1]",
	"an object that occurs twice": `became [{"a":1},{"a":1}]`,
	"an ArrayBuffer":              "became Uint8Array(0,255)", "an empty ArrayBuffer": "became Uint8Array()",

	"a BigInt of 20,000 bits": "a BigInt of more than 16384 bits",
	"501 levels":              "nested more than 500 deep, or contains itself", "a cycle": "nested more than 500 deep, or contains itself",
	"a lone surrogate":          "a string with a lone surrogate cannot be a Go string",
	"a lone surrogate as a key": "a string with a lone surrogate cannot be a Go string",
	"an invalid Date":           "an invalid Date cannot be a Go time",

	"a boxed Boolean": "a JavaScript Boolean", "a boxed Number": "a JavaScript Number", "a boxed String": "a JavaScript String", "a boxed BigInt": "a JavaScript BigInt",
	"a RegExp": "a JavaScript RegExp", "a Map": "a JavaScript Map", "a Set": "a JavaScript Set", "an Error": "a JavaScript Error", "a TypeError": "a JavaScript Error",
	"an Error in a list":  "a JavaScript Error has no equivalent in Go (argument 1 of echo, at [0])",
	"a Uint8ClampedArray": "a JavaScript Uint8ClampedArray", "an Int8Array": "a JavaScript Int8Array", "an Int16Array": "a JavaScript Int16Array",
	"a Uint16Array": "a JavaScript Uint16Array", "an Int32Array": "a JavaScript Int32Array", "a Uint32Array": "a JavaScript Uint32Array",
	"a Float32Array": "a JavaScript Float32Array", "a Float64Array": "a JavaScript Float64Array", "a BigInt64Array": "a JavaScript BigInt64Array",
	"a BigUint64Array": "a JavaScript BigUint64Array", "a DataView": "a JavaScript DataView", "a Blob": "a JavaScript Blob", "Headers": "a JavaScript Headers",
	"a function": "a function has no equivalent in Go",

	"a SharedArrayBuffer": "clone", "a Symbol": "clone", "a WeakMap": "clone", "a File": "serializ", "a URL": "serializ",
	"an instance of a class": "serializ", "an object without a prototype": "serializ",
}

// Every kind of JavaScript value is kept, becomes what the documentation says,
// or is refused with an error that names it: as an argument and a result, and
// after being stored.
func TestEveryValueOfJavaScriptIsKeptOrRefused(t *testing.T) {
	worker := serve(t)
	for _, path := range []string{"/clone", "/kept"} {
		_, _, body := get(t, worker+path)
		var verdicts map[string]string
		if err := json.Unmarshal([]byte(body), &verdicts); err != nil || len(verdicts) < 70 {
			t.Fatalf("%s: %v, %d values: %s", path, err, len(verdicts), body)
		}
		for name, got := range verdicts {
			want, ok := becomes[name]
			if path == "/kept" {
				want = strings.Replace(want, "of echo", "of keep", 1)
			}
			switch {
			case !ok && got != "kept", strings.HasPrefix(want, "became") && got != want,
				ok && !strings.HasPrefix(want, "became") && (!strings.HasPrefix(got, "refused: ") || !strings.Contains(got, want)):
				t.Errorf("%s: %s: %s; want %q", path, name, got, want)
			}
		}
		for name := range becomes {
			if verdicts[name] == "" {
				t.Errorf("%s: %s was not sent", path, name)
			}
		}
	}
}

// Go values come back unchanged from an object written in JavaScript.
func TestValuesOfGoComeBackFromJavaScript(t *testing.T) {
	_, _, body := get(t, serve(t)+"/round")
	var got struct {
		Changed []string
		Samples int
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Changed) > 0 || got.Samples < 30 {
		t.Errorf("%v, %d samples\n%s", err, got.Samples, strings.Join(got.Changed, "\n"))
	}
}
