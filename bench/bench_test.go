//go:build !js

// Package bench measures capdo against hand-written JavaScript and against an empty Go program, side by side in one workerd. Ratios
// count; the figures behind them are this machine's.
package bench

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/workerd"
)

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// BenchmarkSize reports the size of a Worker that only dedupes, of the harness (which links net/http) and of an empty Go program.
func BenchmarkSize(b *testing.B) {
	for b.Loop() {
	}
	for name, dir := range map[string]string{"dedupe": "worker", "harness": "../examples/harness", "empty": "empty"} {
		file := filepath.Join(b.TempDir(), "app.wasm")
		compile(b, dir, file)
		wasm, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		var gz counter
		z := gzip.NewWriter(&gz)
		z.Write(wasm)
		z.Close()
		b.ReportMetric(float64(len(wasm))/1024, name+"-KiB")
		b.ReportMetric(float64(gz)/1024, name+"-KiB-gz")
	}
}

func compile(b *testing.B, dir, out string) {
	b.Helper()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./"+dir)
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if msg, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, msg)
	}
}

// start serves the driver.
func start(b *testing.B) *workerd.Process {
	b.Helper()
	dir := b.TempDir()
	if _, err := build.Run(context.Background(), "worker", dir, nil); err != nil {
		b.Fatal(err)
	}
	binary, err := node.Workerd(".")
	if err != nil {
		b.Fatal(err)
	}
	main, err := filepath.Abs("testdata/main.mjs")
	if err != nil {
		b.Fatal(err)
	}
	modules := workerd.BuildModules(dir)
	modules["main.mjs"], modules["empty.wasm"] = main, filepath.Join(dir, "empty.wasm")
	compile(b, "empty", modules["empty.wasm"])
	p, err := workerd.Start(context.Background(), workerd.Config{
		Binary: binary, Main: "main.mjs", Modules: modules, Objects: workerd.Namespaces("Dedupe", "JSDedupe"), Disk: b.TempDir(),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Kill)
	return p
}

// result is what the driver measured.
type result struct {
	US       float64
	Inserted int
}

func get(b *testing.B, p *workerd.Process, path string) (r result) {
	b.Helper()
	resp, err := http.Get(p.URL + path)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || json.Unmarshal(body, &r) != nil {
		b.Fatalf("GET %s: %s %v\n%s", path, body, err, p.Log())
	}
	return r
}

// BenchmarkClaim reports how long a claim takes in Go and in JavaScript, in µs as the median of rounds that alternate, and the ratio: for a
// new key, where SQLite creates the object's database, and for a key that is taken.
func BenchmarkClaim(b *testing.B) {
	p := start(b)
	const keys, repeat, rounds = 200, 40, 11
	us := map[string][]float64{}
	for b.Loop() {
		for round := range rounds {
			for _, class := range []string{"JSDEDUPE", "DEDUPE"} {
				query := fmt.Sprintf("/claims?class=%s&prefix=%d-%d-&n=%d&repeat=", class, b.N, round, keys)
				first := get(b, p, query+"1")
				again := get(b, p, query+fmt.Sprint(repeat))
				if first.Inserted != keys || again.Inserted != 0 {
					b.Fatalf("%s inserted %d, then %d of %d keys", class, first.Inserted, again.Inserted, keys)
				}
				us[class+" new"] = append(us[class+" new"], first.US)
				us[class+" repeat"] = append(us[class+" repeat"], again.US)
			}
		}
	}
	for _, what := range []string{"new", "repeat"} {
		js, goes := median(us["JSDEDUPE "+what]), median(us["DEDUPE "+what])
		b.ReportMetric(js, "js-"+what+"-µs")
		b.ReportMetric(goes, "go-"+what+"-µs")
		b.ReportMetric(goes/js, what+"-ratio")
	}
}

// BenchmarkBoot reports how long the runtime of a dedupe Worker takes to start, and the ratio to an empty Go program.
func BenchmarkBoot(b *testing.B) {
	p := start(b)
	var boot, empty []float64
	for b.Loop() {
		for range 7 {
			empty = append(empty, get(b, p, "/bootEmpty?n=20").US)
			boot = append(boot, get(b, p, "/boot?n=20").US)
		}
	}
	b.ReportMetric(median(boot), "boot-µs")
	b.ReportMetric(median(empty), "empty-µs")
	b.ReportMetric(median(boot)/median(empty), "ratio")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
