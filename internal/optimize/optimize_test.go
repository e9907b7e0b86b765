//go:build !js

package optimize_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/optimize"
	"flow.internal/capdo/internal/wasm"
)

// A function with direct jumps must do what it did before: call the same
// functions with the same arguments, also if some of them unwind the stack and
// it continues later.
func TestRandomFunctions(t *testing.T) {
	const functions = 3000
	rnd := rand.New(rand.NewPCG(1, 2))
	var bodies [][]byte
	for range functions {
		bodies = append(bodies, randomFunction(rnd))
	}
	before := module(bodies)
	after := optimized(t, before)
	if len(after) > len(before)*19/20 {
		t.Errorf("%d bytes became %d", len(before), len(after))
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"before.wasm": before, "after.wasm": after} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(nodeOf(t), "testdata/run.mjs", dir).CombinedOutput()
	if want := fmt.Sprintf("%d functions, 0 differences", functions); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v\n%.4000s\nwant %s", err, out, want)
	}
}

var standard = flag.String("std", "sync,iter,text/template",
	"run the tests of these packages of the standard library, optimized; all: most of them")

var all = "archive/tar,archive/zip,bufio,bytes,compress/flate,compress/gzip,container/heap," +
	"container/list,context,crypto/aes,crypto/ecdsa,crypto/sha256,database/sql,encoding/asn1," +
	"encoding/base64,encoding/binary,encoding/csv,encoding/gob,encoding/hex,encoding/xml,errors," +
	"fmt,go/parser,go/printer,go/types,hash/crc32,hash/maphash,html/template,image/jpeg," +
	"image/png,index/suffixarray,internal/runtime/maps,internal/zstd,io,iter,log/slog,maps,math," +
	"math/big,math/bits,math/cmplx,math/rand,math/rand/v2,mime/multipart,net/mail,net/textproto," +
	"net/url,path,path/filepath,reflect,regexp,regexp/syntax,runtime,slices,sort,strconv,strings," +
	"sync,sync/atomic,testing,testing/quick,text/scanner,text/tabwriter,text/template,time," +
	"unicode/utf16,unicode/utf8,unique,weak"

func TestStandardLibrary(t *testing.T) {
	if *standard == "all" {
		*standard = all
	}
	root := strings.TrimSpace(string(output(t, exec.Command("go", "env", "GOROOT"))))
	for pkg := range strings.SplitSeq(*standard, ",") {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), "test.wasm")
			build := exec.Command("go", "test", "-c", "-o", program, pkg)
			build.Dir = filepath.Join(root, "src")
			build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOFLAGS=")
			output(t, build)
			b, err := os.ReadFile(program)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(program, optimized(t, b), 0o644); err != nil {
				t.Fatal(err)
			}
			run := exec.Command(nodeOf(t), "--stack-size=8192",
				filepath.Join(root, "lib/wasm/wasm_exec_node.js"), program,
				"-test.short", "-test.timeout=5m")
			run.Dir = filepath.Join(root, "src", pkg)
			run.Env = append(os.Environ(), "GOROOT="+root)
			if out := output(t, run); !strings.HasSuffix(string(out), "PASS\n") {
				t.Errorf("%s", out)
			}
		})
	}
}

func TestOthersStayTheSame(t *testing.T) {
	for _, body := range [][]byte{
		{0, 0x0b},
		{0, 0x41, 7, 0x1a, 0x41, 0, 0x0b},
		{0, 0x02, 0x40, 0x03, 0x40, 0x0c, 0, 0x0b, 0x0b, 0x41, 0, 0x0b}, // a loop without a table
	} {
		m := module([][]byte{body})
		if got := optimized(t, m); !bytes.Equal(got, m) {
			t.Errorf("% x became % x", m, got)
		}
	}
	m := optimized(t, module([][]byte{randomFunction(rand.New(rand.NewPCG(3, 4)))}))
	if got := optimized(t, m); !bytes.Equal(got, m) {
		t.Error("an optimized function was changed")
	}
}

func FuzzProgram(f *testing.F) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		f.Add(module([][]byte{randomFunction(rnd)}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := optimize.Program(b)
		if err != nil {
			return
		}
		if _, err := optimize.Program(out); err != nil {
			t.Errorf("%v after % x became % x", err, b, out)
		}
	})
}

