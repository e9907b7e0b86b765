package flow

import (
	"fmt"
	"slices"
	"strings"

	"flow.internal/capdo/dedupe"
)

// Validate returns all problems of a flow alone. [Compile] checks the handlers,
// and [Program.Preflight] the bindings.
func (f *Flow) Validate() []Finding {
	v := validator{flow: f, nodes: map[string]*Node{}}
	if len(f.Nodes) > MaxNodes || len(f.Edges) > MaxEdges {
		v.add(CodeTooLarge, "", nil, "%d nodes and %d edges", len(f.Nodes), len(f.Edges))
		return v.findings
	}
	if len(f.Nodes) == 0 {
		v.add(CodeEmpty, "", nil, "there is no node")
	}
	if !isName(f.Name, false) {
		v.add(CodeInvalidName, "", nil, "the flow's name is not allowed")
	}
	for i := range f.Nodes {
		v.node(&f.Nodes[i])
	}
	v.edges()
	v.graph()
	return v.findings
}

type validator struct {
	flow     *Flow
	nodes    map[string]*Node
	into     map[string][]*Edge // edges between nodes that are there, by target
	findings []Finding
}

func (v *validator) add(code Code, node string, edge *Edge, format string, args ...any) {
	f := Finding{
		Code: code, Node: short(node), Message: fmt.Sprintf(format, args...), Hint: kinds[code].hint,
	}
	if edge != nil {
		f.Edge = &Edge{short(edge.From), short(edge.To), Delivery(short(string(edge.Delivery)))}
	}
	v.findings = append(v.findings, f)
}

// short limits the length of a flow's text in a finding.
func short(s string) string {
	if len(s) > MaxNameSize {
		return strings.ToValidUTF8(s[:MaxNameSize], "") + "…"
	}
	return s
}

// node checks a node alone.
func (v *validator) node(n *Node) {
	if v.nodes[n.Name] != nil {
		v.add(CodeDuplicateNode, n.Name, nil, "another node has this name")
	} else {
		v.nodes[n.Name] = n
	}
	if !isName(n.Name, false) {
		v.add(CodeInvalidName, n.Name, nil, "the node's name is not allowed")
	}
	if n.Effects.rank() < 0 {
		v.add(CodeUnknownValue, n.Name, nil, "effects are pure, read-only or effectful, not %q",
			short(string(n.Effects)))
	}
	if n.Determinism.rank() < 0 {
		v.add(CodeUnknownValue, n.Name, nil,
			"determinism is strict, stable, best-effort or nondeterministic, not %q",
			short(string(n.Determinism)))
	}
	for _, c := range n.Requires {
		if !isName(c, true) {
			v.add(CodeInvalidName, n.Name, nil,
				"the name of the capability %q is not allowed", short(c))
		}
	}
	for _, hint := range n.Hints {
		v.hint(n, hint)
	}
	v.idempotency(n)
}

func (v *validator) hint(n *Node, hint string) {
	what, value, _ := strings.Cut(hint, ":")
	effects, determinism := Effects(value), Determinism(value)
	switch {
	case what == "effects" && effects.rank() >= 0:
		v.findings = append(v.findings, n.conflicts("a hint", effects, "")...)
	case what == "determinism" && determinism.rank() >= 0:
		v.findings = append(v.findings, n.conflicts("a hint", "", determinism)...)
	default:
		v.add(CodeUnknownValue, n.Name, nil,
			"a hint is effects: or determinism: and one of its values, not %q", short(hint))
	}
}

// conflicts compares what a hint or the handler declares with what the node
// declares.
func (n *Node) conflicts(who string, effects Effects, determinism Determinism) []Finding {
	var v validator
	if n.Effects.rank() >= 0 && effects.rank() > n.Effects.rank() {
		v.add(CodeEffectConflict, n.Name, nil, "the node declares %s, but %s declares %s",
			n.Effects, who, effects)
	}
	if n.Determinism.rank() >= 0 && determinism.rank() > n.Determinism.rank() {
		v.add(CodeDetConflict, n.Name, nil, "the node declares %s, but %s declares %s",
			n.Determinism, who, determinism)
	}
	return v.findings
}

