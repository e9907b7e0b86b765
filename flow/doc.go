// Package flow runs small flows. A flow is a graph of nodes with declared
// effects. Each edge says how often a node runs for the same piece of work.
//
//	f := flow.New("payments").
//		Node("validate", flow.Pure, flow.Strict).
//		Node("charge", flow.Effectful, flow.BestEffort,
//			flow.Idempotent("/id", "", 24*time.Hour),
//			flow.Requires(flow.Dedupe)).
//		Edge("validate", "charge", flow.ExactlyOnce)
//
//	program, err := flow.Compile(f, map[string]flow.Handler{
//		"validate": flow.Func(validate),
//		"charge":   flow.Func(charge),
//	}, nil)
//	…
//	bindings := flow.Bindings{flow.Dedupe: ledger}
//	receipt, err := program.Run(ctx, bindings, payload)
//
// [Flow.Validate] and [Compile] check a flow before it can run.
// [Program.Preflight] checks before each run that what it requires is there.
// Package flowhttp starts flows by HTTP requests.
// docs/spec/capabilities-and-binding.md has the JSON form, the codes of
// findings, and how to bind capabilities.
//
// # Limits
//
// A flow has up to [MaxNodes] nodes and [MaxEdges] edges, names of up to
// [MaxNameSize] bytes, and TTLs from [MinTTL] to [dedupe.MaxTTL]. The output of
// a claimed node has less than [dedupe.MaxResultSize] bytes. A key, with its
// scope and the node's name, has up to [dedupe.MaxKeySize].
//
// # Deliveries
//
// [AtLeastOnce]: the runtime claims nothing. The node runs in each run of the
// flow that reaches it. The entry, which no edge leads to, runs in each run of
// the flow.
//
// [ExactlyOnce]: the runtime claims the key, keeps the lease until the node has
// returned, and completes the key with the output. Other callers of the same
// key get that output. While the node still runs they wait, and then fail with
// [dedupe.ErrInProgress]. With another payload they fail with
// [dedupe.ErrMismatch].
//
// A failure that did nothing releases the claim, and the next caller runs the
// node at once. These failures did nothing: any failure of a node that is not
// effectful, a [Rejection], [ErrInput], [ErrResource], and an error that
// matches [dedupe.ErrNoEffect]. Any other failure of an effectful node may have
// had its effect. The claim then stays until its lease ends, as after a panic
// or a crash. After that the next caller runs the node, and [ClaimOf] says that
// it has taken over. So work may be late, but it is never lost.
//
// [AtMostOnce]: the runtime claims the key and completes it before the node
// runs. Later callers fail with [ErrBegun], whether the node succeeded or not.
// After a failure or a crash the node does not run again while the key is
// remembered, and its output is not kept. A later run executes the nodes that
// do not depend on this node, and then fails. Nothing behind such a node can be
// delivered exactly once.
//
// All edges to a node have the same delivery, because it runs once for all of
// its inputs.
//
// # Ordering
//
// One node runs at a time. It runs after all nodes that lead to it, otherwise
// in the order of the flow. The input of a node is the output of the one that
// leads to it. If several nodes lead to it, the input is an object of their
// outputs by name.
//
// # Identity
//
// Inputs are JSON. They are converted to one form: names are sorted and appear
// once, and numbers are written as in RFC 8785, with all of their digits. So an
// id is the same key in any spelling, and different ids are different keys.
// Text that is not UTF-8, or has half of a surrogate pair, fails with
// [ErrInput].
//
// The payload of a key is the flow's whole input, or the members that the node
// names ([Idempotency.Fingerprint]). The output of other nodes does not count,
// so they may change from one version of the program to the next.
//
// # Recovery
//
// With [Options.Recovery] the ledger's alarm resumes a run that stopped in the
// middle. After a limited number of attempts it passes the run to a handler of
// dead letters; see [Recovery].
//
// # What is stored
//
// The ledger stores the output of a node that runs exactly once, as the result
// of the node's key: up to [dedupe.MaxResultSize] bytes. The output is
// encrypted if a [Sealer] is bound as [Keys]; otherwise it is stored in clear.
// A handler with Keep stores another value instead of the output.
//
// # Caveats
//
// Exactly once applies to the record, not to effects outside of the ledger. A
// node runs again if it had its effect and then crashed, failed, or lost its
// lease. So make the effect safe to repeat. Pass the key of [ClaimOf] to a
// system that accepts one, or find out what has been done. Or write the effect
// and its record in one transaction, and refuse fences smaller than the largest
// that it has seen.
//
// A repetition after the TTL is new work. The TTL starts when the key is first
// seen.
package flow
