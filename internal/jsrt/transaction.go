package jsrt

import "runtime"

// transaction is a running synchronous transaction. Its function has its own
// goroutine, which can be abandoned when it waits. JavaScript's transactionSync
// is on the stack below and cannot be abandoned.
type transaction struct {
	c        *Context
	fn       func() error
	g        uintptr      // the function's goroutine
	mark     *mark        // of the caller's
	outer    *transaction // while running
	next     *transaction // once given up
	finished bool
	err      error
	panicked any
	exited   bool // runtime.Goexit, as in testing's FailNow
}

// begin is called by JavaScript inside transactionSync. Then it resumes the Go
// program, which runs until every goroutine waits: also others, but
// checkTransaction keeps their I/O out.
func (t *transaction) begin() {
	t.outer, t.c.tx = t.c.tx, t
	go t.call()
}

// end is called when every goroutine waits, and says whether to commit.
func (t *transaction) end() (commit bool) {
	t.c.tx = t.outer
	if !t.finished { // it waits, too
		t.err = ErrTransactionParked
		t.next, t.c.givenUp = t.c.givenUp, t
	}
	return t.err == nil && t.panicked == nil && !t.exited
}

func (t *transaction) call() {
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

// result returns what the transaction's caller gets at the end.
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
