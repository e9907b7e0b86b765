//go:build !js

package profile_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	pprof "github.com/google/pprof/profile"

	"flow.internal/capdo/internal/profile"
	"flow.internal/capdo/internal/wasm"
)

const program = `package main

type T[P any] struct{ p P }

//go:noinline
func (t *T[P]) method() { println(t.p) }

type U struct{}

//go:noinline
func (*U) method() { println("U") }

func main() {
	new(U).method()
	(&T[int]{1}).method()
}
`

func compile(t *testing.T, flags string) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"main.go": program, "go.mod": "module example.com/a-b\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-ldflags="+flags, "-o", "app.wasm", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wasm, err := os.ReadFile(filepath.Join(dir, "app.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestNames(t *testing.T) {
	names, err := profile.Names(compile(t, "-w"))
	if err != nil {
		t.Fatal(err)
	}
	for written, want := range map[string]string{
		"main.__U_.method": "main.(*U).method",
		"main.main":        "main.main",
		"runtime.mallocgc": "runtime.mallocgc",
		"runtime._P_":      "",
	} {
		if got := names[written]; got != want {
			t.Errorf("%s is %q, want %q", written, got, want)
		}
	}
}

func TestNamesOfWhatHasNone(t *testing.T) {
	stripped := compile(t, "-s -w")
	if _, err := profile.Names(stripped); !errors.Is(err, wasm.ErrNoNames) {
		t.Errorf("without names: %v", err)
	}
	named := compile(t, "-w")
	for _, b := range [][]byte{nil, []byte("no module"), named[:100], append(bytes.Clone(named[:8]), 0xff, 0xff, 0xff)} {
		if _, err := profile.Names(b); err == nil {
			t.Errorf("%d bytes: no error", len(b))
		}
	}
}

func TestConvert(t *testing.T) {
	call := func(name string) profile.Call { return profile.Call{Function: name, URL: "file:///a.mjs", Line: 4} }
	c := &profile.CPU{
		StartTime: 1000, EndTime: 2000,
		Nodes: []profile.Node{
			{ID: 1, Call: call("(root)"), Children: []int{2, 3}},
			{ID: 2, Call: call("(idle)")},
			{ID: 3, Call: call("fetch"), Children: []int{4, 5, 6}},
			{ID: 4, Call: call("main.__U_.method")},
			{ID: 5, Call: call("")},
			{ID: 6, Call: profile.Call{}},
		},
		Samples:    []int{2, 4, 4, 3, 5, 6, 9, 3},
		TimeDeltas: []int{50, 100, 200, 300, 400, 500, 600, -7},
	}
	p := profile.Convert(c, map[string]string{"main.__U_.method": "main.(*U).method"})
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := p.Write(&file); err != nil {
		t.Fatal(err)
	}
	p, err := pprof.Parse(&file)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]int64{}
	for _, s := range p.Sample {
		stack := ""
		for _, l := range s.Location {
			stack += l.Line[0].Function.Name + ";"
		}
		got[stack] = [2]int64{s.Value[0], s.Value[1]}
	}
	want := map[string][2]int64{
		"main.(*U).method;fetch;":    {2, 500_000},
		"fetch;":                     {1, 400_000},
		"(anonymous) a.mjs:5;fetch;": {1, 500_000},
		"(native);fetch;":            {1, 600_000},
	}
	for stack, v := range want {
		if got[stack] != v {
			t.Errorf("%s is %v, want %v", stack, got[stack], v)
		}
	}
	if len(got) != len(want) || p.DurationNanos != 1_000_000 {
		t.Errorf("got %v, %d ns", got, p.DurationNanos)
	}
}
