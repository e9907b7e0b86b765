package flow

import "time"

// Limits of [Flow.Validate].
const (
	// MaxNameSize is the size of the longest name of a flow, a node or a
	// capability, in bytes.
	MaxNameSize = 64
	// MaxNodes is how many nodes a flow has at most.
	MaxNodes = 256
	// MaxEdges is how many edges a flow has at most.
	MaxEdges = 1024
	// MaxScopeSize is the size of the longest scope, in bytes.
	MaxScopeSize = 256
	// MinTTL is the shortest TTL of a claimed node: a sender may repeat a
	// message for at least that long.
	MinTTL = 5 * time.Minute
)

// Flow is a graph of nodes without cycles. Its entry is the first node that no
// edge leads to. The entry gets the flow's input, and every other node gets the
// outputs of the nodes that lead to it. docs/spec/capabilities-and-binding.md
// describes its JSON form.
type Flow struct {
	Name  string `json:"name"`
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges,omitempty"`
}

// Node is a step of a flow. It declares its effects, how far its output depends
// only on its input, and what it requires.
type Node struct {
	Name        string       `json:"name"`
	Effects     Effects      `json:"effects"`
	Determinism Determinism  `json:"determinism"`
	Idempotency *Idempotency `json:"idempotency,omitempty"`
	// Hints describe the effects and the determinism of the node's code,
	// for example "effects:effectful" or "determinism:best-effort". They
	// must not exceed what the node declares.
	Hints []string `json:"hints,omitempty"`
	// Requires names capabilities, such as [Dedupe], that must be bound. A
	// handler gets only these.
	Requires []string `json:"requires,omitempty"`
}

// Idempotency says which inputs of a node are the same piece of work, and how
// long the node's key is remembered.
type Idempotency struct {
	// Key is a JSON pointer (RFC 6901) into the node's input, such as
	// "/id". It must lead to a number or a non-empty string.
	Key string `json:"key,omitempty"`
	// Scope separates keys, together with the node's name. When empty, it
	// is the flow's name.
	Scope string `json:"scope,omitempty"`
	// Fingerprint has JSON pointers to the members of the node's input that
	// are its payload, such as "/amount". If a key comes with another
	// payload, it is refused. When empty, the payload is the flow's whole
	// input. Set it if senders add members that change, such as a count of
	// deliveries.
	Fingerprint []string `json:"fingerprint,omitempty"`
	// TTL is in ms, from the time when the key was first seen.
	TTL int64 `json:"ttl_ms,omitempty"`
}

// Edge passes a node's output to another node.
type Edge struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Delivery Delivery `json:"delivery"`
}

// Effects is what a node does to the world.
type Effects string

// Effects, each including those before it.
const (
	// Pure changes nothing, and reads nothing but its input.
	Pure Effects = "pure"
	// ReadOnly changes nothing.
	ReadOnly Effects = "read-only"
	// Effectful changes something.
	Effectful Effects = "effectful"
)

// Determinism is how far a node's output depends on its input alone.
type Determinism string

// Determinism, each allowing more than those before it.
const (
	// Strict: the same input always gives the same output.
	Strict Determinism = "strict"
	// Stable: the same input gives the same output while what the node
	// reads does not change, which it rarely does.
	Stable Determinism = "stable"
	// BestEffort: the same input usually gives the same output.
	BestEffort Determinism = "best-effort"
	// Nondeterministic: the same input may give any output.
	Nondeterministic Determinism = "nondeterministic"
)

// Delivery is how often a node runs for the same piece of work, which its
// idempotency key identifies.
type Delivery string

// Deliveries. The package's documentation says how each handles failures.
const (
	// AtLeastOnce: once in each run of the flow that reaches the node.
	AtLeastOnce Delivery = "at-least-once"
	// AtMostOnce: never again after it has begun.
	AtMostOnce Delivery = "at-most-once"
	// ExactlyOnce: until it has succeeded; then its output is replayed.
	ExactlyOnce Delivery = "exactly-once"
)

// rank returns the place of a value among those that it may have, or -1.
func rank[T comparable](value T, of ...T) int {
	for i, v := range of {
		if v == value {
			return i
		}
	}
	return -1
}

func (e Effects) rank() int     { return rank(e, Pure, ReadOnly, Effectful) }
func (d Determinism) rank() int { return rank(d, Strict, Stable, BestEffort, Nondeterministic) }
func (d Delivery) rank() int    { return rank(d, AtLeastOnce, AtMostOnce, ExactlyOnce) }

// New returns an empty flow. Add nodes and edges to it. [Flow.Validate] reports
// its problems.
func New(name string) *Flow { return &Flow{Name: name} }

// Node adds a node.
func (f *Flow) Node(
	name string,
	effects Effects, determinism Determinism, options ...NodeOption,
) *Flow {
	n := Node{Name: name, Effects: effects, Determinism: determinism}
	for _, o := range options {
		o(&n)
	}
	f.Nodes = append(f.Nodes, n)
	return f
}

// Edge adds an edge.
func (f *Flow) Edge(from, to string, delivery Delivery) *Flow {
	f.Edges = append(f.Edges, Edge{from, to, delivery})
	return f
}

// NodeOption completes a node that [Flow.Node] adds.
type NodeOption func(*Node)

// Idempotent gives a node its idempotency: key and scope as in [Idempotency],
// the TTL rounded up to ms.
func Idempotent(key, scope string, ttl time.Duration) NodeOption {
	ms := ttl / time.Millisecond
	if ttl%time.Millisecond > 0 {
		ms++
	}
	return func(n *Node) { n.Idempotency = &Idempotency{Key: key, Scope: scope, TTL: int64(ms)} }
}

// Fingerprint adds members to a node's fingerprint; see
// [Idempotency.Fingerprint]. Put it after [Idempotent].
func Fingerprint(pointers ...string) NodeOption {
	return func(n *Node) {
		if n.Idempotency == nil {
			n.Idempotency = &Idempotency{}
		}
		n.Idempotency.Fingerprint = append(n.Idempotency.Fingerprint, pointers...)
	}
}

// Requires adds capabilities that a node requires.
func Requires(capabilities ...string) NodeOption {
	return func(n *Node) { n.Requires = append(n.Requires, capabilities...) }
}

// Hints adds hints to a node.
func Hints(hints ...string) NodeOption {
	return func(n *Node) { n.Hints = append(n.Hints, hints...) }
}
