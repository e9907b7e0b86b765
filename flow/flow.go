package flow

import "time"

// Limits that [Flow.Validate] keeps.
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
	// MinTTL is the shortest TTL of a node that is claimed: a sender repeats
	// what it has sent for at least that long.
	MinTTL = 5 * time.Minute
)

// Flow is a graph of nodes without cycles. Its entry, the first node that no
// edge leads to, is given the flow's input, and every other node what those
// before it put out. Its JSON form is described in
// docs/spec/capabilities-and-binding.md.
type Flow struct {
	Name  string `json:"name"`
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges,omitempty"`
}

// Node is a step: what it does to the world, how far its output depends on its
// input alone, and what it needs.
type Node struct {
	Name        string       `json:"name"`
	Effects     Effects      `json:"effects"`
	Determinism Determinism  `json:"determinism"`
	Idempotency *Idempotency `json:"idempotency,omitempty"`
	// Hints say what the node's code is known to do: "effects:effectful",
	// "determinism:best-effort". They must not exceed what the node declares.
	Hints []string `json:"hints,omitempty"`
	// Requires names capabilities, such as [Dedupe], that have to be bound. A
	// handler is given these and no others.
	Requires []string `json:"requires,omitempty"`
}

// Idempotency says which inputs of a node are the same piece of work, and for
// how long that is remembered.
type Idempotency struct {
	// Key is a JSON pointer (RFC 6901) into the node's input, such as "/id". It
	// leads to a string that is not empty, or to a number.
	Key string `json:"key,omitempty"`
	// Scope keeps keys apart, together with the node's name; the flow's name
	// when empty.
	Scope string `json:"scope,omitempty"`
	// Fingerprint names the members of the node's input that make its payload,
	// such as "/amount": JSON pointers. A key that comes with another payload
	// is refused. When there are none, the payload is all that was sent to the
	// flow. Name them where senders add what changes, such as a count of
	// deliveries.
	Fingerprint []string `json:"fingerprint,omitempty"`
	// TTL is in ms, counted from when the key was first seen.
	TTL int64 `json:"ttl_ms,omitempty"`
}

// Edge leads a node's output to another node.
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
	// Stable: the same input gives the same output while what the node reads
	// does not change, which it rarely does.
	Stable Determinism = "stable"
	// BestEffort: the same input usually gives the same output.
	BestEffort Determinism = "best-effort"
	// Nondeterministic: the same input may give any output.
	Nondeterministic Determinism = "nondeterministic"
)

// Delivery is how often a node runs for what is, by its idempotency key, the
// same piece of work.
type Delivery string

// Deliveries. The package's documentation says what each does when a caller
// fails.
const (
	// AtLeastOnce: once for each run of the flow that gets there.
	AtLeastOnce Delivery = "at-least-once"
	// AtMostOnce: never again once it has begun.
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

// New begins a flow, which Node and Edge add to. [Flow.Validate] says what is
// wrong with it.
func New(name string) *Flow { return &Flow{Name: name} }

// Node adds a node.
func (f *Flow) Node(
	name string, effects Effects, determinism Determinism, options ...NodeOption,
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
// [Idempotency.Fingerprint]. It comes after [Idempotent].
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
