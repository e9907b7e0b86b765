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
	CodeCycle             Code = "cycle"
	CodeUnknownNode       Code = "unknown_node"
	CodeDuplicateEdge     Code = "duplicate_edge"
	CodeScopeWithoutKey   Code = "scope_without_key"
	CodeEmpty             Code = "empty_flow"
	CodeUnreachable       Code = "unreachable_node"
	CodeDuplicateNode     Code = "duplicate_node"
	CodeInvalidName       Code = "invalid_name"
	CodeMixedDelivery     Code = "mixed_delivery"
	CodeUnknownValue      Code = "unknown_value"
	CodeInvalidKey        Code = "invalid_key"
	CodeInvalidTTL        Code = "invalid_ttl"
	CodeTooLarge          Code = "flow_too_large"
	CodeUnusedKey         Code = "unused_key"
	CodeExactNoDedupe     Code = "exactly_once_without_dedupe"
	CodeExactNoKey        Code = "exactly_once_without_key"
	CodeExactShortTTL     Code = "exactly_once_short_ttl"
	CodeMostNoDedupe      Code = "at_most_once_without_dedupe"
	CodeMostNoKey         Code = "at_most_once_without_key"
	CodeMostShortTTL      Code = "at_most_once_short_ttl"
	CodeNotRepeated       Code = "not_repeated"
	CodeEffectConflict    Code = "effect_conflict"
	CodeDetConflict       Code = "determinism_conflict"
	CodeUnrepeatableInput Code = "unrepeatable_input"
)

// Codes of [Compile].
const (
	CodeNoHandler   Code = "no_handler"
	CodeHandlerOnly Code = "no_node"

	CodeIncompleteRecovery Code = "incomplete_recovery"
)

// Codes of [Program.Preflight].
const (
	CodeNotBound  Code = "not_bound"
	CodeWrongType Code = "wrong_type"
)

// kind is the meaning of a code, and a hint for it.
type kind struct{ meaning, hint string }

var kinds = map[Code]kind{
	CodeCycle: {
		"the edges form a cycle",
		"remove one of the edges",
	},
	CodeUnknownNode: {
		"an edge names a node that does not exist",
		"add the node, or correct the name",
	},
	CodeDuplicateEdge: {
		"an edge occurs twice",
		"remove one; for several outputs, return an object",
	},
	CodeScopeWithoutKey: {
		"a scope, a fingerprint or a TTL without an idempotency key",
		"give the key too, a JSON pointer such as \"/id\", or remove these",
	},
	CodeEmpty: {
		"a flow without nodes",
		"add a node",
	},
	CodeUnreachable: {
		"a node that cannot be reached from the entry",
		"add an edge to it, or remove it",
	},
	CodeDuplicateNode: {
		"two nodes with the same name",
		"rename one",
	},
	CodeInvalidName: {
		"a name of a flow, a node or a capability that is not allowed",
		"1 to 64 of a-z, 0-9, -, _, . and in capabilities :, a letter or a digit first",
	},
	CodeMixedDelivery: {
		"edges of different delivery lead to one node",
		"a node runs once for all of its inputs: give its edges the same delivery",
	},
	CodeUnknownValue: {
		"unknown effects, determinism, delivery or hint",
		"docs/spec/capabilities-and-binding.md lists the known values",
	},
	CodeInvalidKey: {
		"an idempotency key or a fingerprint that is not a JSON pointer, " +
			"or a scope that is too long",
		"a pointer is like \"/id\" (RFC 6901); a scope has up to 256 bytes",
	},
	CodeInvalidTTL: {
		"a TTL that is negative or longer than 10 years",
		"ttl_ms is in milliseconds",
	},
	CodeTooLarge: {
		"more than 256 nodes or 1,024 edges",
		"split the flow",
	},
	CodeUnusedKey: {
		"an idempotency key on a node that is never claimed",
		"add an exactly-once or at-most-once edge to the node, or remove its idempotency",
	},
	CodeExactNoDedupe: {
		"the target of an exactly-once edge does not require dedupe",
		"add \"dedupe\" to the target's requires, and bind a ledger",
	},
	CodeExactNoKey: {
		"the target of an exactly-once edge has no idempotency key",
		"give it one, a JSON pointer into its input such as \"/id\"",
	},
	CodeExactShortTTL: {
		"the target of an exactly-once edge has no TTL, or one below 300,000 ms",
		"set ttl_ms to the time for which senders repeat messages",
	},
	CodeMostNoDedupe: {
		"the target of an at-most-once edge does not require dedupe",
		"add \"dedupe\" to the target's requires, and bind a ledger",
	},
	CodeMostNoKey: {
		"the target of an at-most-once edge has no idempotency key",
		"give it one, a JSON pointer into its input such as \"/id\"",
	},
	CodeMostShortTTL: {
		"the target of an at-most-once edge has no TTL, or one below 300,000 ms",
		"set ttl_ms to the time for which senders repeat messages",
	},
	CodeNotRepeated: {
		"an exactly-once target behind an at-most-once one, which no repetition reaches",
		"deliver to both exactly once, or to both at most once",
	},
	CodeEffectConflict: {
		"a hint or the handler declares more effects than the node",
		"declare the effects that the code has, or change the code",
	},
	CodeDetConflict: {
		"a hint or the handler declares less determinism than the node",
		"declare the determinism that the code has, or change the code",
	},
	CodeUnrepeatableInput: {
		"an exactly-once target whose input may differ when a sender repeats a message",
		"make that node stable, or deliver to it exactly once, too",
	},
	CodeNoHandler: {
		"a node without a handler",
		"add a handler under the node's name",
	},
	CodeHandlerOnly: {
		"a handler without a node",
		"add the node, or remove the handler",
	},
	CodeIncompleteRecovery: {
		"a recovery or a handler that lacks a function",
		"give a recovery a DeadLetter; set Keep and Restore both or not at all",
	},
	CodeNotBound: {
		"a required capability is not bound",
		"add it to the bindings; in a Worker, check the wrangler config",
	},
	CodeWrongType: {
		"a capability is bound to something of another type",
		"dedupe is a dedupe.Ledger, sequencer a dedupe.Sequencer, " +
			"runs a dedupe.Ledger, keys a flow.Sealer",
	},
}

// Finding is one problem of a flow or its bindings.
type Finding struct {
	Code    Code   `json:"code"`
	Node    string `json:"node,omitempty"`
	Edge    *Edge  `json:"edge,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// String returns the finding in one line, and its hint in another.
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

// InvalidError lists all problems. It is the error of [Compile] and
// [Program.Preflight].
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

// Has reports whether there is a finding with that code.
func (e *InvalidError) Has(code Code) bool {
	for _, f := range e.Findings {
		if f.Code == code {
			return true
		}
	}
	return false
}
