package dedupehttp

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
)

// Options configure [Idempotent]; nil means the defaults.
type Options struct {
	// Required refuses a request without a key with status 400. By default
	// such a request goes to the handler as if there were no middleware.
	Required bool
	// Methods lists the methods that the middleware handles, in upper or
	// lower case; POST and PATCH when empty. Requests with other methods go
	// to the handler. PUT and DELETE, which are idempotent by definition,
	// can be listed. GET, HEAD, OPTIONS and TRACE cannot.
	Methods []string
	// TTL is how long a key is remembered after its first request;
	// [dedupe.DefaultTTL] when 0.
	TTL time.Duration
	// Lease is how long a key stays in progress after its program dies,
	// from 1 ms to [dedupe.MaxLease]; [dedupe.DefaultLease] when 0. It is
	// extended while the handler runs.
	Lease time.Duration
	// Wait is how long a request waits while another with its key is in
	// progress, at most [dedupe.MaxWait]. With 0 it is answered with status
	// 409 at once, and otherwise when the wait is over.
	Wait time.Duration
	// MaxBody is the size of the largest request, in bytes; 1 MiB when 0.
	// It is read into memory before the handler runs.
	MaxBody int64
	// Disposition decides by the status what happens with a response.
	// [dedupe.StoreResult] stores it, and later requests with the key get
	// it. With [dedupe.ReleaseClaim] the key's next request runs the
	// handler again at once, with [dedupe.LeaveToLease] after the lease. It
	// is [DefaultDisposition] when nil; [RepeatServerErrors] is for
	// handlers that may run again after a failure. It is not called if the
	// handler has called [NoEffect].
	Disposition func(status int) dedupe.Disposition
	// Timeout is how long a client waits after the handler has begun; no
	// limit when 0. Then the handler's context ends, with the cause
	// [http.ErrHandlerTimeout], and the client gets status 503 and the code
	// timed_out. The handler keeps its claim until it has returned, and its
	// response is stored for the key's next request. A partly sent response
	// is broken off. Do not use [http.TimeoutHandler] inside the
	// middleware; see the package's documentation.
	Timeout time.Duration
	// Streaming: the response goes out as the handler writes it, and its
	// body is not kept.
	Streaming bool
}

// DefaultDisposition stores every response except 409, 425 and 429. By
// definition, these mean that the request was not carried out and may be
// repeated, so the next request runs the handler at once.
//
// It stores 503 and 408 like any other failure. A handler may send them when it
// has done nothing, but proxies and http.TimeoutHandler send them while the
// work continues. A handler that has done nothing calls [NoEffect].
func DefaultDisposition(status int) dedupe.Disposition {
	switch status {
	case http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return dedupe.ReleaseClaim
	}
	return dedupe.StoreResult
}

// RepeatServerErrors is [DefaultDisposition], except that it stores neither 408
// nor a status of 500 or more. After these, the key's next request runs the
// handler again once the lease is over, because the failed run may have had an
// effect, or may still have one. Use it for handlers that may run again: they
// pass the key or the fence to the system that they change, or check [ClaimOf]
// and find out what was done.
func RepeatServerErrors(status int) dedupe.Disposition {
	if status == http.StatusRequestTimeout || status >= http.StatusInternalServerError {
		return dedupe.LeaveToLease
	}
	return DefaultDisposition(status)
}

// complete fills in the defaults, and returns a problem of the options, or "".
func (o *Options) complete() string {
	if len(o.Methods) == 0 {
		o.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	o.Methods = slices.Clone(o.Methods)
	for i, method := range o.Methods {
		if !isHeaderName(method) { // both are tokens
			return "Methods has an entry that is not an HTTP method"
		}
		o.Methods[i] = strings.ToUpper(method)
	}
	if o.TTL == 0 {
		o.TTL = dedupe.DefaultTTL
	}
	if o.Lease == 0 {
		o.Lease = dedupe.DefaultLease
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.Disposition == nil {
		o.Disposition = DefaultDisposition
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions,
		http.MethodTrace} {
		if slices.Contains(o.Methods, method) {
			return method + " is a safe method, and needs no key"
		}
	}
	claim := dedupe.ClaimOptions{Lease: o.Lease, Wait: o.Wait}
	err := claim.Check([]byte("any"))
	if err == nil {
		_, err = dedupe.TTLMillis(o.TTL, 0)
	}
	switch {
	case err != nil:
		return err.Error()
	case o.MaxBody < 0:
		return "MaxBody is negative"
	case o.Timeout < 0:
		return "Timeout is negative"
	}
	return ""
}
