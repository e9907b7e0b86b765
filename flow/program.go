package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/jsontext"
	"flow.internal/capdo/internal/keepopen"
)

// Handler is the code of a node. [Func] makes a Handler of a function.
type Handler struct {
	// Run gets the node's input as JSON, and returns its output. It may run
	// more than once for the same input, and concurrently in several
	// places: see [Delivery].
	Run func(ctx context.Context, in json.RawMessage) (json.RawMessage, error)
	// Effects and Determinism describe the code, if they are set. They must
	// not exceed what the node declares.
	Effects     Effects
	Determinism Determinism
	// Keep returns the value to store instead of the output of a node that
	// runs exactly once, and Restore makes the output of it again, for
	// repetitions. Use them if a part of the output must not be stored. Set
	// both or neither. If Keep fails, the node has run, and the error
	// matches [ErrOutput]. Restore may use [Resource].
	Keep    func(out json.RawMessage) (json.RawMessage, error)
	Restore func(
		ctx context.Context, kept json.RawMessage,
	) (json.RawMessage, error)
}

// Func makes a handler of a function whose input and output are converted from
// and to JSON. If an input does not fit In, the error is [ErrInput].
func Func[In, Out any](f func(ctx context.Context, in In) (Out, error)) Handler {
	return Handler{Run: func(ctx context.Context, in json.RawMessage) (json.RawMessage, error) {
		var v In
		if json.Unmarshal(in, &v) != nil {
			// The decoder's error may contain a value of the input.
			return nil, ErrInput
		}
		out, err := f(ctx, v)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(out)
		if err != nil {
			return nil, ErrOutput
		}
		return text, nil
	}}
}

// Options configure a [Program]. Nil means the defaults.
type Options struct {
	// Lease is how long a claim lasts after its holder has crashed: until
	// then callers with the same key wait. 30 s when 0.
	Lease time.Duration
	// Wait is how long a caller waits for another one with the same key, at
	// most [dedupe.MaxWait]; 10 s when 0.
	Wait time.Duration
	// Recovery, if set, resumes runs that stopped in the middle.
	Recovery *Recovery
}

// Program is a flow with its handlers. Its methods may be called by any number
// of goroutines.
type Program struct {
	name  string
	steps []step // in an order in which they can run
	ends  []string
	claim dedupe.ClaimOptions

	recovery *Recovery // nil: none
}

// step is a node with its handler and its inputs.
type step struct {
	node     *Node
	handler  Handler
	delivery Delivery
	from     []string // nodes whose output is its input; none: the flow's input
}

// Compile makes a program of a flow and its handlers, which are listed by node.
// It fails with an [*InvalidError] for the findings of [Flow.Validate], and for
// handlers that are missing, have no node, or do more than their node declares.
// It also fails with [dedupe.ErrInvalidLease] and [dedupe.ErrInvalidWait].
func Compile(
	f *Flow, handlers map[string]Handler, opts *Options,
) (*Program, error) {
	findings := append(f.Validate(), checkHandlers(f, handlers)...)
	if opts != nil && opts.Recovery != nil {
		var v validator
		opts.Recovery.check(&v)
		findings = append(findings, v.findings...)
	}
	if err := invalid(short(f.Name), findings); err != nil {
		return nil, err
	}
	p := &Program{
		name:  f.Name,
		claim: dedupe.ClaimOptions{Lease: 30 * time.Second, Wait: 10 * time.Second},
	}
	if opts != nil && opts.Lease != 0 {
		p.claim.Lease = opts.Lease
	}
	if opts != nil && opts.Wait != 0 {
		p.claim.Wait = opts.Wait
	}
	err := p.claim.Check([]byte("k"))
	if opts != nil && opts.Recovery != nil {
		p.recovery = opts.Recovery.withDefaults()
		_, ttl := dedupe.TTLMillis(p.recovery.TTL, 0)
		err = errors.Join(err, ttl)
	}
	if err != nil {
		return nil, fmt.Errorf("flow %q: %w", f.Name, err)
	}
	p.arrange(f, handlers)
	return p, nil
}

