package flowhttp

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/flow"
	"flow.internal/capdo/internal/problem"
)

// failure is the body of an error response.
type failure struct {
	problem.Problem
	Findings []flow.Finding `json:"findings,omitempty"`

	// Outcome is "unknown" if an effectful node has run and it is unknown
	// whether it has had its effect. Ask the system that Node changes, by the
	// sender's key and Fence.
	Outcome string `json:"outcome,omitempty"`
	Node    string `json:"node,omitempty"`
	Fence   int64  `json:"fence,string,omitempty"`
}

func (f *failure) write(w http.ResponseWriter) { problem.Write(w, &f.Problem, f) }

func newFailure(status int, code, detail, hint string) *failure {
	return &failure{
		Problem: problem.Problem{Status: status, Code: code, Detail: detail, Hint: hint},
	}
}

// row is the response for an error.
type row struct {
	err    error
	status int
	code   string
	detail string
	hint   string
}

const (
	codeDeadline  = "deadline"
	codeCancelled = "cancelled"
)

const again = "send the same request again: " +
	"an exactly-once node does not repeat work that is done"

// rows are searched in this order, because an error may match several.
var rows = []row{
	{errNoRoute, http.StatusNotFound, "no_route",
		"there is no flow at this path",
		"check the path; it is matched as a whole"},
	{errMethod, http.StatusMethodNotAllowed, "method",
		"flows are started with POST",
		"use POST, with the flow's input as JSON"},
	{flow.ErrInput, http.StatusBadRequest, "input",
		"the body is not valid input of the flow",
		"check that it is JSON, and the types of its members"},
	{flow.ErrNoKey, http.StatusBadRequest, "no_key",
		"the body has no idempotency key",
		"add it, as a non-empty string or a number"},
	{dedupe.ErrKeyTooLarge, http.StatusBadRequest, "key_too_large",
		"the idempotency key is too long",
		"use a shorter one; with scope and node it has up to 2048 bytes"},
	{flow.ErrTooLarge, http.StatusRequestEntityTooLarge, "too_large",
		"the body is too large to be stored for a run",
		"send less"},
	{dedupe.ErrMismatch, http.StatusUnprocessableEntity, "mismatch",
		"the idempotency key was used with another payload",
		"use a new key for a new payload"},
	{flow.ErrBegun, http.StatusConflict, "begun",
		"this work has begun before, and is not started again",
		"look up its result in the system that it changes; its output is not kept"},
	{dedupe.ErrInProgress, http.StatusConflict, "in_progress",
		"another request is doing this work",
		"repeat the request after Retry-After to get its result"},
	{flow.ErrOutput, http.StatusInternalServerError, "output",
		"the work was done, but its output cannot be kept",
		"look up its result in the system that it changes; repeating the request does not help"},
	{dedupe.ErrFenced, http.StatusServiceUnavailable, "fenced",
		"another request has taken the work over",
		again},
	{dedupe.ErrLeaseExpired, http.StatusServiceUnavailable, "lease_expired",
		"the ledger did not answer before the lease of this work ended",
		again},
	{dedupe.ErrOverloaded, http.StatusServiceUnavailable, "overloaded",
		"the ledger is overloaded",
		again},
	{dedupe.ErrUnknownOutcome, http.StatusServiceUnavailable, "outcome_unknown",
		"the ledger did not answer",
		again},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, codeDeadline,
		"the flow took too long; it is unknown whether its work was done",
		again},
	{context.Canceled, http.StatusServiceUnavailable, codeCancelled,
		"the run was cancelled",
		again},
	{errBody, http.StatusBadRequest, "body", "the body could not be read", "send it again"},
	{errNoBind, http.StatusInternalServerError, "bindings",
		"the flow's capabilities could not be made",
		"check the bindings of the wrangler config"},
}

// failureOf returns the response for an error, and sets its Outcome.
func failureOf(err error) *failure {
	p := known(err)
	node := (*flow.NodeError)(nil)
	switch {
	case errors.As(err, &node) && node.Unknown:
		p.Outcome, p.Node, p.Fence = "unknown", node.Node, node.Fence
	case node == nil && (p.Code == codeDeadline || p.Code == codeCancelled):
		// A handler continues by itself.
		p.Outcome = "unknown"
	}
	return p
}

// known returns the response for an error. It contains no text of a handler,
// except that of a [flow.Rejection], which is meant for the sender.
func known(err error) *failure {
	var invalid *flow.InvalidError
	var rejection *flow.Rejection
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return newFailure(http.StatusRequestEntityTooLarge, "too_large",
			"the body is larger than "+strconv.FormatInt(large.Limit, 10)+" bytes", "send less")
	case errors.As(err, &invalid):
		f := newFailure(http.StatusInternalServerError, string(invalid.Findings[0].Code),
			"a capability that the flow requires is not bound; nothing was done",
			invalid.Findings[0].Hint)
		f.Findings = invalid.Findings
		return f
	case errors.As(err, &rejection):
		return newFailure(http.StatusUnprocessableEntity, "rejected",
			rejection.Detail, rejection.Hint)
	}
	for _, row := range rows {
		if errors.Is(err, row.err) {
			p := newFailure(row.status, row.code, row.detail, row.hint)
			p.RetryAfter = retryAfter(p, err)
			return p
		}
	}
	p := newFailure(http.StatusInternalServerError, "failed", "the flow failed", again)
	if node := (*flow.NodeError)(nil); errors.As(err, &node) {
		p.Detail = "the flow failed at node " + strconv.Quote(node.Node)
	}
	return p
}

// retryAfter is the time until a repetition makes sense: the end of the
// holder's lease, or one second if that is unknown.
func retryAfter(p *failure, err error) time.Duration {
	var progress *dedupe.InProgressError
	switch {
	case errors.As(err, &progress):
		return max(progress.RetryAfter, time.Second)
	case p.Status == http.StatusServiceUnavailable || p.Status == http.StatusGatewayTimeout:
		return time.Second
	}
	return 0
}