func optimized(t *testing.T, module []byte) []byte {
	t.Helper()
	out, err := optimize.Program(module)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func nodeOf(t *testing.T) string {
	t.Helper()
	path, err := node.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func output(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return out
}

// The module imports these functions: log has the number of what happens, test
// returns an answer, and call may unwind the stack.
const log, test, call = 0, 1, 2

// module returns a module whose functions get the number of a segment, and
// return 1 if they were unwound.
func module(bodies [][]byte) []byte {
	section := func(id byte, parts ...[]byte) []byte {
		content := binary.AppendUvarint(nil, uint64(len(parts)))
		return wasm.AppendBytes([]byte{id}, append(content, bytes.Join(parts, nil)...))
	}
	imported := func(name string, kind ...byte) []byte {
		return append(wasm.AppendBytes([]byte("\x03env"), []byte(name)), kind...)
	}
	const i32 = 0x7f
	var types, exports, code [][]byte
	for i, b := range bodies {
		types = append(types, []byte{1})
		name := wasm.AppendBytes(nil, fmt.Appendf(nil, "f%d", i))
		exports = append(exports, binary.AppendUvarint(append(name, 0), uint64(3+i)))
		code = append(code, wasm.AppendBytes(nil, b))
	}
	return bytes.Join([][]byte{
		[]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte{0x60, 1, i32, 0}, []byte{0x60, 1, i32, 1, i32}),
		section(2, imported("log", 0, 0), imported("test", 0, 1), imported("call", 0, 1),
			imported("sp", 3, i32, 1), imported("memory", 2, 0, 1)),
		section(3, types...), section(7, exports...), section(10, code...),
	}, nil)
}

// randomFunction returns a function in the form of Go's compiler. Segment i has
// the numbers 2i-1 and 2i.
func randomFunction(rnd *rand.Rand) []byte {
	g := generator{rnd: rnd, last: 1 + rnd.IntN(14), loop: rnd.IntN(8) > 0}
	calls := rnd.IntN(4) // of 4 segments end with a call
	for i := range g.last + 1 {
		g.segment(i, calls)
	}
	return g.function()
}

type generator struct {
	rnd  *rand.Rand
	last int  // the last segment
	loop bool // it has jumps
	code []byte
}

func (g *generator) emit(b ...byte) { g.code = append(g.code, b...) }

// segment emits the code of a segment, inside of the blocks of the later ones.
func (g *generator) segment(i, calls int) {
	g.emit(0x41, byte(i), 0x10, log)
	for range g.rnd.IntN(3) {
		g.memory()
	}
	blocks, outer := g.last-i, g.last-i
	if g.loop {
		outer++
	}
	for range g.rnd.IntN(3) { // if test { log; jump }
		g.emit(0x41, byte(i), 0x10, test)
		if g.rnd.IntN(3) == 0 {
			g.emit(0x01, 0xad, 0x50, 0x45) // nop, and twice not
		}
		g.emit(0x04, 0x40)
		if g.rnd.IntN(3) == 0 {
			g.emit(0x41, 40, 0x10, log)
		}
		g.jump(blocks + 1)
		g.emit(0x0b)
	}
	switch n := g.rnd.IntN(8); {
	case i < g.last && n/2 < calls: // it continues with the next segment
		returns := byte(2*(i+1) - g.rnd.IntN(2))
		g.emit(0x42, 0x80|returns, 0x80, 0xc0, 0x00, 0x1a) // i64.const 1<<20 | returns, drop
		g.emit(0x42, 16, 0x1a, 0x41, returns, 0x10, call)
		g.emit(0x23, 0, 0x21, 1, 0x0d, byte(outer))
	case n == 6:
		g.jump(blocks)
	case n == 7 || i == g.last:
		g.emit(0x41, 0, 0x0f)
	}
	if i < g.last || g.loop {
		g.emit(0x0b)
	}
}

// memory emits code that writes to memory, or logs a value.
func (g *generator) memory() {
	if g.rnd.IntN(2) == 0 {
		g.value(0)
		g.emit(0x10, log)
		return
	}
	g.address()
	g.value(0)
	g.emit(0x36, 2, byte(g.rnd.IntN(100)))
}

// address emits the computation of an address on the stack, in Go's way.
func (g *generator) address() { g.emit(0x20, 1, 0xad, 0x42, byte(g.rnd.IntN(64)), 0x7c, 0xa7) }

// value emits code that computes a number of 32 bits.
func (g *generator) value(depth int) {
	n := g.rnd.IntN(9)
	if depth == 4 {
		n %= 4
	}
	switch n {
	case 0:
		g.emit(0x41, byte(g.rnd.IntN(64)))
	case 1:
		g.emit(0x20, 1)
	case 2:
		g.address()
	case 3:
		g.address()
		g.emit(0x28, 2, byte(g.rnd.IntN(100)))
	case 4, 5:
		g.value(depth + 1)
		g.value(depth + 1)
		g.emit(0x6a + byte(g.rnd.IntN(3))) // add, sub, mul
	case 6:
		g.value(depth + 1)
		g.emit(0xad, 0xa7)
	case 7:
		g.value(depth + 1)
		g.emit(0xad, 0x50)
	case 8:
		g.value(depth + 1)
		g.emit(0xad, 0x42, byte(g.rnd.IntN(64)), 0x7c, 0xa7)
	}
}

func (g *generator) jump(depth int) {
	if g.loop {
		number := max(2*g.rnd.IntN(g.last+1)-g.rnd.IntN(2), 0)
		g.emit(0x41, byte(number), 0x21, 0, 0x0c, byte(depth))
	}
}

func (g *generator) function() []byte {
	out := []byte{1, 1, 0x7f, 0x23, 0, 0x21, 1, 0x02, 0x40} // block
	if g.loop {
		out = append(out, 0x03, 0x40)
	}
	for range g.last + 1 {
		out = append(out, 0x02, 0x40)
	}
	out = append(out, 0x20, 0, 0x0e, byte(2*g.last))
	for n := range 2*g.last + 1 {
		out = append(out, byte((n+1)/2))
	}
	out = append(out, 0x0b)
	out = append(out, g.code...)
	return append(out, 0x00, 0x0b, 0x41, 1, 0x0b)
}
