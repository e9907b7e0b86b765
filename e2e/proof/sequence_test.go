//go:build !js

package proof

import (
	"strconv"
	"sync"
	"testing"
)

// streamNumbers are what callers know about a stream's numbers.
type streamNumbers struct {
	numbers map[int][]int64 // by requested entry
	known   int             // count of different numbers
	largest int64
	twice   []int64 // numbers that two entries have
}

// numbersOf collects the known numbers of each stream with windows of ttl.
func (h *history) numbersOf(ttl int64) map[string]*streamNumbers {
	streams, owners := map[string]*streamNumbers{}, map[string]map[int64]int{}
	for _, o := range h.ops {
		in, out := o.Input.(input), o.Output.(output)
		if in.op != "next" || in.ttl != ttl {
			continue
		}
		s := streams[in.key]
		if s == nil {
			s = &streamNumbers{numbers: map[int][]int64{}}
			streams[in.key], owners[in.key] = s, map[int64]int{}
		}
		if _, ok := s.numbers[in.entry]; !ok {
			s.numbers[in.entry] = nil // requested, perhaps without an answer
		}
		if out.number == 0 {
			continue
		}
		owner, isKnown := owners[in.key][out.number]
		if isKnown && owner != in.entry {
			s.twice = append(s.twice, out.number)
		}
		if !isKnown {
			owners[in.key][out.number] = in.entry
			s.numbers[in.entry] = append(s.numbers[in.entry], out.number)
			s.known++
			s.largest = max(s.largest, out.number)
		}
	}
	return streams
}

// unknown returns the number of entries whose number no caller knows.
func (s *streamNumbers) unknown() (n int) {
	for _, numbers := range s.numbers {
		if len(numbers) == 0 {
			n++
		}
	}
	return n
}

// gaps returns how many numbers no caller knows.
func (s *streamNumbers) gaps() int { return int(s.largest) - s.known }

// readOut asks for every number until it is known. Then there must be no gap.
// Before that there may be one gap for each unknown number.
func (h *history) readOut(t testing.TB, callers []*caller) {
	t.Helper()
	type question struct {
		stream string
		entry  int
	}
	var questions []question
	for key, s := range h.numbersOf(lasting) {
		if s.gaps() > s.unknown() {
			t.Errorf("stream %s: %d gaps, for %d entries whose number is unknown", key, s.gaps(), s.unknown())
		}
		for entry := range s.numbers {
			questions = append(questions, question{key, entry})
		}
	}
	var wg sync.WaitGroup
	for i, c := range callers {
		c.disturbed = false
		wg.Go(func() {
			for n := i; n < len(questions); n += len(callers) {
				if q := questions[n]; !c.ask(q.stream, q.entry) {
					t.Errorf("stream %s, entry %d: its number stays unknown", q.stream, q.entry)
				}
			}
		})
	}
	wg.Wait()
	h.checkNumbers(t)
}

// checkNumbers fails the test unless each entry has its own number, and streams
// that forget nothing have no gap.
func (h *history) checkNumbers(t testing.TB) {
	t.Helper()
	for key, s := range h.numbersOf(lasting) {
		if s.gaps() != 0 || s.known != len(s.numbers) || len(s.twice) != 0 {
			t.Errorf("stream %s: %d entries with %d numbers up to %d, twice %v", key, len(s.numbers), s.known, s.largest, s.twice)
		}
	}
	for key, s := range h.numbersOf(briefWindow) {
		for _, numbers := range s.numbers {
			h.figures[renewed] += max(len(numbers)-1, 0)
		}
		if len(s.twice) != 0 {
			t.Errorf("stream %s: two entries have the same number: %v", key, s.twice)
		}
	}
}

// ask asks for an entry's number until it is known. The entry has one of two
// fingerprints.
func (c *caller) ask(stream string, entry int) bool {
	epoch, _ := strconv.Atoi(stream)
	fingerprint := "p"
	for range 20 {
		in := c.place("sequence", epoch)
		in.op, in.entry, in.fingerprint = "next", entry, fingerprint
		switch out, _ := c.call(in); out.status {
		case "ok":
			return true
		case "mismatch":
			fingerprint = "q"
		}
	}
	return false
}