func checkHandlers(f *Flow, handlers map[string]Handler) []Finding {
	var v validator
	nodes := map[string]bool{}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		nodes[n.Name] = true
		h := handlers[n.Name]
		if h.Run == nil {
			v.add(CodeNoHandler, n.Name, nil, "there is no handler for the node")
		}
		if (h.Keep == nil) != (h.Restore == nil) {
			v.add(CodeIncompleteRecovery, n.Name, nil,
				"the handler has only one of Keep and Restore")
		}
		if h.Effects != "" && h.Effects.rank() < 0 {
			v.add(CodeUnknownValue, n.Name, nil, "the handler declares unknown effects, %q",
				h.Effects)
		}
		if h.Determinism != "" && h.Determinism.rank() < 0 {
			v.add(CodeUnknownValue, n.Name, nil, "the handler declares an unknown determinism, %q",
				h.Determinism)
		}
		v.findings = append(v.findings, n.conflicts("its handler", h.Effects, h.Determinism)...)
	}
	for _, name := range slices.Sorted(maps.Keys(handlers)) {
		if !nodes[name] {
			v.add(CodeHandlerOnly, name, nil, "there is no node for the handler")
		}
	}
	return v.findings
}

// arrange copies a valid flow. It orders the nodes so that each comes after
// those that lead to it.
func (p *Program) arrange(f *Flow, handlers map[string]Handler) {
	into, leadsOn := map[string][]Edge{}, map[string]bool{}
	for _, e := range f.Edges {
		into[e.To] = append(into[e.To], e)
		leadsOn[e.From] = true
	}
	placed := map[string]bool{}
	for len(p.steps) < len(f.Nodes) {
		for _, n := range f.Nodes {
			ready := !slices.ContainsFunc(into[n.Name],
				func(e Edge) bool { return !placed[e.From] })
			if placed[n.Name] || !ready {
				continue
			}
			placed[n.Name] = true
			p.steps = append(p.steps, newStep(n, into[n.Name], handlers[n.Name]))
			if !leadsOn[n.Name] {
				p.ends = append(p.ends, n.Name)
			}
		}
	}
}

func newStep(n Node, into []Edge, h Handler) step {
	n.Requires = slices.Clone(n.Requires)
	if n.Idempotency != nil {
		i := *n.Idempotency
		i.Fingerprint = slices.Clone(i.Fingerprint)
		n.Idempotency = &i
	}
	s := step{node: &n, handler: h, delivery: AtLeastOnce}
	for _, e := range into {
		s.from, s.delivery = append(s.from, e.From), e.Delivery
	}
	return s
}

// grace is how long Run waits for a handler to return after its context has
// ended.
const grace = time.Second

// Run runs the flow on a JSON input, and returns the output of the last node.
// If several nodes lead to no other, it returns an object of their outputs by
// name. One node runs at a time. The first failure ends the run, with a
// [*NodeError]. Completed work stays completed, and a run with the same input
// continues where the recorded claims and results say that this one has
// stopped.
//
// Run fails with an [*InvalidError] before any work if a required capability is
// not bound. It fails with [ErrInput] if the input is not JSON, is not UTF-8,
// or has half of a surrogate pair.
//
// It returns at the latest one second after ctx has ended. If a handler has not
// returned by then, it continues, keeps its claim meanwhile, and its result is
// kept. In a Worker it continues for as long as the platform keeps the
// invocation open, about 30 s; after that the claim stays until its lease ends.
func (p *Program) Run(ctx context.Context, b Bindings, in []byte) ([]byte, error) {
	if err := p.Preflight(b); err != nil {
		return nil, err
	}
	input, err := canonical(in)
	if err != nil {
		return nil, ErrInput
	}
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	leave := keepopen.Invocation(ctx)
	go func() {
		defer leave()
		out, err := p.run(ctx, b, input, p.recovery != nil)
		done <- result{out, err}
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-ctx.Done():
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case r := <-done:
		return r.out, r.err
	case <-late.C:
		return nil, context.Cause(ctx)
	}
}

