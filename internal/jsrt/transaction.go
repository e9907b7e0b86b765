package jsrt

import "runtime"

// transaction is a synchronous transaction whose function runs. The function has a goroutine of its own, so that it can be given up
// when it waits: JavaScript's transactionSync is on the stack below, and cannot.
type transaction struct {
	c        *Context
	fn       func() error
	g        uintptr      // the function's goroutine
	outer    *transaction // while running
	next     *transaction // once given up
	finished bool
	err      error
	panicked any
	exited   bool // runtime.Goexit, as in testing's FailNow
}

// patience is how often a transaction's function may give way, to Go's collector above all, before it counts as waiting.
const patience = 1000

// run is called by JavaScript inside transactionSync, and says whether to commit. Goroutines that become runnable meanwhile may run,
// but guard keeps their I/O out.
func (t *transaction) run() (commit bool) {
	c := t.c
	t.outer, c.tx = c.tx, t
	defer func() { c.tx = t.outer }()
	go t.call()
	for n := 0; !t.finished; n++ {
		if n > patience && c.tx == t {
			t.err = ErrTransactionParked
			t.next, c.givenUp = c.givenUp, t
			return false
		}
		runtime.Gosched()
	}
	return t.err == nil && t.panicked == nil && !t.exited
}

func (t *transaction) call() {
	t.g, t.exited = goroutine(), true
	defer func() {
		t.panicked = recover()
		t.exited = t.exited && t.panicked == nil
		t.finished = true
		t.c.forget(t)
	}()
	err := t.fn()
	t.exited = false
	if t.err == nil {
		t.err = err
	}
}

// result is what the transaction's caller gets, once it is over.
func (t *transaction) result() error {
	switch {
	case t.panicked != nil:
		panic(t.panicked)
	case t.exited && t.finished:
		runtime.Goexit()
	}
	return t.err
}

// guard decides about a goroutine that wants to do I/O while a transaction's function runs, or after one was given up.
func (c *Context) guard() (wait bool, err error) {
	g := goroutine()
	for t := c.givenUp; t != nil; t = t.next {
		if t.g == g {
			return false, ErrTransactionParked
		}
	}
	return c.tx != nil && c.tx.g != g, nil
}

// forget drops a transaction that was given up, at the end of its goroutine.
func (c *Context) forget(t *transaction) {
	for p := &c.givenUp; *p != nil; p = &(*p).next {
		if *p == t {
			*p = t.next
			return
		}
	}
}