func (v *validator) idempotency(n *Node) {
	i := n.Idempotency
	if i == nil {
		return
	}
	if i.Key == "" && (i.Scope != "" || i.TTL != 0 || len(i.Fingerprint) > 0) {
		v.add(CodeScopeWithoutKey, n.Name, nil,
			"the node has a scope, a fingerprint or a TTL, and no idempotency key")
	}
	if i.Key != "" && !isPointer(i.Key) {
		v.add(CodeInvalidKey, n.Name, nil, "the idempotency key is not a JSON pointer")
	}
	for _, pointer := range i.Fingerprint {
		if !isPointer(pointer) {
			v.add(CodeInvalidKey, n.Name, nil,
				"the fingerprint %q is not a JSON pointer", short(pointer))
		}
	}
	if len(i.Scope) > MaxScopeSize {
		v.add(CodeInvalidKey, n.Name, nil, "the scope has %d bytes", len(i.Scope))
	}
	if i.TTL < 0 || i.TTL > dedupe.MaxTTL.Milliseconds() {
		v.add(CodeInvalidTTL, n.Name, nil, "ttl_ms is %d", i.TTL)
	}
}

// edges checks each edge, and sorts them by their targets.
func (v *validator) edges() {
	v.into = map[string][]*Edge{}
	seen := map[[2]string]bool{}
	for i := range v.flow.Edges {
		e := &v.flow.Edges[i]
		if e.Delivery.rank() < 0 {
			v.add(CodeUnknownValue, "", e,
				"delivery is at-least-once, at-most-once or exactly-once, not %q",
				short(string(e.Delivery)))
		}
		for _, end := range slices.Compact([]string{e.From, e.To}) {
			if v.nodes[end] == nil {
				v.add(CodeUnknownNode, "", e, "there is no node %q", short(end))
			}
		}
		if seen[[2]string{e.From, e.To}] {
			v.add(CodeDuplicateEdge, "", e, "the edge occurs more than once")
			continue
		}
		seen[[2]string{e.From, e.To}] = true
		if v.nodes[e.From] != nil && v.nodes[e.To] != nil {
			v.into[e.To] = append(v.into[e.To], e)
			v.delivery(e)
		}
	}
}

// delivery checks that the target of an edge can be delivered to in that way.
func (v *validator) delivery(e *Edge) {
	noDedupe, noKey, shortTTL := CodeExactNoDedupe, CodeExactNoKey, CodeExactShortTTL
	switch e.Delivery {
	case AtMostOnce:
		noDedupe, noKey, shortTTL = CodeMostNoDedupe, CodeMostNoKey, CodeMostShortTTL
	case ExactlyOnce:
	default:
		return
	}
	n := v.nodes[e.To]
	if !slices.Contains(n.Requires, Dedupe) {
		v.add(noDedupe, n.Name, e, "%s delivery needs the capability dedupe", e.Delivery)
	}
	i := n.Idempotency
	if i == nil || i.Key == "" {
		v.add(noKey, n.Name, e, "%s delivery needs an idempotency key", e.Delivery)
	}
	if i == nil || i.TTL < MinTTL.Milliseconds() {
		v.add(shortTTL, n.Name, e, "%s delivery needs a TTL of %d ms or more",
			e.Delivery, MinTTL.Milliseconds())
	}
}

