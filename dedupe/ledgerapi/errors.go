package ledgerapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/problem"
)

// ErrUnavailable: the server cannot reach a ledger. The call had no effect.
var ErrUnavailable = errors.New("the ledger is not available")

// ErrOwnerUnsupported: the server's store or sequencer does not take owners; it
// is no [dedupe.IdempotentStore] or [dedupe.IdempotentSequencer]. The call had
// no effect.
var ErrOwnerUnsupported = errors.New(
	"the server's store or sequencer does not take an owner")

// apiProblem is an error response of the API.
type apiProblem struct {
	code   string
	status int
	// err is the error that has this code, and that a client returns for it;
	// nil for an error of HTTP.
	err    error
	detail string
	hint   string
}

const (
	notConfigured = "not_configured"
	codeInternal  = "internal"
	codeMalformed = "invalid_request"
)

// apiProblems are all of them. If an error matches several, the first counts.
var apiProblems = []apiProblem{
	{"outcome_unknown", http.StatusServiceUnavailable, dedupe.ErrUnknownOutcome,
		"the outcome is unknown: the call may have had its effect",
		"repeat the call, with the same owner if it has one"},
	{"overloaded", http.StatusServiceUnavailable, dedupe.ErrOverloaded,
		"the ledger is overloaded; nothing was done", "repeat the call later"},
	{"mismatch", http.StatusUnprocessableEntity, dedupe.ErrMismatch,
		"the key is in use with another fingerprint", "use a new key for another payload"},
	{"fenced", http.StatusConflict, dedupe.ErrFenced,
		"the claim is over; nothing was changed",
		"stop the work: another holder may be doing it"},
	{"foreign_claim", http.StatusConflict, dedupe.ErrForeignClaim,
		"another ledger made the claim",
		"send the ledger of the claim's response, with a token of the same tenant"},
	{"key_empty", http.StatusBadRequest, dedupe.ErrKeyEmpty, "a key or stream is empty",
		"send 1 to 2048 bytes"},
	{"key_too_large", http.StatusBadRequest, dedupe.ErrKeyTooLarge,
		"a key or stream is larger than 2048 bytes", "send a hash of it"},
	{"invalid_ttl", http.StatusBadRequest, dedupe.ErrInvalidTTL,
		"ttl_ms is negative or longer than 10 years", ""},
	{"invalid_lease", http.StatusBadRequest, dedupe.ErrInvalidLease,
		"lease_ms is negative or longer than 24 hours", "extend the lease while the work goes on"},
	{"invalid_wait", http.StatusBadRequest, dedupe.ErrInvalidWait,
		"wait_ms is negative or longer than a minute",
		"claim again after the wait, with the same owner"},
	{"owner_too_large", http.StatusBadRequest, dedupe.ErrOwnerTooLarge,
		"owner is larger than 64 bytes", ""},
	{"owner_unsupported", http.StatusBadRequest, ErrOwnerUnsupported,
		"the store or sequencer does not take an owner; nothing was done",
		"send the request without an owner, and do not repeat it"},
	{"fingerprint_too_large", http.StatusBadRequest, dedupe.ErrFingerprintTooLarge,
		"fingerprint or payload_hash is larger than 64 bytes", "send a hash"},
	{"result_too_large", http.StatusRequestEntityTooLarge, dedupe.ErrResultTooLarge,
		"result is larger than 1 MiB", "store it elsewhere, and complete with a reference"},
	{"unauthorized", http.StatusUnauthorized, ErrUnauthorized,
		"the request has no valid token",
		"send the header Authorization: Bearer and a tenant's token"},
	{notConfigured, http.StatusServiceUnavailable, ErrNoTokens,
		"the server has no tokens, so it refuses all requests",
		"set its secret, such as LEDGER_TOKENS, to tenant:token; see its log"},
	{"unavailable", http.StatusServiceUnavailable, ErrUnavailable,
		"the server cannot reach a ledger; nothing was done", "look at its log"},
	// refusal has the texts.
	{codeMalformed, http.StatusBadRequest, nil, "", ""},
	{"request_too_large", http.StatusRequestEntityTooLarge, nil,
		"the body is too large", ""},
	{"unsupported_media_type", http.StatusUnsupportedMediaType, nil,
		"the body is not declared as JSON",
		"send the header Content-Type: application/json, and no Content-Encoding"},
	{"not_found", http.StatusNotFound, nil, "there is nothing at this path",
		"the paths are in /v1/openapi.yaml"},
	{"method_not_allowed", http.StatusMethodNotAllowed, nil,
		"the path does not support this method", "see the header Allow"},
	{codeInternal, http.StatusInternalServerError, nil,
		"the ledger failed, and the outcome is unknown", "look at the server's log"},
}

// refusal is an error that has a code of its own.
type refusal struct {
	code  string
	cause error
}

func (e refusal) Error() string { return e.code }

func (e refusal) Unwrap() error { return e.cause }

// malformedError is the error of a malformed request.
type malformedError struct{ detail, hint string }

func malformed(detail, hint string) error { return malformedError{detail, hint} }

func (e malformedError) Error() string { return e.detail }

// unavailable is the error when there is nothing to ask.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return refusal{"unavailable", err}
}

// problemOf returns the problem that a client gets for err.
func problemOf(err error) problem.Problem {
	var r refusal
	var m malformedError
	switch {
	case errors.As(err, &m):
		return problem.Problem{Status: http.StatusBadRequest, Code: codeMalformed,
			Detail: m.detail, Hint: m.hint}
	case !errors.As(err, &r):
		r.code = codeInternal
		var e *dedupe.Error
		if errors.As(err, &e) && e.Kind == dedupe.RuntimeUnavailable {
			r.code = "unavailable"
		}
	}
	for _, p := range apiProblems {
		if p.code == r.code || r.code == codeInternal && p.err != nil && errors.Is(err, p.err) {
			return problem.Problem{Status: p.status, Code: p.code, Detail: p.detail, Hint: p.hint}
		}
	}
	panic("ledgerapi: no problem has the code " + r.code)
}

// refuse answers with a problem, and logs it unless it is the client's.
func (a *apiHandler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Code == "overloaded" || p.Code == "outcome_unknown" {
		p.RetryAfter = time.Second
	}
	if gone := r.Context().Err() != nil; p.Status >= 500 && !gone {
		a.Log.ErrorContext(context.WithoutCancel(r.Context()), "the ledger's API failed", "code",
			p.Code, "err", logged(err))
	}
	p.Write(w)
}

// logged returns the cause of a refusal.
func logged(err error) error {
	var r refusal
	if errors.As(err, &r) && r.cause != nil {
		return r.cause
	}
	return err
}
