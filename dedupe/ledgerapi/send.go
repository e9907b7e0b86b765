package ledgerapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strconv"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/problem"
	"flow.internal/capdo/internal/sleep"
)

// clientCall is a request that may be sent several times.
type clientCall struct {
	path       string
	body       map[string]any
	wait       time.Duration // that the server is asked to wait
	repeatable bool          // also where it may have taken effect
	until      time.Time     // when the last attempt may begin; zero: there is no deadline
}

// ended returns why there are no more attempts in time, or nil.
func (call *clientCall) ended(ctx context.Context) error {
	if ctx.Err() == nil && !call.until.IsZero() && !time.Now().Before(call.until) {
		return context.DeadlineExceeded // the context's own timer is about to say so
	}
	return context.Cause(ctx)
}

// unlimited is how often a call without a deadline is sent.
const unlimited = 3

// mayRepeat reports whether there may be an attempt after the nth.
func (c *Client) mayRepeat(call *clientCall, n int) bool {
	switch {
	case c.attempts > 0 && n >= c.attempts:
		return false
	case call.until.IsZero():
		return c.attempts > 0 || n < unlimited
	}
	return time.Now().Before(call.until)
}

// attemptError is the failure of an attempt that got no answer.
type attemptError struct {
	err     error
	unknown bool          // it may have taken effect
	again   bool          // another attempt may succeed
	after   time.Duration // the server's Retry-After
}

// send sends a call until it gets an answer, which it passes to read. Otherwise
// it returns what is known about the outcome.
func (c *Client) send(ctx context.Context, call clientCall, read func(answer []byte) error) error {
	payload, err := json.Marshal(call.body)
	if err != nil {
		return err
	}
	var lost []error
	for n := 1; ; n++ {
		s := c.attempt(ctx, call, payload, read)
		if s == nil {
			return nil
		}
		// If an earlier attempt was lost, a definite error of a later one says
		// nothing about the first.
		if s.unknown || lost != nil {
			lost = append(lost[:min(len(lost), 2)], s.err) // the first two, and the last
		}
		if s.again && (call.repeatable || !s.unknown) && c.mayRepeat(&call, n) &&
			pause(ctx, call.until, backOff(n, s.after)) {
			continue
		}
		cause := call.ended(ctx)
		switch {
		case lost != nil && cause != nil:
			return unknownOutcome(append(lost, cause)...)
		case lost != nil:
			return unknownOutcome(lost...)
		case s.again && cause != nil:
			return fmt.Errorf("%w: %w", cause, s.err)
		}
		return s.err
	}
}

const (
	maxBackOff    = 2 * time.Second
	maxRetryAfter = 10 * time.Second // longer ones are not believed
)

// backOff is the pause after the nth attempt: about twice as long as the last,
// and at least the time that the server asked for. It is partly random, so that
// clients that lost their server at the same time do not all return at once.
func backOff(n int, least time.Duration) time.Duration {
	d := min(100*time.Millisecond<<min(n-1, 10), maxBackOff)
	return max(d/2+rand.N(d), least+rand.N(least/4+1))
}

// pause waits. It reports false if ctx ends or until is reached first.
func pause(ctx context.Context, until time.Time, d time.Duration) bool {
	if !until.IsZero() {
		d = min(d, time.Until(until))
	}
	return sleep.For(ctx, d) && (until.IsZero() || time.Now().Before(until))
}

// retryAfter reads a response's Retry-After, in seconds.
func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 60))*time.Second, maxRetryAfter)
}

// attempt sends a call once.
func (c *Client) attempt(
	ctx context.Context, call clientCall, payload []byte, read func(answer []byte) error,
) *attemptError {
	ctx, cancel := context.WithTimeout(ctx, attemptTime+call.wait)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+call.path,
		bytes.NewReader(payload))
	if err != nil {
		return &attemptError{err: err}
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, application/problem+json")
	resp, err := c.http.Do(r)
	if err != nil {
		return &attemptError{err: err, unknown: !c.neverSent(err), again: true}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s := c.refused(resp)
		s.after = retryAfter(resp)
		return s
	}
	limit := int64(maxBody)
	if call.path == "/v1/claims" {
		limit = maxResultBody
	}
	answer, err := readAnswer(resp, "application/json", limit)
	if err == nil {
		err = read(answer)
	}
	if err != nil {
		return &attemptError{err: fmt.Errorf("%s sent an invalid response: %w"+
			"\nhint: check that the base URL is a ledger of this version", c.base, err),
			unknown: true, again: true}
	}
	return nil
}

// neverSent reports whether an error proves that there was no connection, so
// that nothing was sent. It reports false for a transport of another kind,
// which may have sent something before.
func (c *Client) neverSent(err error) bool {
	_, plain := c.http.Transport.(*http.Transport)
	var op *net.OpError
	return (plain || c.http.Transport == nil) && errors.As(err, &op) && op.Op == "dial"
}

// readAnswer reads a response's body, if it is of that type and size.
func readAnswer(resp *http.Response, media string, limit int64) ([]byte, error) {
	got, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || got != media {
		return nil, fmt.Errorf("its Content-Type is not %s", media)
	}
	if resp.ContentLength > limit {
		return nil, errors.New("it is too large")
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, errors.New("it is too large")
	}
	return b, nil
}

// refused reads a response that does not answer the call. Only a response of
// the API itself is definite: another server may have passed the request on.
func (c *Client) refused(resp *http.Response) *attemptError {
	status := resp.StatusCode
	var p problem.Problem
	if b, err := readAnswer(resp, "application/problem+json", maxBody); err != nil ||
		json.Unmarshal(b, &p) != nil {
		p = problem.Problem{}
	}
	for _, known := range apiProblems {
		switch {
		case known.code != p.Code || known.status != status:
		case known.err != nil:
			unknown := known.err == dedupe.ErrUnknownOutcome
			return &attemptError{err: c.serverError(known.err, known.hint),
				unknown: unknown, again: unknown}
		default:
			internal := known.code == codeInternal
			return &attemptError{err: fmt.Errorf("%s answered %d %s\nhint: %s", c.base, status,
				known.code, known.hint), unknown: internal, again: internal}
		}
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &attemptError{err: c.serverError(ErrUnauthorized,
			"a proxy in front of the ledger may have refused the request")}
	case 300 <= status && status < 400:
		return &attemptError{err: fmt.Errorf("%s answered %d; redirects are not followed"+
			"\nhint: check the base URL", c.base, status), unknown: true}
	}
	err := fmt.Errorf("%s answered %d without an error code of the ledger"+
		"\nhint: check the base URL; a proxy in front of the ledger may have answered",
		c.base, status)
	return &attemptError{err: err, unknown: true, again: status >= 500}
}

// serverError is an error that the server reported. Errors of package dedupe
// need no further text.
func (c *Client) serverError(err error, hint string) error {
	switch err {
	case ErrUnauthorized, ErrNoTokens, ErrUnavailable:
		return fmt.Errorf("%s: %w\nhint: %s", c.base, err, hint)
	}
	return err
}

func unknownOutcome(causes ...error) error {
	err := dedupe.ErrUnknownOutcome
	for _, cause := range causes {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// clientError returns the error for the caller of a method.
func clientError(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &dedupe.Error{Op: op, Err: err}
	var dial *net.OpError
	switch {
	case errors.Is(err, dedupe.ErrUnknownOutcome):
		e.Retryable = op != opPut // which would have another owner
	case errors.Is(err, dedupe.ErrOverloaded), errors.Is(err,
		ErrUnavailable), errors.As(err, &dial):
		e.Retryable = true
	}
	return e
}
