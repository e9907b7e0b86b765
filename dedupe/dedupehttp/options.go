package dedupehttp

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
)

// Options say how [Idempotent] works; nil means the defaults.
type Options struct {
	// Required: a request without a key is answered with status 400. By default
	// it goes to the handler, as if the middleware were not there.
	Required bool
	// Methods are those that the middleware is for, in upper or lower case;
	// POST and PATCH when empty. Others go to the handler. PUT and DELETE,
	// which may be repeated by their definition, are among them if they are
	// listed. GET, HEAD, OPTIONS and TRACE cannot be.
	Methods []string
	// TTL is how long a key is remembered from its first request on;
	// [dedupe.DefaultTTL] when 0.
	TTL time.Duration
	// Lease is how long a key stays in progress when its program dies, from 1
	// ms to [dedupe.MaxLease]; [dedupe.DefaultLease] when 0. While the handler
	// runs it is extended.
	Lease time.Duration
	// Wait is how long a request waits while another with its key is in
	// progress, at most [dedupe.MaxWait]. With 0 it is answered with status 409
	// at once, and otherwise when the wait is over.
	Wait time.Duration
	// MaxBody is the size of the largest request, in bytes; 1 MiB when 0. It is
	// read into memory before the handler runs.
	MaxBody int64
	// Disposition says what becomes of a response by its status:
	// [dedupe.StoreResult], so that the key is answered with it from then on,
	// or whether the key's next request runs the handler again, at once
	// ([dedupe.ReleaseClaim]) or after the lease ([dedupe.LeaveToLease]).
	// [DefaultDisposition] when nil; [RepeatServerErrors] is for handlers that
	// may run again after a failure. Where a handler has called [NoEffect] it
	// is not asked.
	Disposition func(status int) dedupe.Disposition
	// Timeout is how long a client waits from when the handler begins; no limit
	// when 0. Then the handler's context ends, with the cause
	// [http.ErrHandlerTimeout], and the client gets status 503 and the code
	// timed_out. The handler keeps its claim until it has returned, and its
	// response is stored for the key's next request. A response that has begun
	// to go out is broken off. Do not use [http.TimeoutHandler] inside of the
	// middleware; see the package's documentation.
	Timeout time.Duration
	// Streaming: the response goes out as the handler writes it, and its body
	// is not kept.
	Streaming bool
}

// DefaultDisposition stores all that a handler answers, except 409, 425 and
// 429: by their definition the request was not carried out, and may be
// repeated. After those the next request runs the handler at once.
//
// It stores 503 and 408, too, as any other failure. A handler says them when it
// has done nothing, but http.TimeoutHandler and the like, and proxies, say them
// of work that goes on. A handler that has done nothing calls [NoEffect].
func DefaultDisposition(status int) dedupe.Disposition {
	switch status {
	case http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return dedupe.ReleaseClaim
	}
	return dedupe.StoreResult
}

// RepeatServerErrors is [DefaultDisposition], except that it stores neither 408
// nor a status of 500 or more: the key's next request runs the handler again,
// after the lease, since the failed run may have had an effect, and may still
// have it. It is for handlers that may be repeated: they pass the key or the
// fence on to whatever they change, or look at [ClaimOf] and ask what has been
// done.
func RepeatServerErrors(status int) dedupe.Disposition {
	if status == http.StatusRequestTimeout || status >= http.StatusInternalServerError {
		return dedupe.LeaveToLease
	}
	return DefaultDisposition(status)
}

// complete fills in the defaults, and says what is wrong with the rest.
func (o *Options) complete() string {
	if len(o.Methods) == 0 {
		o.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	o.Methods = slices.Clone(o.Methods)
	for i, method := range o.Methods {
		if !isHeaderName(method) { // both are tokens
			return "Methods has what is not a method"
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
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace} {
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
