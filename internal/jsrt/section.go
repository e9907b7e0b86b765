package jsrt

import "context"

// section is the critical section of an object: a transaction, or a part with concurrency blocked. workerd has one at a time.
type section struct {
	taken chan struct{} // holds one while somebody is inside
	owner uintptr       // the goroutine that is
	over  chan struct{} // closed at the end of a transaction; nil without one
}

// EnterSection waits until nobody is in the critical section, and enters it. A goroutine that is inside already gets [ErrNestedSection].
func (c *Context) EnterSection(ctx context.Context) error {
	if c == nil {
		return errUnsupported
	}
	mu.Lock()
	if c.section.taken == nil {
		c.section.taken = make(chan struct{}, 1)
	}
	mu.Unlock()
	g := goroutine()
	if c.section.owner == g {
		return ErrNestedSection
	}
	select {
	case c.section.taken <- struct{}{}:
		c.section.owner = g
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// EnterTransaction is EnterSection for what may be rolled back. Until [Context.LeaveSection], other goroutines of the context wait before
// they do I/O, since what they write would be rolled back, too. What is done through a [Ref] marked with [Ref.Inside] belongs to it.
func (c *Context) EnterTransaction(ctx context.Context) error {
	err := c.EnterSection(ctx)
	if err == nil {
		c.section.over = make(chan struct{})
	}
	return err
}

// Shared is the key of a context whose transaction belongs to several goroutines: package durablesql's users run its statements.
type Shared struct{}

// Inside marks a reference as one that only the transaction has.
func (r *Ref) Inside() { r.inside = true }

// isInside reports whether the running goroutine belongs to the transaction: it began it, or runs a function of TransactionSync that it
// calls.
func (c *Context) isInside() bool {
	g := goroutine()
	return c.section.owner == g || (c.tx != nil && c.tx.g == g)
}

// LeaveSection lets the next one in.
func (c *Context) LeaveSection() {
	c.section.owner = 0
	c.endTransaction()
	<-c.section.taken
}

// endTransaction lets those go on who wait for its end.
func (c *Context) endTransaction() {
	if c.section.over != nil {
		close(c.section.over)
		c.section.over = nil
	}
}
