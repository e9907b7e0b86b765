package optimize

import "slices"

// rotate moves the head of each loop to the loop's beginning. Go's compiler
// puts it at the end, and jumps there first. It leaves loops alone that a
// goroutine may enter through the table, because they stay jumps.
func (f *body) rotate() {
	for first := 0; ; {
		var head, last int
		if first, head, last = f.rotated(first); first < 0 {
			return
		}
		f.move(first, head, last)
	}
}

// rotated finds a loop whose head is not its beginning, from a segment on. If
// there is none, first is negative.
func (f *body) rotated(from int) (first, head, last int) {
	for first, last := range f.backs() {
		if last < 0 || first <= max(from-1, 0) || !f.segments[first-1].ends ||
			f.isEntered(first, last) {
			continue
		}
		head := f.head(first, last)
		if head > first {
			return first, head, last
		}
	}
	return -1, 0, 0
}

// backs returns the last segment that jumps back to each segment, or -1.
func (f *body) backs() []int {
	last := slices.Repeat([]int{-1}, len(f.segments))
	f.jumps(func(from int, b branch) {
		if b.to <= from {
			last[b.to] = max(last[b.to], from)
		}
	})
	return last
}

// isEntered reports whether something enters one of the segments through the
// table.
func (f *body) isEntered(first, last int) bool {
	return slices.ContainsFunc(f.segments[first:last+1],
		func(s segment) bool { return s.entered })
}

// head returns the only one of the segments to which others jump. If there is
// none, or more than one, it returns -1.
func (f *body) head(first, last int) int {
	head := -2
	f.jumps(func(from int, b branch) {
		if b.to < first || b.to > last || from >= first && from <= last || b.to == head {
			return
		}
		if head != -2 {
			head = -1
			return
		}
		head = b.to
	})
	return head
}

// move puts the segments from head to last before those from first.
func (f *body) move(first, head, last int) {
	for i := first - 1; i <= last; i++ {
		f.fallThrough(i)
	}
	f.segments = slices.Concat(f.segments[:first], f.segments[head:last+1],
		f.segments[first:head], f.segments[last+1:])
	to := func(i int) int {
		switch {
		case i < first || i > last:
			return i
		case i >= head:
			return i - head + first
		}
		return i + last + 1 - head
	}
	for i := range f.table {
		f.table[i] = to(f.table[i])
	}
	for i := range f.segments {
		for j := range f.segments[i].branches {
			b := &f.segments[i].branches[j]
			b.to = to(b.to)
		}
	}
}

// fallThrough makes a segment jump to the next one.
func (f *body) fallThrough(i int) {
	s := &f.segments[i]
	if s.ends || i+1 == len(f.segments) {
		return
	}
	s.ends = true
	s.branches = append(s.branches,
		branch{start: s.end, end: s.end, to: i + 1, number: slices.Index(f.table, i+1)})
}

// jumps calls fn for each jump to a segment.
func (f *body) jumps(fn func(from int, b branch)) {
	for from, s := range f.segments {
		for _, b := range s.branches {
			if !b.exit {
				fn(from, b)
			}
		}
	}
}

// loops returns the last segment of each loop, by its first one, or -1. It
// marks the segments to which jumps lead back through the table.
func (f *body) loops() []int {
	loops := f.backs()
	for f.breakLoops(loops) {
	}
	return loops
}

// breakLoops removes what is no loop, because it can be entered elsewhere than
// at its beginning. It reports false if there is nothing to remove.
func (f *body) breakLoops(loops []int) (found bool) {
	var firsts []int
	for first, last := range loops {
		if last >= 0 {
			firsts = append(firsts, first)
		}
	}
	isBroken := make([]bool, len(loops))
	f.jumps(func(from int, b branch) {
		for _, first := range firsts {
			last := loops[first]
			if first < b.to && b.to <= last && (from < first || from > last) {
				isBroken[first] = true
			}
		}
	})
	for _, first := range firsts {
		if isBroken[first] || f.isEntered(first+1, loops[first]) {
			loops[first], f.segments[first].entered, found = -1, true, true
		}
	}
	return found
}
