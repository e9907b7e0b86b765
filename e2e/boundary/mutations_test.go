//go:build !js

package boundary

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
)

var allMutations = flag.Bool("all-mutations", false, "make each mistake, not only the first three")

// mutations are mistakes that the fuzzer must find. The first three are like
// the mistake that once overwrote Go's heap: they trust an earlier check of a
// value when they write it.
var mutations = []struct{ name, file, from, to string }{
	{"the space is not checked", "value.mjs", "if (this.pos + n <= this.end) return;", "if (this.u8 !== this.own || this.pos + n <= this.end) return;"},
	{"a string may be longer than the space", "value.mjs", "this.u8.subarray(this.pos + 4, this.end)", "this.u8.subarray(this.pos + 4)"},
	{"holes are skipped, though they were counted", "value.mjs", "for (let i = 0; i < n; i++) this.value(v[i]); // a hole is undefined", "for (let i = 0; i < n; i++) if (i in v) this.value(v[i]);"},
	{"the class's own byteLength is trusted", "value.mjs", "const n = lengthOf(b);", "const n = b.byteLength;"},
	{"the size of large bytes is trusted", "value.mjs", "if (this.parts.some(", "if (false && this.parts.some("},
	{"a value may be one byte too large", "value.mjs", "this.end = memory ? end : this.own.length;", "this.end = memory ? end + 1 : this.own.length;"},
	{"a length is written without the bytes", "value.mjs", "    this.need(n);\n    this.u8.set(b, this.pos);\n", "    this.need(n);\n"},
	{"a property is read twice", "value.mjs", "this.string(k); this.value(v[k]);", "this.string(k); v[k]; this.value(v[k]);"},
	{"a date's own getTime is trusted", "value.mjs", "this.date(timeOf(v))", "this.date(v.getTime())"},
	{"an invalid date is sent to Go", "value.mjs", "if (ms !== ms) throw", "if (false) throw"},
	{"depth is not limited", "value.mjs", "if (++this.depth > MAX_DEPTH) throw", "if (false) throw"},
	{"lone surrogates are replaced", "value.mjs", "if (!s.isWellFormed()) throw new TypeError", "if (false) throw new TypeError"},
	{"references of refused values remain", "value.mjs", "for (const ref of this.held) context.free(ref);", ""},
	{"an own property __proto__ is a prototype", "value.mjs", `if (key === "__proto__") Object.defineProperty`, `if (false) Object.defineProperty`},
	{"any value with an error's prototype is passed on", "value.mjs", "export const asError = (e) => toError(errorFields(e));", "export const asError = (e) => attempt(() => e instanceof Error, false) ? e : toError(errorFields(e));"},
	{"a thenable is trusted to be a promise", "runtime.mjs", "then(promise, settle, (e) => settle(asError(e)));", "thenable.then(settle, (e) => settle(asError(e)));"},
	{"a reference is freed twice", "context.mjs", "this.refs[ref] = undefined;\n    this.unused.push(ref);", "this.unused.push(ref, ref);"},
}

// The fuzzer must find each mistake within seconds. Otherwise it would miss
// others.
func TestMutations(t *testing.T) {
	list := mutations
	if !*allMutations {
		list = list[:3]
	}
	for _, m := range list {
		t.Run(m.name, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(worker.Tested.Dir, m.file))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(b), m.from) != 1 {
				t.Fatalf("the mutation does not apply to %s any more", m.file)
			}
			path := filepath.Join(t.TempDir(), m.file)
			if err := os.WriteFile(path, []byte(strings.Replace(string(b), m.from, m.to, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			p := serve(t, map[string]string{m.file: path}, "100")
			for seed, way := range []string{"direct", "edges", "direct", "direct", "direct", "direct"} {
				if r := fuzz(p, way, seed, 200); len(r.Failures) > 0 {
					t.Logf("found after %v, by %s with seed %d: %.300s", time.Since(start).Round(100*time.Millisecond), way, seed, r.Failures[len(r.Failures)-1])
					return
				}
			}
			t.Errorf("not found within %v", time.Since(start))
		})
	}
}
