package optimize

import (
	"encoding/binary"
	"slices"
)

// writer writes a function with direct jumps.
type writer struct {
	*body
	loops  []int // the last segments of loops, by their first ones; otherwise -1
	out    []byte
	labels []label // of the blocks around the next instruction
	jumped []bool  // segments that are the target of a branch
}

// label is what a branch refers to: one of the constants, the block that ends
// before a segment, or the loop that begins with it.
type label struct {
	segment int
	loop    bool
}

var (
	dispatch = label{segment: -1}
	trap     = label{segment: -2}
)

func (w *writer) write() []byte {
	w.loops = w.body.loops()
	w.out = append(make([]byte, 0, len(w.b)), w.b[:w.start]...)
	w.jumped = make([]bool, len(w.segments))
	isBack := false
	w.jumps(func(from int, b branch) {
		switch {
		case b.to > from:
			w.jumped[b.to] = true
		case w.loops[b.to] < 0:
			isBack = true
		}
	})
	if isBack {
		w.open(opLoop, dispatch)
	}
	w.region(0, len(w.segments)-1, true)
	if isBack {
		w.close()
	}
	return append(w.out, opUnreachable, opEnd)
}

// region writes consecutive segments: those of a loop, or all.
func (w *writer) region(first, last int, isTop bool) {
	var starts []int
	for i := first; i <= last; i++ {
		starts = append(starts, i)
		if end := w.loops[i]; end >= 0 && (i > first || isTop) {
			i = end
		}
	}
	for _, i := range slices.Backward(starts) {
		if w.isLabel(i, first, isTop) {
			w.open(opBlock, label{segment: i})
		}
	}
	if isTop {
		w.table()
	}
	for _, i := range starts {
		if w.isLabel(i, first, isTop) {
			w.close()
		}
		end := w.loops[i]
		if end < 0 || i == first && !isTop {
			w.segment(i)
			continue
		}
		w.open(opLoop, label{i, true})
		w.region(i, end, false)
		w.close()
	}
}

// isLabel reports whether a block ends before the segment.
func (w *writer) isLabel(i, first int, isTop bool) bool {
	return isTop && w.segments[i].entered || w.jumped[i] && (i > first || isTop)
}

// table writes the jump to the segment where the function is entered. A call
// enters the first one, so that one is tested first. An unknown number ends the
// program.
func (w *writer) table() {
	w.open(opBlock, trap)
	w.out = append(w.out, opGetLocal, target, opI32Eqz, opBrIf)
	w.uint(w.depth(label{}))
	to := make([]int, len(w.body.table))
	for i, segment := range w.body.table {
		if to[i] = w.depth(trap); w.segments[segment].entered {
			to[i] = w.depth(label{segment: segment})
		}
	}
	for len(to) > 1 && to[len(to)-2] == to[len(to)-1] {
		to = to[:len(to)-1]
	}
	if len(to) > 1 {
		w.out = append(w.out, opGetLocal, target, opBrTable)
		w.uint(len(to) - 1)
		for _, depth := range to {
			w.uint(depth)
		}
	}
	w.close()
	w.out = append(w.out, opUnreachable)
}

func (w *writer) segment(i int) {
	s := &w.segments[i]
	at := s.start
	for _, b := range s.branches {
		w.out = append(w.out, w.b[at:b.start]...)
		at = b.end
		w.branch(i, b, s)
	}
	w.out = append(w.out, w.b[at:s.end]...)
}

// branch writes a branch of segment from.
func (w *writer) branch(from int, b branch, s *segment) {
	op := byte(opBr)
	if b.conditional {
		op = opBrIf
	}
	to := label{segment: b.to}
	switch {
	case b.exit: // the same bytes everywhere, which compress well
		w.out = append(w.out, opIf, noResult, opI32Const, 1, opReturn, opEnd)
		return
	case b.to > from:
		if !b.conditional && b.to == from+1 && b.end == s.end {
			return // it comes next
		}
	case w.loops[b.to] >= 0:
		to.loop = true
	default:
		w.back(b)
		return
	}
	w.out = append(w.out, op)
	w.uint(b.depth + w.depth(to))
}

// back writes a jump through the table.
func (w *writer) back(b branch) {
	depth := b.depth + w.depth(dispatch)
	if b.conditional {
		w.out = append(w.out, opIf, noResult)
		depth++
	}
	w.out = appendInt(append(w.out, opI32Const), b.number)
	w.out = append(w.out, opSetLocal, target, opBr)
	w.uint(depth)
	if b.conditional {
		w.out = append(w.out, opEnd)
	}
}

func (w *writer) open(op byte, l label) {
	w.out = append(w.out, op, noResult)
	w.labels = append(w.labels, l)
}

func (w *writer) close() {
	w.out = append(w.out, opEnd)
	w.labels = w.labels[:len(w.labels)-1]
}

// depth returns the number of blocks between the next instruction and a label.
func (w *writer) depth(l label) int {
	i := slices.Index(w.labels, l)
	if i < 0 {
		panic("optimize: no such label")
	}
	return len(w.labels) - 1 - i
}

func (w *writer) uint(n int) { w.out = binary.AppendUvarint(w.out, uint64(n)) }

// appendInt appends a signed number that is not negative.
func appendInt(out []byte, n int) []byte {
	for ; n > 0x3f; n >>= 7 {
		out = append(out, byte(n&0x7f|0x80))
	}
	return append(out, byte(n))
}
