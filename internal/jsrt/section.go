package jsrt

import "context"

// criticalSection is the critical section of an object: a transaction, or a
// function during which concurrency is blocked. workerd runs one at a time and
// holds back events during it. This type holds back goroutines that are not
// inside. Otherwise their writes would become part of the transaction, which
// may be rolled back after they got a success. They would also read values that
// the section may change.
type criticalSection struct {
	taken     chan struct{} // has one element while a goroutine is inside
	owner     uintptr       // the goroutine that is inside
	mark      *mark         // of the owner and of the goroutines that it starts
	before    *mark         // the owner's mark before it entered
	beginning pending       // settles when workerd begins the section
	hasBegun  bool
	waiting   *waiter // goroutines outside that need the context
}

// mark says for which context a goroutine works, and whether it is in the
// context's section. A goroutine inherits the mark of the goroutine that starts
// it. To the Go runtime a mark is an empty set of profiler labels.
type mark struct {
	list []struct{} // the runtime reads it as the list of labels
	_    byte       // gives each mark its own address
}

// Here returns the context of the handler that has started the running
// goroutine, directly or through others. It is nil if there is none or if it is
// closed.
func Here() *Context {
	m := marked()
	if m == nil {
		return nil
	}
	for _, c := range contexts {
		if m == &c.mark || m == c.section.mark {
			return c
		}
	}
	return nil
}

// EnterSection waits until the critical section is free, and enters it. A
// goroutine that is already inside gets [ErrNestedSection].
func (c *Context) EnterSection(ctx context.Context) error {
	if c == nil {
		return errUnsupported
	}
	mu.Lock()
	if c.section.taken == nil {
		c.section.taken = make(chan struct{}, 1)
	}
	mu.Unlock()
	if c.section.owner == goroutine() || c.section.mark != nil && c.section.mark == marked() {
		return ErrNestedSection
	}
	select {
	case c.section.taken <- struct{}{}:
		c.section.mark, c.section.before = new(mark), marked()
		c.section.owner = goroutine()
		setMark(c.section.mark)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// BeginSection calls the host's method that begins the section, and waits until
// workerd has begun it. After that, other goroutines are held back.
func (c *Context) BeginSection(ctx context.Context, method string, args ...any) (any, error) {
	v, err := c.Host().call(method, false, args)
	if p, ok := v.(pending); ok {
		c.section.beginning = p
		return c.await(ctx, p, nil, nil)
	}
	return v, err
}

// LeaveSection lets the next goroutine in.
func (c *Context) LeaveSection() {
	setMark(c.section.before)
	c.section.owner, c.section.mark, c.section.before, c.section.hasBegun = 0, nil, nil, false
	c.section.release()
	<-c.section.taken
}

// Inside returns the context of the running goroutine, and its critical section
// if it is in one, for [Section.Enter].
func Inside() Section { return Section{marked()} }

// Section is the context and critical section of a goroutine. The zero Section
// is no context.
type Section struct{ mark *mark }

// Enter makes the running goroutine work in the section until leave is called.
func (s Section) Enter() (leave func()) {
	before := marked()
	setMark(s.mark)
	return func() { setMark(before) }
}

// holdsBack reports whether a section has begun and the running goroutine is
// not inside. (The owner may have set profiler labels, which replace its mark.)
func (s *criticalSection) holdsBack() bool {
	return s.hasBegun && s.mark != marked() && s.owner != goroutine()
}

// wait returns when the section is over.
func (s *criticalSection) wait() {
	w := &waiter{ready: make(chan struct{}, 1)}
	w.next, s.waiting = s.waiting, w
	<-w.ready
}

func (s *criticalSection) release() {
	w := s.waiting
	s.waiting = nil
	for ; w != nil; w = w.next {
		w.ready <- struct{}{}
	}
}
