package jsrt

import "runtime"

// transaction is a running synchronous transaction. Its function has its own
// goroutine, which can be abandoned if it waits. JavaScript's transactionSync
// is below it on the stack and cannot be abandoned.
type transaction struct {
	c        *Context
	fn       func() error
	g        uintptr      // the function's goroutine
	mark     *mark        // of the caller's goroutine
	outer    *transaction // while running
	next     *transaction // after it was abandoned
	finished bool
	err      error
	panicked any
	exited   bool // by runtime.Goexit, as in testing's FailNow
}

// begin is called by JavaScript inside transactionSync. JavaScript then resumes
// the Go program, which runs until every goroutine waits. Other goroutines run
// too, but checkTransaction stops their I/O.
func (t *transaction) begin() {
	t.outer, t.c.tx = t.c.tx, t
	start(t)
}

// end is called when every goroutine waits. It reports whether to commit.
func (t *transaction) end() (commit bool) {
	t.c.tx = t.outer
	if !t.finished { // it waits
		t.err = ErrTransactionParked
		t.next, t.c.givenUp = t.c.givenUp, t
	}
	return t.err == nil && t.panicked == nil && !t.exited
}

func (t *transaction) work() {
	t.g, t.exited = goroutine(), true
	setMark(t.mark)
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

// result returns the result for the transaction's caller.
func (t *transaction) result() error {
	switch {
	case t.panicked != nil:
		panic(t.panicked)
	case t.exited && t.finished:
		runtime.Goexit()
	}
	return t.err
}

// checkTransaction decides whether a goroutine may do I/O while a transaction's
// function runs, or after one was abandoned.
func (c *Context) checkTransaction() (wait bool, err error) {
	g := goroutine()
	for t := c.givenUp; t != nil; t = t.next {
		if t.g == g {
			return false, ErrTransactionParked
		}
	}
	return c.tx != nil && c.tx.g != g, nil
}

// forget drops an abandoned transaction at the end of its goroutine.
func (c *Context) forget(t *transaction) {
	for p := &c.givenUp; *p != nil; p = &(*p).next {
		if *p == t {
			*p = t.next
			return
		}
	}
}
