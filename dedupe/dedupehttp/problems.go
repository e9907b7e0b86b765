package dedupehttp

import (
	"errors"
	"net/http"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/problem"
)

var (
	bodyTooLarge = problem.Problem{
		Status: http.StatusRequestEntityTooLarge, Code: "body_too_large",
		Detail: "The request is too large to be repeated under an Idempotency-Key.",
	}
	bodyUnreadable = problem.Problem{
		Status: http.StatusBadRequest, Code: "body_unreadable",
		Detail: "The request's body did not arrive in full.", Hint: "send the request again",
	}
	bodyIncomplete = problem.Problem{
		Status: http.StatusInternalServerError, Code: "body_incomplete",
		Detail: "The request's body is shorter than announced. The operation was not carried out.",
		Hint: "the server must not read the body before it checks the Idempotency-Key; " +
			"if there is no body, send Content-Length: 0",
	}
)

// minRetryAfter is the shortest time that a client should wait before it tries
// again. A holder usually ends long before its lease.
const minRetryAfter = time.Second

var (
	ledgerFailed = problem.Problem{
		Status: http.StatusServiceUnavailable, Code: "ledger_failed", RetryAfter: minRetryAfter,
		Detail: "The ledger of Idempotency-Keys cannot be reached. " +
			"The operation was not carried out.",
		Hint: "send the request again, with the same key",
	}
	noRoom = problem.Problem{
		Status: http.StatusServiceUnavailable, Code: "overloaded", RetryAfter: minRetryAfter,
		Detail: "The server has no memory for another request. " +
			"The operation was not carried out by this request.",
		Hint: "send the request again, later, with the same key",
	}
	timedOut = problem.Problem{
		Status: http.StatusServiceUnavailable, Code: "timed_out", RetryAfter: minRetryAfter,
		Detail: "The operation takes longer than the time limit of a request. " +
			"It is still in progress.",
		Hint: "send the request again, with the same key, to get its response",
	}
	takenOver = problem.Problem{
		Status: http.StatusServiceUnavailable, Code: "taken_over", RetryAfter: minRetryAfter,
		Detail: "Another request with this Idempotency-Key took over.",
		Hint:   "send the request again, with the same key, to get its response",
	}
)

// panicRecord returns the record that is stored for a handler that panicked.
func panicRecord(expires time.Time) *record {
	rec := &recorder{header: http.Header{}}
	problem.Problem{
		Status: http.StatusInternalServerError, Code: "handler_panicked",
		Detail: "The operation failed, and may have been carried out in part.",
		Hint:   "this key stays failed; find out what was done before you use another",
	}.Write(rec)
	rec.finish()
	return rec.record(expires)
}

// claimProblem returns the problem for an error of the claim.
func claimProblem(err error) *problem.Problem {
	switch {
	case errors.Is(err, dedupe.ErrMismatch):
		return &problem.Problem{
			Status: http.StatusUnprocessableEntity, Code: "idempotency_key_reused",
			Detail: "This Idempotency-Key was used for another request.",
			Hint: "use a new key for each operation, " +
				"and send a repetition exactly like the first",
		}
	case errors.Is(err, dedupe.ErrInProgress):
		return &problem.Problem{
			Status: http.StatusConflict, Code: "in_progress", RetryAfter: minRetryAfter,
			Detail: "Another request with this Idempotency-Key is in progress.",
			Hint:   "send the request again, with the same key, to get its response",
		}
	case errors.Is(err, dedupe.ErrOverloaded):
		p := ledgerFailed
		p.Code, p.Detail = "overloaded",
			"The ledger of Idempotency-Keys is overloaded. The operation was not carried out."
		return &p
	case errors.Is(err, dedupe.ErrUnknownOutcome):
		p := ledgerFailed
		p.Code, p.Detail = "outcome_unknown",
			"The ledger of Idempotency-Keys did not answer. "+
				"The operation was not carried out by this request."
		return &p
	}
	return &ledgerFailed
}
