package flow

import (
	"fmt"
	"strings"
)

// Code names a kind of finding. Codes are stable: act on them, never on
// messages.
type Code string

// Codes of [Flow.Validate].
const (
	Cycle             Code = "DAG001"
	UnknownNode       Code = "DAG002"
	DuplicateEdge     Code = "DAG003"
	ScopeWithoutKey   Code = "DAG004"
	Empty             Code = "DAG005"
	Unreachable       Code = "DAG006"
	DuplicateNode     Code = "DAG007"
	InvalidName       Code = "DAG008"
	MixedDelivery     Code = "DAG009"
	UnknownValue      Code = "DAG010"
	InvalidKey        Code = "DAG011"
	InvalidTTL        Code = "DAG012"
	TooLarge          Code = "DAG013"
	UnusedKey         Code = "DAG014"
	ExactNoDedupe     Code = "EXACT001"
	ExactNoKey        Code = "EXACT002"
	ExactShortTTL     Code = "EXACT003"
	MostNoDedupe      Code = "MOST001"
	MostNoKey         Code = "MOST002"
	MostShortTTL      Code = "MOST003"
	NotRepeated       Code = "MOST004"
	EffectConflict    Code = "EFFECT201"
	DetConflict       Code = "DET302"
	UnrepeatableInput Code = "DET303"
)

// Codes of [Compile].
const (
	NoHandler   Code = "NODE401"
	HandlerOnly Code = "NODE402"

	IncompleteRecovery Code = "NODE403"
)

// Codes of [Program.Preflight].
const (
	NotBound  Code = "CAP101"
	WrongType Code = "CAP102"
)

// kind is what a code means, and what to do about it.
type kind struct{ meaning, hint string }

var kinds = map[Code]kind{
	Cycle: {
		"nodes lead in a circle",
		"remove one of the edges; a flow ends",
	},
	UnknownNode: {
		"an edge names a node that is not there",
		"add the node, or correct the name",
	},
	DuplicateEdge: {
		"an edge is there twice",
		"remove one; for several outputs put out an object",
	},
	ScopeWithoutKey: {
		"a scope, a fingerprint or a TTL without an idempotency key",
		"give the key too, a JSON pointer such as \"/id\", or remove these",
	},
	Empty: {
		"a flow without nodes",
		"add a node",
	},
	Unreachable: {
		"a node that the entry does not lead to",
		"lead an edge to it, or remove it",
	},
	DuplicateNode: {
		"two nodes of one name",
		"rename one",
	},
	InvalidName: {
		"a name of a flow, a node or a capability that is not allowed",
		"1 to 64 of a-z, 0-9, -, _, . and in capabilities :, a letter or a digit first",
	},
	MixedDelivery: {
		"edges of different delivery lead to one node",
		"a node runs once for all of its inputs: give its edges the same delivery",
	},
	UnknownValue: {
		"effects, a determinism, a delivery or a hint that is not known",
		"see docs/spec/capabilities-and-binding.md for those that are",
	},
	InvalidKey: {
		"an idempotency key or a fingerprint that is not a JSON pointer, or a scope that is too long",
		"a pointer is like \"/id\" (RFC 6901); a scope has up to 256 bytes",
	},
	InvalidTTL: {
		"a TTL that is negative or longer than 10 years",
		"ttl_ms is in milliseconds",
	},
	TooLarge: {
		"more than 256 nodes or 1,024 edges",
		"split the flow",
	},
	UnusedKey: {
		"an idempotency key on a node that nobody claims",
		"lead an exactly-once or at-most-once edge to the node, or remove its idempotency",
	},
	ExactNoDedupe: {
		"the target of an exactly-once edge does not require dedupe",
		"add \"dedupe\" to what the target requires, and bind a ledger",
	},
	ExactNoKey: {
		"the target of an exactly-once edge has no idempotency key",
		"give it one, a JSON pointer into its input such as \"/id\"",
	},
	ExactShortTTL: {
		"the target of an exactly-once edge has no TTL, or one below 300,000 ms",
		"set ttl_ms to how long senders repeat themselves",
	},
	MostNoDedupe: {
		"the target of an at-most-once edge does not require dedupe",
		"add \"dedupe\" to what the target requires, and bind a ledger",
	},
	MostNoKey: {
		"the target of an at-most-once edge has no idempotency key",
		"give it one, a JSON pointer into its input such as \"/id\"",
	},
	MostShortTTL: {
		"the target of an at-most-once edge has no TTL, or one below 300,000 ms",
		"set ttl_ms to how long senders repeat themselves",
	},
	NotRepeated: {
		"an exactly-once target behind an at-most-once one, where no repetition gets",
		"deliver to both exactly once, or to both at most once",
	},
	EffectConflict: {
		"a hint or the handler says that a node does more than its effects",
		"declare the effects that the code has, or change the code",
	},
	DetConflict: {
		"a hint or the handler says that a node is less deterministic than declared",
		"declare the determinism that the code has, or change the code",
	},
	UnrepeatableInput: {
		"an exactly-once target whose input may differ when a sender repeats itself",
		"make that node stable, or deliver to it exactly once, too",
	},
	NoHandler: {
		"a node without a handler",
		"add a handler under the node's name",
	},
	HandlerOnly: {
		"a handler without a node",
		"add the node, or remove the handler",
	},
	IncompleteRecovery: {
		"a recovery that lacks a function",
		"give it a DeadLetter, and Keep and Restore both or not at all",
	},
	NotBound: {
		"a required capability is not bound",
		"bind it where the bindings are made; in a Worker check its wrangler config",
	},
	WrongType: {
		"a capability is bound to something of another type",
		"dedupe is a dedupe.Ledger, sequencer a dedupe.Sequencer, " +
			"runs a dedupe.Ledger, keys a flow.Sealer",
	},
}

// Finding is one thing that is wrong, with a flow or with what it is to run on.
type Finding struct {
	Code    Code   `json:"code"`
	Node    string `json:"node,omitempty"`
	Edge    *Edge  `json:"edge,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// String has the finding in a line, its hint in another.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(string(f.Code))
	if f.Node != "" {
		fmt.Fprintf(&b, " node %q", f.Node)
	}
	if f.Edge != nil {
		fmt.Fprintf(&b, " edge %q -> %q", f.Edge.From, f.Edge.To)
	}
	fmt.Fprintf(&b, ": %s\n  hint: %s", f.Message, f.Hint)
	return b.String()
}

// InvalidError has all that is wrong. [Compile] and [Program.Preflight] fail
// with it.
type InvalidError struct {
	Flow     string
	Findings []Finding // at least one
}

// Error lists the findings.
func (e *InvalidError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "flow %q:", e.Flow)
	for _, f := range e.Findings {
		b.WriteString("\n" + f.String())
	}
	return b.String()
}

func invalid(name string, findings []Finding) error {
	if len(findings) == 0 {
		return nil
	}
	return &InvalidError{name, findings}
}

// Has reports whether there is a finding of that code.
func (e *InvalidError) Has(code Code) bool {
	for _, f := range e.Findings {
		if f.Code == code {
			return true
		}
	}
	return false
}
