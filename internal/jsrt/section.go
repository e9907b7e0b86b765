package jsrt

import "context"

// section is the critical section of an object: a transaction, or a part with concurrency blocked. workerd has one at a time.
type section struct {
	taken chan struct{} // holds one while somebody is inside
	owner uintptr       // the goroutine that is
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

// LeaveSection lets the next one in.
func (c *Context) LeaveSection() {
	c.section.owner = 0
	<-c.section.taken
}