// graph checks all edges together.
func (v *validator) graph() {
	reached := v.reached()
	cyclic := v.cyclic()
	for i := range v.flow.Nodes {
		n := &v.flow.Nodes[i]
		if v.nodes[n.Name] != n {
			continue // a duplicate
		}
		into := v.into[n.Name]
		for _, e := range into {
			if e.Delivery != into[0].Delivery {
				v.add(CodeMixedDelivery, n.Name, e, "another edge to the node is %s",
					short(string(into[0].Delivery)))
			}
		}
		if n.Idempotency != nil && n.Idempotency.Key != "" && !v.claimed(n.Name) {
			v.add(CodeUnusedKey, n.Name, nil,
				"no exactly-once or at-most-once edge leads to the node")
		}
		switch {
		case slices.Contains(cyclic, n.Name):
			v.add(CodeCycle, n.Name, nil, "the node leads to itself")
		case !reached[n.Name]:
			v.add(CodeUnreachable, n.Name, nil, "the node would never run")
		}
		if len(into) > 0 && into[0].Delivery == ExactlyOnce {
			v.unrepeatable(n)
		}
		v.repeated(n)
	}
}

// entry returns the name of the first node that no edge leads to.
func (v *validator) entry() (name string, ok bool) {
	for _, n := range v.flow.Nodes {
		if len(v.into[n.Name]) == 0 {
			return n.Name, true
		}
	}
	return "", false
}

// reached returns the nodes that the entry leads to, and the entry.
func (v *validator) reached() map[string]bool {
	reached := map[string]bool{}
	name, ok := v.entry()
	if !ok {
		return reached
	}
	out := map[string][]string{}
	for to, edges := range v.into {
		for _, e := range edges {
			out[e.From] = append(out[e.From], to)
		}
	}
	for left := []string{name}; len(left) > 0; {
		name, left = left[0], left[1:]
		if !reached[name] {
			reached[name] = true
			left = append(left, out[name]...)
		}
	}
	return reached
}

// cyclic returns the nodes that lead to themselves.
func (v *validator) cyclic() (names []string) {
	for _, n := range v.flow.Nodes {
		if v.before(n.Name, func(string) bool { return true })[n.Name] {
			names = append(names, n.Name)
		}
	}
	return names
}

// before returns the nodes that lead to a node, directly or through nodes that
// through allows.
func (v *validator) before(name string, through func(name string) bool) map[string]bool {
	found := map[string]bool{}
	for left := []string{name}; len(left) > 0; {
		edges := v.into[left[0]]
		left = left[1:]
		for _, e := range edges {
			if !found[e.From] && through(e.From) {
				left = append(left, e.From)
			}
			found[e.From] = true
		}
	}
	return found
}

// unrepeatable finds nodes before an exactly-once target that run again when a
// sender repeats a message, and may then have another output.
func (v *validator) unrepeatable(n *Node) {
	repeated := func(name string) bool { return !v.claimed(name) }
	before := v.before(n.Name, repeated)
	for _, m := range v.flow.Nodes {
		if before[m.Name] && repeated(m.Name) && m.Determinism.rank() >= BestEffort.rank() {
			v.add(CodeUnrepeatableInput, n.Name, nil, "its input depends on node %q, which is %s",
				short(m.Name), m.Determinism)
		}
	}
}

// repeated finds nodes before an exactly-once target that end the run when a
// sender repeats a message: if the target failed once, it would never run
// again.
func (v *validator) repeated(n *Node) {
	into := v.into[n.Name]
	if len(into) == 0 || into[0].Delivery != ExactlyOnce {
		return
	}
	before := v.before(n.Name, func(string) bool { return true })
	for _, m := range v.flow.Nodes {
		if before[m.Name] && len(v.into[m.Name]) > 0 && v.into[m.Name][0].Delivery == AtMostOnce {
			v.add(CodeNotRepeated, n.Name, nil,
				"a repetition ends at node %q, which is delivered to at most once", short(m.Name))
			return
		}
	}
}

// claimed reports whether a node is run under a claim.
func (v *validator) claimed(name string) bool {
	return slices.ContainsFunc(v.into[name],
		func(e *Edge) bool { return e.Delivery != AtLeastOnce })
}

// isName reports whether a name is allowed.
func isName(name string, capability bool) bool {
	if name == "" || len(name) > MaxNameSize {
		return false
	}
	for i, c := range name {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '-' || c == '_' || c == '.' || capability && c == ':'):
		default:
			return false
		}
	}
	return true
}
