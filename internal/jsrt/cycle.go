package jsrt

import (
	"context"
	"strconv"
	"time"
)

// maxSteps limits a search for a cycle, in visited calls and invocations.
const maxSteps = 10_000

// objectCall is a call to an object that has not been answered yet.
type objectCall struct {
	ctx    context.Context // of the goroutine that waits
	number pending
	callee *Ref
	method string
	begun  time.Time
	id     string // the callee's id, after it was looked up
	isTold bool   // a cycle with this call has been reported
}

// objects maps ids of objects to their contexts. It contains objects with a
// call that has been waiting for long.
var objects = map[string]*Context{}

// MarkObject marks r as a stub of another object.
func (r *Ref) MarkObject() { r.isObject = true }

// objectCalled returns the call to an object, made by a method of r or by a
// host method whose first argument is the stub. It returns nil if no object is
// called.
func (r *Ref) objectCalled(ctx context.Context, method string, args []any) *objectCall {
	if !r.isObject {
		if len(args) == 0 {
			return nil
		}
		first, ok := args[0].(*Ref)
		if !ok || first == nil || !first.isObject {
			return nil
		}
		r = first
	}
	return &objectCall{ctx: ctx, callee: r, method: method, begun: time.Now()}
}

// look reports cycles of calls: a call from object c waits for an object that
// itself waits for c. Only calls older than patience count. If a lock is held
// during a call, such a cycle waits forever. JavaScript calls look if an event
// of c has been open for long and has I/O in flight. Each object finds its own
// id and the ids of the objects that it calls. The last object to do so finds
// the cycle.
func (c *Context) look(patience time.Duration) {
	defer func() { c.isLooking = false }()
	if c.section.hasBegun {
		setMark(c.section.mark) // otherwise the section would hold back this goroutine, too
	}
	calls := c.longCalls(patience)
	if len(calls) == 0 {
		return
	}
	if c.objectID == "" {
		id := objectID(program.State(c))
		if id == "" || c.closed {
			return
		}
		c.objectID, objects[id] = id, c
	}
	for _, call := range calls {
		if call.id == "" {
			call.id = objectID(call.callee)
		}
	}
	for _, call := range calls {
		s := search{start: c, patience: patience, seen: map[*Invocation]bool{}}
		if !call.isTold && s.follow(call) {
			s.report()
		}
	}
}

// objectID returns the id of the object behind a stub or a DurableObjectState,
// or "" if it has none.
func objectID(r *Ref) string {
	v, err := r.Get("id")
	id, ok := v.(*Ref)
	if err != nil || !ok {
		return ""
	}
	defer id.Release()
	if v, err = r.c.Host().Call("id", id); err != nil {
		return ""
	}
	text, _ := v.([]any)[0].(string)
	return text
}

// longCalls returns the calls for which goroutines of c have waited longer than
// patience.
func (c *Context) longCalls(patience time.Duration) (calls []*objectCall) {
	mu.Lock()
	defer mu.Unlock()
	for _, o := range c.ops {
		if o.call != nil && time.Since(o.call.begun) > patience {
			calls = append(calls, o.call)
		}
	}
	return calls
}

// search looks for a path of calls back to the object where it starts.
type search struct {
	start    *Context
	patience time.Duration
	path     []step
	end      string // what the last call waits for
	seen     map[*Invocation]bool
	steps    int
}

// step is a call and its caller.
type step struct {
	from string
	call *objectCall
}

// follow goes from a call to the invocation that answers it, and reports
// whether the path returns to its start.
func (s *search) follow(call *objectCall) bool {
	c := objects[call.id]
	if c == nil || c.closed {
		return false
	}
	s.path = append(s.path, step{called(call.callee.c, FromContext(call.ctx)), call})
	if c == s.start && c.section.hasBegun { // the section holds the call back
		s.end = called(c, nil) + "." + call.method +
			", held back by a transaction or a blocked section"
		return true
	}
	i := s.answering(c, call)
	if i != nil && c == s.start {
		s.end = called(c, i)
		return true
	}
	if i != nil && !s.seen[i] && s.goOn(c, i) {
		return true
	}
	s.path = s.path[:len(s.path)-1]
	return false
}

// goOn follows the calls that an invocation of c waits for. (If a goroutine's
// context belongs to no invocation, it may work for any of them.)
func (s *search) goOn(c *Context, i *Invocation) bool {
	s.seen[i] = true
	for _, next := range c.longCalls(s.patience) {
		from := FromContext(next.ctx)
		if next.id != "" && (from == nil || from == i) && s.step() && s.follow(next) {
			return true
		}
	}
	return false
}

// answering returns the open invocation of c that probably answers a call. It
// is the first matching one that began after the call.
func (s *search) answering(c *Context, call *objectCall) (first *Invocation) {
	for i := c.open; i != nil && s.step(); i = i.next {
		if i.answers(call) && (first == nil || i.id < first.id) {
			first = i
		}
	}
	return first
}

func (s *search) step() bool {
	s.steps++
	return s.steps <= maxSteps
}

// answers reports whether an invocation may be the one that a call to its
// object waits for. Numbers are given in ascending order. While a constructor
// runs, other invocations wait.
func (i *Invocation) answers(call *objectCall) bool {
	switch i.Kind {
	case Construct:
		return true
	case Fetch, Method:
		return i.id > int32(call.number) && program.Name(i) == call.method
	}
	return false
}

// called returns the name of an object's invocation, as Class(id).method.
func called(c *Context, i *Invocation) string {
	name := program.Class(c)
	if len(c.objectID) > 8 {
		name += "(" + c.objectID[:8] + "…)"
	}
	if i != nil {
		name += "." + program.Name(i)
	}
	return name
}

// report prints which call waits for which. It shows the ids of objects,
// because their names are user data.
func (s *search) report() {
	text := "capdo: a cycle of calls has gone on for " +
		strconv.Itoa(int(time.Since(s.path[len(s.path)-1].call.begun).Seconds())) + " s: "
	for _, step := range s.path {
		step.call.isTold = true
		text += step.from + " → "
	}
	// one write, one entry in the log
	print(text + s.end +
		"\nhint: if the last one needs a lock that the first one holds, neither returns: " +
		"release the lock before you call another object, and give calls a deadline\n")
}