// run runs the nodes in order. If there is a Recovery, the run is watched from
// the first node that is effectful or claimed.
func (p *Program) run(
	ctx context.Context, b Bindings, sent json.RawMessage, watched bool,
) ([]byte, error) {
	outputs := map[string]json.RawMessage{}
	first := len(p.steps)
	if watched {
		first = slices.IndexFunc(p.steps,
			func(s step) bool { return s.node.Effects == Effectful || s.delivery != AtLeastOnce })
		if first < 0 {
			first = len(p.steps)
		}
	}
	err := p.runSteps(ctx, p.steps[:first], b, sent, outputs)
	if err == nil && first < len(p.steps) {
		err = p.watch(ctx, b, sent, func(ctx context.Context) error {
			return p.runSteps(ctx, p.steps[first:], b, sent, outputs)
		})
	}
	if err != nil {
		return nil, err
	}
	return join(outputs, p.ends), nil
}

// runSteps runs nodes in order. The first failure ends the run, except an
// at-most-once node that has begun before: nodes that do not depend on it must
// still run, and only a repetition can run them.
func (p *Program) runSteps(
	ctx context.Context, steps []step, b Bindings, sent json.RawMessage,
	outputs map[string]json.RawMessage,
) error {
	var begun error
	for i := range steps {
		s := &steps[i]
		if ctx.Err() != nil {
			return &NodeError{Node: s.node.Name, Err: context.Cause(ctx)}
		}
		if slices.ContainsFunc(s.from, func(name string) bool { return outputs[name] == nil }) {
			continue // behind a node that has begun before
		}
		var ran attempt
		out, err := p.step(ctx, s, b, sent, outputs, &ran)
		if s.delivery == AtMostOnce && errors.Is(err, ErrBegun) {
			begun = &NodeError{Node: s.node.Name, Err: err}
			continue
		}
		if err != nil {
			unknown := ran.begun && s.node.onFailure(err) == dedupe.LeaveToLease
			return &NodeError{s.node.Name, err, unknown, ran.claim.Fence}
		}
		outputs[s.node.Name] = out
	}
	return begun
}

func (p *Program) step(
	ctx context.Context, s *step, b Bindings, sent json.RawMessage,
	outputs map[string]json.RawMessage, ran *attempt,
) (json.RawMessage, error) {
	in, err := sent, error(nil)
	if len(s.from) > 0 {
		if in, err = canonical(join(outputs, s.from)); err != nil {
			return nil, err
		}
	}
	return p.deliver(ctx, s, b, sent, in, ran)
}

// join returns the output of a node, or an object of the outputs of several.
func join(outputs map[string]json.RawMessage, names []string) json.RawMessage {
	if len(names) == 1 {
		return outputs[names[0]]
	}
	object := map[string]json.RawMessage{}
	for _, name := range names {
		object[name] = outputs[name]
	}
	text, err := json.Marshal(object)
	if err != nil {
		panic(err) // outputs are JSON
	}
	return text
}

// attempt is what is known about a node's run if it fails.
type attempt struct {
	begun bool
	claim Claim
}

// call runs a node's handler.
func (s *step) call(
	ctx context.Context, b Bindings, in json.RawMessage, claim Claim, ran *attempt,
) (json.RawMessage, error) {
	*ran = attempt{true, claim}
	ctx = context.WithValue(ctx, invocationKey{}, &invocation{s.node, b, claim})
	out, err := s.handler.Run(ctx, in)
	if err == nil && !jsontext.Valid(out) {
		err = ErrOutput
	}
	return out, err
}

// recovered turns a panic into an error.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{v, debug.Stack()}
	}
}
