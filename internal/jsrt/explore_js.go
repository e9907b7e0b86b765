//go:build explore

package jsrt

// These are the things that exportTable can count.
const (
	countContexts int32 = iota
	countWaiters        // goroutines that wait for a context's turn
	countPromises       // promises that goroutines of a context wait for
	countOpen           // open invocations of a context
)

// exportTable lets e2e/explore inspect Go's state between turns.
//
//go:wasmexport capdo_table
func exportTable(count, id int32) (n int32) {
	if count == countContexts {
		return int32(len(contexts))
	}
	c := contexts[id]
	if c == nil {
		return 0
	}
	switch count {
	case countWaiters:
		for w := c.first; w != nil; w = w.next {
			n++
		}
	case countPromises:
		n = int32(len(c.ops))
	case countOpen:
		for i := c.open; i != nil; i = i.next {
			n++
		}
	}
	return n
}
