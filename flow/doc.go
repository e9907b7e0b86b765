// Package flow runs small flows: graphs of nodes with declared effects, whose
// edges say how often a node runs for the same piece of work.
//
//	f := flow.New("payments").
//		Node("validate", flow.Pure, flow.Strict).
//		Node("charge", flow.Effectful, flow.BestEffort,
//			flow.Idempotent("/id", "", 24*time.Hour), flow.Requires(flow.Dedupe)).
//		Edge("validate", "charge", flow.ExactlyOnce)
//
//	program, err := flow.Compile(f, map[string]flow.Handler{
//		"validate": flow.Func(validate),
//		"charge":   flow.Func(charge),
//	}, nil)
//	…
//	receipt, err := program.Run(ctx, flow.Bindings{flow.Dedupe: ledger}, payload)
//
// A flow is checked before it can run ([Flow.Validate], [Compile]), and what it
// requires before each run ([Program.Preflight]). Package flowhttp starts flows
// by HTTP requests. docs/spec/capabilities-and-binding.md has the JSON form,
// the codes of findings, and how capabilities are bound.
//
// # Limits
//
// Up to [MaxNodes] nodes and [MaxEdges] edges, names of up to [MaxNameSize]
// bytes, TTLs from [MinTTL] to [dedupe.MaxTTL]. What a claimed node puts out
// has less than [dedupe.MaxResultSize] bytes. A key, with its scope and the
// node's name, has up to [dedupe.MaxKeySize].
//
// # Deliveries
//
// [AtLeastOnce]: the runtime claims nothing; the node runs in each run of the
// flow that gets there. So does the entry, which no edge leads to.
//
// [ExactlyOnce]: the runtime claims the key, keeps the lease until the node has
// returned, and completes the key with the output. Callers of the same key are
// given that output; while the node still runs they wait, and then fail with
// [dedupe.ErrInProgress]. With another payload they fail with
// [dedupe.ErrMismatch].
//
// A failure that did nothing gives the claim back, and the next caller runs the
// node at once: that of a node that is not effectful, a [Rejection],
// [ErrInput], [ErrResource], and what matches [dedupe.ErrNoEffect]. Any other
// failure of an effectful node may have had its effect. It leaves the claim to
// its lease, as a panic or a crash does: the next caller runs the node when
// that is over, and is told so by [ClaimOf]. So work is late and never lost.
//
// [AtMostOnce]: the runtime claims the key and completes it before the node
// runs. Later callers fail with [ErrBegun], whatever became of the node: failed
// or crashed it does not run again while the key is remembered, and its output
// is not kept. Their run does what does not depend on the node, and fails then.
// Behind such a node nothing can be delivered exactly once.
//
// All edges to a node have the same delivery, since it runs once for all of its
// inputs.
//
// # Ordering
//
// One node runs at a time, after all that lead to it, otherwise in the order of
// the flow. The input of a node is the output of the one that leads to it;
// where several do, an object of their outputs by name.
//
// # Identity
//
// Inputs are JSON in one form: names sorted and each once, numbers as RFC 8785
// writes them, with all of their digits. So an id is one key however it is
// spelled, and two ids are never one. Text that stands for no value, because it
// is not UTF-8 or has half of a surrogate pair, is [ErrInput].
//
// The payload that a key stands for is all that was sent to the flow, or the
// members that the node names ([Idempotency.Fingerprint]). What other nodes
// make of it does not count, so they may change from one version of the program
// to the next.
//
// # Recovery
//
// With [Options.Recovery] a run that stopped in the middle is taken up by the
// ledger's alarm, a bounded number of times, and then given up to a handler of
// dead letters; see [Recovery].
//
// # Caveats
//
// Exactly once is what is recorded, not what the world sees. A node that had
// its effect and then crashed, or failed, or lost its lease, runs again. So the
// effect has to bear that: pass the key of [ClaimOf] to a processor that takes
// one, or look up what has been done, or have the effect and its record in one
// transaction, which refuses fences smaller than the largest that it has seen.
//
// A repetition after the TTL, which counts from the first, is new work.
package flow
