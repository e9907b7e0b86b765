package optimize

import (
	"slices"

	"flow.internal/capdo/internal/wasm"
)

// body is a function's code. It has the form
//
//	block loop block … block  local.get target  br_table  end
//	segment 0 end segment 1 end … segment n  end unreachable end …
//
// and the table leads to the block that ends before the segment. The first block
// is there if the function calls others, and the loop if it has jumps.
type body struct {
	b        []byte
	start    int  // where the blocks begin
	exits    bool // there is a block around everything, for unwinding the stack
	loop     bool
	table    []int // segments; the last one is for all other numbers
	segments []segment
	returns  []int // numbers that the function stores as return addresses
}

type segment struct {
	start, end int
	branches   []branch // in the order of the code
	entered    bool     // something enters it through the table
	ends       bool     // the next one does not come after it
}

// branch is an instruction, or a group of them, that leaves a segment's code.
type branch struct {
	start, end  int
	depth       int  // of the blocks around it, within the segment
	exit        bool // it leaves the function's loop, to unwind the stack
	number      int  // the number of its target
	to          int  // the target segment
	conditional bool
}

// parse reports false if the function does not have the form.
func parse(b []byte) (*body, bool) {
	f := &body{b: b}
	r := wasm.NewReader(b)
	last, ok := f.dispatch(r)
	if !ok {
		return nil, false
	}
	for n := range last + 1 {
		s, ok := f.segment(r, last-n)
		if !ok {
			return nil, false
		}
		f.segments = append(f.segments, s)
	}
	if !f.loop {
		r.Back(r.At() - 1) // the end of the outer block
	}
	r.Is(opUnreachable)
	rest := []byte{opEnd}
	if f.exits {
		rest = []byte{opEnd, opI32Const, 1, opEnd}
	}
	if !r.Is(rest...) || r.More() {
		return nil, false
	}
	f.segments[0].entered = true
	for _, n := range f.returns {
		// A call returns to its number. After a panic, a function continues with the
		// call of its deferred functions, which has the number before that.
		f.segments[f.lookup(n)].entered = true
		f.segments[f.lookup(max(n-1, 0))].entered = true
	}
	return f, true
}

// dispatch reads the function's beginning. It returns the number of the last
// segment.
func (f *body) dispatch(r *wasm.Reader) (last int, ok bool) {
	locals(r)
	f.start = r.At()
	outer := blocks(r)
	f.loop = r.Is(opLoop, noResult)
	inner := blocks(r)
	if !r.Is(opGetLocal, target, opBrTable) {
		return 0, false
	}
	for n := r.Uint() + 1; n > 0 && !r.Failed(); n-- {
		f.table = append(f.table, int(r.Uint()))
	}
	if r.Failed() || !r.Is(opEnd) {
		return 0, false
	}
	for last = -1; slices.Contains(f.table, last+1); last++ {
	}
	if last != slices.Max(f.table) {
		return 0, false // each segment has a number
	}
	f.exits = outer+inner == last+2
	if f.loop {
		return last, outer <= 1 && inner == last+1
	}
	return last, f.exits
}

// blocks reads the beginnings of blocks, and returns their number.
func blocks(r *wasm.Reader) (n int) {
	for r.Is(opBlock, noResult) {
		n++
	}
	return n
}

// segment reads a segment, inside of some blocks.
func (f *body) segment(r *wasm.Reader, blocks int) (s segment, ok bool) {
	s.start = r.At()
	exit := blocks
	if f.loop {
		exit++
	}
	const none = -1
	address := none
	for depth := 0; ; {
		b := branch{start: r.At(), depth: depth}
		if f.jump(r, &b, blocks) {
			s.branches = append(s.branches, b)
			s.ends = depth == 0 && !b.conditional
			continue
		}
		op := r.Byte()
		if depth > 0 || op != opEnd {
			s.ends = depth == 0 && (op == opReturn || op == opUnreachable)
		}
		switch op {
		case opBlock, opLoop, opIf:
			depth++
			immediates(r, op)
		case opEnd:
			if depth == 0 {
				s.end = b.start
				return s, !r.Failed()
			}
			depth--
		case opBr, opBrIf:
			to := int(r.Uint())
			b.exit = f.exits && to == depth+exit
			if b.end = r.At(); b.exit && op == opBrIf && address != none {
				f.returns = append(f.returns, address)
				s.branches = append(s.branches, b)
				address = none
			} else if to >= depth {
				return s, false
			}
		case opBrTable:
			return s, false // Go's compiler makes no other one
		case opI64Const:
			// A return address has the function's number and that of a segment. After
			// it and before the call there are only small numbers.
			if n := r.Int(); n >= 1<<16 {
				address = int(n & 0xffff)
			}
		default:
			immediates(r, op)
		}
		if r.Failed() {
			return s, false
		}
	}
}

// jump reads a jump to a segment, if there is one.
func (f *body) jump(r *wasm.Reader, b *branch, blocks int) bool {
	start := r.At()
	b.conditional = r.Is(opIf, noResult)
	depth := b.depth
	if b.conditional {
		depth++
	}
	if f.loop && r.Is(opI32Const) {
		n := r.Int()
		if n >= 0 && r.Is(opSetLocal, target, opBr) && int(r.Uint()) == depth+blocks &&
			(!b.conditional || r.Is(opEnd)) && !r.Failed() {
			b.number, b.to, b.end = int(n), f.lookup(int(n)), r.At()
			return true
		}
	}
	r.Back(start)
	b.conditional = false
	return false
}

// lookup returns the segment that the table has for a number.
func (f *body) lookup(number int) int { return f.table[min(number, len(f.table)-1)] }
