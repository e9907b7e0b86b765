//go:build !js

package ledgerapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/problem"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// send sends a raw request, and returns the status, headers and body of the
// answer.
func send(t testing.TB, url, request string) (int, http.Header, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	// The answer may come before the server has read the whole request.
	go io.WriteString(conn, request)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(body)
}

// hostile is a request that is refused. Empty fields have valid values.
type hostile struct {
	name          string
	method, path  string
	authorization string // complete header lines
	headers       string // more lines, or the Content-Type's replacement
	body          string
	chunked       bool
	status        int
	code          string // if the API answers
}

func (h *hostile) request() string {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: ledger\r\n%s", or(h.method, "POST"), or(h.path, "/v1/claims"), or(h.authorization, "Authorization: Bearer "+redToken+"\r\n"))
	if !strings.Contains(h.headers, "Content-Type") {
		head += "Content-Type: application/json\r\n"
	}
	head += h.headers
	body := or(h.body, claimBody)
	switch {
	case h.chunked:
		return fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", head, len(body), body)
	case strings.Contains(h.headers, "Content-Length"):
		return head + "\r\n" + body
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

const secretKey, secretOwner = "secret-key", "secret-owner"

var claimBody = fmt.Sprintf(`{"key":%q,"owner":%q,"lease_ms":60000}`, b64(secretKey), b64(secretOwner))

func bearer(token string) string { return "Authorization: Bearer " + token + "\r\n" }

// hostileRequests returns requests to send while "holder" holds the key "held"
// in red's ledger, with that identity and fence.
func hostileRequests(identity string, fence int64) []hostile {
	holder := func(ledger, key, owner, fence string) string {
		return fmt.Sprintf(`{"ledger":%q,"key":%q,"owner":%q,"fence":%s,"result":"","lease_ms":1}`, ledger, b64(key), b64(owner), fence)
	}
	complete := func(body string) string { return strings.Replace(body, `,"lease_ms":1`, "", 1) }
	release := func(body string) string { return strings.Replace(complete(body), `,"result":""`, "", 1) }
	quoted := func(fence int64) string { return fmt.Sprintf(`"%d"`, fence) }
	with := func(field string) string { return claimBody[:len(claimBody)-1] + "," + field + "}" }
	leased := func(lease string) string { return strings.Replace(claimBody, "60000", lease, 1) }
	large := strings.Repeat("A", 20_000)
	const c, x, r = "/v1/claims/complete", "/v1/claims/extend", "/v1/claims/release"
	return []hostile{
		{name: "no token", authorization: "X: y\r\n", status: 401, code: "unauthorized"},
		{name: "no token for localhost", authorization: "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n", status: 401, code: "unauthorized"},
		{name: "no token, and a body that never comes", authorization: "X: y\r\n", headers: "Content-Length: 1000000\r\n", status: 401, code: "unauthorized"},
		{name: "an empty token", authorization: "Authorization: Bearer \r\n", status: 401, code: "unauthorized"},
		{name: "a wrong token", authorization: bearer(strings.Replace(redToken, "0", "1", 1)), status: 401, code: "unauthorized"},
		{name: "a token with a suffix", authorization: bearer(redToken + "0"), status: 401, code: "unauthorized"},
		{name: "a part of a token", authorization: bearer(redToken[:32]), status: 401, code: "unauthorized"},
		{name: "a token in another case", authorization: bearer(strings.ToUpper(redToken)), status: 401, code: "unauthorized"},
		{name: "the secret itself", authorization: bearer("red:" + redToken), status: 401, code: "unauthorized"},
		{name: "the whole secret", authorization: bearer(allTokens), status: 401, code: "unauthorized"},
		{name: "a token that is too long", authorization: bearer(strings.Repeat("a", 50_000)), status: 401, code: "unauthorized"},
		{name: "another scheme", authorization: "Authorization: Basic " + b64("red:"+redToken) + "\r\n", status: 401, code: "unauthorized"},
		{name: "a token with another scheme", authorization: "Authorization: Token " + redToken + "\r\n", status: 401, code: "unauthorized"},
		{name: "a token without a scheme", authorization: "Authorization: " + redToken + "\r\n", status: 401, code: "unauthorized"},
		{name: "two tokens", authorization: bearer(redToken) + bearer(blueToken), status: 401, code: "unauthorized"},
		{name: "two tokens in one", authorization: bearer(redToken + ", Bearer " + blueToken), status: 401, code: "unauthorized"},
		{name: "a token in the query", path: "/v1/claims?access_token=" + redToken, authorization: "X: y\r\n", status: 401, code: "unauthorized"},
		{name: "a token in a cookie", authorization: "Cookie: Authorization=" + redToken + "\r\n", status: 401, code: "unauthorized"},
		{name: "a token of a proxy", authorization: "Proxy-Authorization: Bearer " + redToken + "\r\n", status: 401, code: "unauthorized"},
		{name: "a header that is folded", authorization: "Authorization: Bearer\r\n " + redToken + "x\r\n", status: 401, code: "unauthorized"},

		{name: "another tenant's claim", path: r, authorization: bearer(blueToken), body: release(holder(identity, "held", "holder", quoted(fence))), status: 409, code: "foreign_claim"},
		{name: "a forged ledger", path: r, body: release(holder(identity+"x", "held", "holder", quoted(fence))), status: 409, code: "foreign_claim"},
		{name: "a forged owner", path: c, body: complete(holder(identity, "held", "thief", quoted(fence))), status: 409, code: "fenced"},
		{name: "no owner", path: x, body: strings.Replace(holder(identity, "held", "", quoted(fence)), `,"result":""`, "", 1), status: 409, code: "fenced"},
		{name: "a forged fence", path: r, body: release(holder(identity, "held", "holder", quoted(fence+1))), status: 409, code: "fenced"},
		{name: "a negative fence", path: r, body: release(holder(identity, "held", "holder", quoted(-fence))), status: 409, code: "fenced"},
		{name: "the fence of another key", path: r, body: release(holder(identity, "other", "holder", quoted(fence))), status: 409, code: "fenced"},
		{name: "a fence that is a number", path: r, body: release(holder(identity, "held", "holder", fmt.Sprint(fence))), status: 400, code: "invalid_request"},
		{name: "a fence with a plus", path: r, body: release(holder(identity, "held", "holder", fmt.Sprintf(`"+%d"`, fence))), status: 400, code: "invalid_request"},
		{name: "a fence with zeros", path: r, body: release(holder(identity, "held", "holder", fmt.Sprintf(`"0%d"`, fence))), status: 400, code: "invalid_request"},
		{name: "a fence with space", path: r, body: release(holder(identity, "held", "holder", fmt.Sprintf(`"%d "`, fence))), status: 400, code: "invalid_request"},
		{name: "a fence beyond 64 bits", path: r, body: release(holder(identity, "held", "holder", `"18446744073709551617"`)), status: 400, code: "invalid_request"},

		{name: "a body that is declared too large", body: with(`"x":"` + large + `"`), status: 413, code: "request_too_large"},
		{name: "a body of a terabyte", headers: "Content-Length: 1099511627776\r\n", status: 413, code: "request_too_large"},
		{name: "a chunked body that is too large", body: with(`"x":"` + large + `"`), chunked: true, status: 413, code: "request_too_large"},
		{name: "the size of a result in another request", path: "/v1/claims/forget", body: `{"key":"` + large + `"}`, status: 413, code: "request_too_large"},
		{name: "a result that is too large", path: c, body: complete(strings.Replace(holder(identity, "held", "holder", quoted(fence)), `"result":""`, `"result":"`+b64(strings.Repeat("x", dedupe.MaxResultSize+1))+`"`, 1)), status: 413, code: "result_too_large"},
		{name: "a result that is much too large", path: c, body: complete(strings.Replace(holder(identity, "held", "holder", quoted(fence)), `"result":""`, `"result":"`+strings.Repeat("A", 2<<20)+`"`, 1)), status: 413, code: "request_too_large"},
		{name: "a length that is negative", headers: "Content-Length: -1\r\n", status: 400},
		{name: "two lengths", headers: "Content-Length: 5\r\nContent-Length: 6\r\n", status: 400},
		{name: "compressed", headers: "Content-Encoding: gzip\r\n", status: 415, code: "unsupported_media_type"},

		{name: "no JSON", body: "key=1", status: 400, code: "invalid_request"},
		{name: "half of it", body: claimBody[:20], status: 400, code: "invalid_request"},
		{name: "an array", body: "[" + claimBody + "]", status: 400, code: "invalid_request"},
		{name: "a text", body: `"claim"`, status: 400, code: "invalid_request"},
		{name: "null", body: "null", status: 400, code: "invalid_request"},
		{name: "nothing", body: " ", status: 400, code: "invalid_request"},
		{name: "two objects", body: claimBody + claimBody, status: 400, code: "invalid_request"},
		{name: "something after it", body: claimBody + "x", status: 400, code: "invalid_request"},
		{name: "a closing brace too many", body: claimBody + "}", status: 400, code: "invalid_request"},
		{name: "a comma too many", body: claimBody[:len(claimBody)-1] + ",}", status: 400, code: "invalid_request"},
		{name: "a byte order mark", body: "\ufeff" + claimBody, status: 400, code: "invalid_request"},
		{name: "a comment", body: "/**/" + claimBody, status: 400, code: "invalid_request"},
		{name: "a field twice", body: with(`"key":"` + b64("other") + `"`), status: 400, code: "invalid_request"},
		{name: "a field twice, once escaped", body: with(`"\u006bey":"` + b64("other") + `"`), status: 400, code: "invalid_request"},
		{name: "a field in another case", body: strings.Replace(claimBody, `"key"`, `"KEY"`, 1), status: 400, code: "invalid_request"},
		{name: "a field that is unknown", body: with(`"tenant":"blue"`), status: 400, code: "invalid_request"},
		{name: "a prototype", body: with(`"__proto__":{"key":"x"}`), status: 400, code: "invalid_request"},
		{name: "no key", body: `{"owner":"bw==","lease_ms":1}`, status: 400, code: "invalid_request"},
		{name: "no owner at all", body: `{"key":"aw==","lease_ms":1}`, status: 400, code: "invalid_request"},
		{name: "an owner that is empty", body: `{"key":"aw==","owner":"","lease_ms":1}`, status: 400, code: "invalid_request"},
		{name: "a key that is null", body: `{"key":null,"owner":"bw==","lease_ms":1}`, status: 400, code: "invalid_request"},
		{name: "a key that is a number", body: `{"key":7,"owner":"bw==","lease_ms":1}`, status: 400, code: "invalid_request"},
		{name: "a key in bytes", body: `{"key":[107],"owner":"bw==","lease_ms":1}`, status: 400, code: "invalid_request"},
		{name: "a key in base64url", body: `{"key":"_-_-","owner":"bw==","lease_ms":1}`, status: 400, code: "invalid_request"},
		{name: "a key without padding", body: `{"key":"aw","owner":"bw==","lease_ms":1}`, status: 400, code: "invalid_request"},
		{name: "a key with spare bits", body: `{"key":"ax==","owner":"bw==","lease_ms":1}`, status: 400, code: "invalid_request"},
		{name: "a key with a line end", body: `{"key":"aw=\n=","owner":"bw==","lease_ms":1}`, status: 400, code: "invalid_request"},
		{name: "a key that is empty", body: `{"key":"","owner":"bw==","lease_ms":1}`, status: 400, code: "key_empty"},
		{name: "a key that is too large", body: `{"key":"` + b64(strings.Repeat("k", 2049)) + `","owner":"bw==","lease_ms":1}`, status: 400, code: "key_too_large"},
		{name: "an owner that is too large", body: `{"key":"aw==","owner":"` + b64(strings.Repeat("o", 65)) + `","lease_ms":1}`, status: 400, code: "owner_too_large"},
		{name: "a fingerprint that is too large", body: with(`"fingerprint":"` + b64(strings.Repeat("f", 65)) + `"`), status: 400, code: "fingerprint_too_large"},
		{name: "a put whose owner is empty", path: "/v1/keys", body: `{"key":"aw==","owner":""}`, status: 400, code: "invalid_request"},
		{name: "a put whose owner is too large", path: "/v1/keys", body: `{"key":"aw==","owner":"` + b64(strings.Repeat("o", 65)) + `"}`, status: 400, code: "owner_too_large"},
		{name: "an entry whose owner is empty", path: "/v1/sequences/next", body: `{"stream":"aw==","key":"aw==","owner":""}`, status: 400, code: "invalid_request"},
		{name: "an entry whose owner is too large", path: "/v1/sequences/next", body: `{"stream":"aw==","key":"aw==","owner":"` + b64(strings.Repeat("o", 65)) + `"}`, status: 400, code: "owner_too_large"},
		{name: "deep nesting", body: strings.Repeat(`{"key":`, 2000), status: 400, code: "invalid_request"},
		{name: "deep arrays", body: strings.Repeat("[", 16000), status: 400, code: "invalid_request"},
		{name: "deep arrays inside", body: `{"key":` + strings.Repeat("[", 16000), status: 400, code: "invalid_request"},

		{name: "a negative lease", body: leased("-1"), status: 400, code: "invalid_lease"},
		{name: "a lease that overflows", body: leased("9223372036854775807"), status: 400, code: "invalid_lease"},
		// 18446744073710 times 1e6, modulo 2^64, is 448,384 ns.
		{name: "a lease that overflows to a short one", body: leased("18446744073710"), status: 400, code: "invalid_lease"},
		{name: "a lease beyond 64 bits", body: leased("18446744073709551617"), status: 400, code: "invalid_request"},
		{name: "a lease with a fraction", body: leased("1.5"), status: 400, code: "invalid_request"},
		{name: "a lease with an exponent", body: leased("1e3"), status: 400, code: "invalid_request"},
		{name: "a lease that is infinite", body: leased("1e999"), status: 400, code: "invalid_request"},
		{name: "a lease that is not a number", body: leased("NaN"), status: 400, code: "invalid_request"},
		{name: "a lease that is a text", body: leased(`"60000"`), status: 400, code: "invalid_request"},
		{name: "a lease that is true", body: leased("true"), status: 400, code: "invalid_request"},
		{name: "a lease with a leading 0", body: leased("01"), status: 400, code: "invalid_request"},
		{name: "a lease of a million digits", body: leased(strings.Repeat("9", 16_000)), status: 400, code: "invalid_request"},
		{name: "a negative TTL", body: with(`"ttl_ms":-1`), status: 400, code: "invalid_ttl"},
		{name: "a TTL that overflows", body: with(`"ttl_ms":18446744073710`), status: 400, code: "invalid_ttl"},
		{name: "a TTL that underflows", body: with(`"ttl_ms":-18446744073709`), status: 400, code: "invalid_ttl"},
		{name: "a negative wait", body: with(`"wait_ms":-1`), status: 400, code: "invalid_wait"},
		{name: "a wait that is too long", body: with(`"wait_ms":60001`), status: 400, code: "invalid_wait"},

		{name: "no content type", headers: "Content-Type: \r\n", status: 415, code: "unsupported_media_type"},
		{name: "a form", headers: "Content-Type: application/x-www-form-urlencoded\r\n", status: 415, code: "unsupported_media_type"},
		{name: "text, as a page of another origin could send", headers: "Content-Type: text/plain\r\n", status: 415, code: "unsupported_media_type"},
		{name: "another charset", headers: "Content-Type: application/json; charset=utf-16\r\n", status: 415, code: "unsupported_media_type"},

		{name: "the root", path: "/", status: 404, code: "not_found"},
		{name: "a trailing slash", path: "/v1/claims/", status: 404, code: "not_found"},
		{name: "two slashes", path: "//v1/claims", status: 404, code: "not_found"},
		{name: "two slashes inside", path: "/v1//claims", status: 404, code: "not_found"},
		{name: "another case", path: "/V1/Claims", status: 404, code: "not_found"},
		{name: "dots", path: "/v1/claims/../claims", status: 404, code: "not_found"},
		{name: "dots, escaped", path: "/v1/keys/%2e%2e/claims", status: 404, code: "not_found"},
		{name: "a dot", path: "/v1/./claims", status: 404, code: "not_found"},
		{name: "a slash, escaped", path: "/v1%2fclaims", status: 404, code: "not_found"},
		{name: "a letter, escaped", path: "/v1/%63laims", status: 404, code: "not_found"},
		{name: "a zero byte", path: "/v1/claims%00", status: 404, code: "not_found"},
		{name: "a backslash", path: `/v1\claims`, status: 404, code: "not_found"},
		{name: "a parameter", path: "/v1/claims;x=y", status: 404, code: "not_found"},
		{name: "a key in the path", path: "/v1/claims/" + b64(secretKey), status: 404, code: "not_found"},
		{name: "another version", path: "/v2/claims", status: 404, code: "not_found"},
		{name: "a query", path: "/v1/claims?wait_ms=1", status: 400, code: "invalid_request"},
		{name: "an empty query", path: "/v1/claims?", status: 400, code: "invalid_request"},
		{name: "a line end in the path", path: "/v1/claims%0d%0aX:%20y", status: 404, code: "not_found"},
		{name: "GET", method: "GET", status: 405, code: "method_not_allowed"},
		{name: "DELETE", method: "DELETE", status: 405, code: "method_not_allowed"},
		{name: "OPTIONS", method: "OPTIONS", status: 405, code: "method_not_allowed"},
		{name: "a method in lower case", method: "post", status: 405, code: "method_not_allowed"},
		{name: "an unknown method", method: "CLAIM", status: 405, code: "method_not_allowed"},
		{name: "a method that a header overrides", method: "GET", headers: "X-HTTP-Method-Override: POST\r\nX-Method-Override: POST\r\n", status: 405, code: "method_not_allowed"},
		{name: "POST to the document", path: "/v1/openapi.yaml", status: 405, code: "method_not_allowed"},
	}
}

func TestHostileRequestsAreRefusedAndChangeNothing(t *testing.T) {
	b := newBackend()
	held, err := b.ledgers["red"].Claim(t.Context(), []byte("held"), dedupe.ClaimOptions{Owner: "holder", Lease: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var changes atomic.Int64
	ledger := b.Ledger
	b.Ledger = func(r *http.Request, tenant string) (dedupe.Ledger, error) {
		l, err := ledger(r, tenant)
		return dedupe.Observed(l, nil, func(e dedupe.Event) {
			if e.Err == nil {
				changes.Add(1)
			}
		}), err
	}
	url := serve(t, NewHandler(b.API))
	for _, h := range hostileRequests(held.Ledger, held.Fence) {
		status, header, body := send(t, url, h.request())
		var p problem.Problem
		json.Unmarshal([]byte(body), &p)
		if status != h.status || h.code != "" && (p.Code != h.code || p.Status != status || p.Detail == "") || changes.Load() != 0 {
			t.Errorf("%s: %d %.200s, %d changes; want %d %s", h.name, status, body, changes.Swap(0), h.status, h.code)
		}
		if allow := header.Get("Allow"); status == 405 && allow != "POST" && allow != "GET, HEAD" || status == 401 && header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: headers %v", h.name, header)
		}
		wantNoSecrets(t, h.name, body+fmt.Sprint(header))
	}
	if status, _, body := send(t, url, (&hostile{}).request()); status != 200 || !strings.Contains(body, `"acquired"`) {
		t.Errorf("the valid base request: %d %s", status, body)
	}
	again, err := b.ledgers["red"].Claim(t.Context(), []byte("held"), dedupe.ClaimOptions{Owner: "holder", Lease: time.Hour})
	if err != nil || again.Fence != held.Fence || again.Attempt != 1 {
		t.Errorf("%+v, %v; want the claim unchanged", again, err)
	}
	wantNoSecrets(t, "the log", b.log.String())
}

func wantNoSecrets(t *testing.T, name, text string) {
	t.Helper()
	for _, s := range []string{redToken, blueToken, blueNew, secretKey, secretOwner} {
		if strings.Contains(text, s) || strings.Contains(text, b64(s)) {
			t.Errorf("%s tells %q: %.300s", name, s, text)
		}
	}
}

// failing is a ledger, sequencer and store that fails.
type failing struct{ err error }

func (f failing) Name() string { return "failing" }
func (f failing) Claim(context.Context, []byte, dedupe.ClaimOptions) (dedupe.Claim, error) {
	return dedupe.Claim{}, f.err
}
func (f failing) Complete(context.Context, dedupe.Claim, []byte) error      { return f.err }
func (f failing) Extend(context.Context, dedupe.Claim, time.Duration) error { return f.err }
func (f failing) Release(context.Context, dedupe.Claim) error               { return f.err }
func (f failing) Forget(context.Context, []byte) error                      { return f.err }
func (f failing) PutIfAbsent(context.Context, []byte, time.Duration) (bool, error) {
	return false, f.err
}
func (f failing) Next(context.Context, []byte, []byte, []byte, time.Duration) (dedupe.Seq, error) {
	return dedupe.Seq{}, f.err
}

// Each error of a ledger has its own code and is the same error for a client.
func TestErrorsComeThrough(t *testing.T) {
	broken := errors.New("broken: " + secretKey)
	for _, c := range []struct {
		code      string
		err, want error
		retryable bool
	}{
		{"outcome_unknown", fmt.Errorf("%w: %w", dedupe.ErrUnknownOutcome, dedupe.ErrFenced), dedupe.ErrUnknownOutcome, true},
		{"overloaded", dedupe.ErrOverloaded, dedupe.ErrOverloaded, true},
		{"mismatch", dedupe.ErrMismatch, dedupe.ErrMismatch, false},
		{"fenced", dedupe.ErrFenced, dedupe.ErrFenced, false},
		{"foreign_claim", dedupe.ErrForeignClaim, dedupe.ErrForeignClaim, false},
		{"key_empty", dedupe.ErrKeyEmpty, dedupe.ErrKeyEmpty, false},
		{"key_too_large", dedupe.ErrKeyTooLarge, dedupe.ErrKeyTooLarge, false},
		{"invalid_ttl", dedupe.ErrInvalidTTL, dedupe.ErrInvalidTTL, false},
		{"invalid_lease", dedupe.ErrInvalidLease, dedupe.ErrInvalidLease, false},
		{"invalid_wait", dedupe.ErrInvalidWait, dedupe.ErrInvalidWait, false},
		{"owner_too_large", dedupe.ErrOwnerTooLarge, dedupe.ErrOwnerTooLarge, false},
		{"fingerprint_too_large", dedupe.ErrFingerprintTooLarge, dedupe.ErrFingerprintTooLarge, false},
		{"result_too_large", dedupe.ErrResultTooLarge, dedupe.ErrResultTooLarge, false},
		{"internal", broken, dedupe.ErrUnknownOutcome, true},
	} {
		b := newBackend()
		var f failing
		if f.err = c.err; c.err != broken {
			f.err = &dedupe.Error{Op: "Claim", Err: c.err}
		}
		b.Ledger = func(*http.Request, string) (dedupe.Ledger, error) { return f, nil }
		b.Sequencer = func(*http.Request, string) (dedupe.Sequencer, error) { return f, nil }
		b.Store = func(*http.Request, string) (dedupe.Store, error) { return f, nil }
		wantCode(t, b, c.code)
		client := connect(t, serve(t, NewHandler(b.API)), redToken, nil)
		client.attempts = 1
		held := dedupe.Claim{Outcome: dedupe.Acquired, Ledger: client.identity(), Key: []byte("k")}
		_, claimed := client.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: 1})
		_, next := client.Sequencer().Next(t.Context(), []byte("s"), []byte("k"), nil, 0)
		_, put := client.Store().PutIfAbsent(t.Context(), []byte("k"), 0)
		for op, err := range map[string]error{
			"Claim": claimed, "Next": next, "PutIfAbsent": put, "Complete": client.Complete(t.Context(), held, nil),
			"Extend": client.Extend(t.Context(), held, 1), "Release": client.Release(t.Context(), held), "Forget": client.Forget(t.Context(), []byte("k")),
		} {
			var e *dedupe.Error
			retryable := c.retryable && !(op == "PutIfAbsent" && errors.Is(err, dedupe.ErrUnknownOutcome))
			if !errors.As(err, &e) || !errors.Is(err, c.want) || e.Op != op || e.Retryable != retryable || errors.Is(err, dedupe.ErrUnknownOutcome) != (c.want == dedupe.ErrUnknownOutcome) {
				t.Errorf("%s: %s fails with %v (retryable %v)", c.code, op, err, e != nil && e.Retryable)
			}
		}
	}
}

// wantCode checks the code of a claim, its status in the table, and the log: it
// has only server failures, and no keys.
func wantCode(t *testing.T, b *backend, code string) {
	t.Helper()
	r := httptest.NewRequest("POST", "/v1/claims", strings.NewReader(claimBody))
	r.Header.Set("Authorization", "Bearer "+redToken)
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	NewHandler(b.API).ServeHTTP(rec, r)
	var p problem.Problem
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.Code != code || p.Status != rec.Code {
		t.Errorf("%d %s, want code %s", rec.Code, rec.Body, code)
	}
	i := slices.IndexFunc(apiProblems, func(p apiProblem) bool { return p.code == code })
	if i < 0 || apiProblems[i].status != rec.Code {
		t.Errorf("code %s has status %d", code, rec.Code)
	}
	if logged := b.log.Len() > 0; logged != (rec.Code >= 500) {
		t.Errorf("code %s: logged %q", code, b.log)
	}
	if (rec.Header().Get("Retry-After") != "") != (code == "overloaded" || code == "outcome_unknown") {
		t.Errorf("code %s: Retry-After %q", code, rec.Header().Get("Retry-After"))
	}
	wantNoSecrets(t, code, rec.Body.String())
}

func TestNothingIsServedWithoutTokens(t *testing.T) {
	for name, tokens := range map[string]func(*http.Request) (*Tokens, error){
		"no secret":       func(*http.Request) (*Tokens, error) { return ParseTokens("") },
		"a broken secret": func(*http.Request) (*Tokens, error) { return ParseTokens(allTokens + "," + redToken) },
		"nothing at all":  func(*http.Request) (*Tokens, error) { return nil, nil },
		"an empty list":   func(*http.Request) (*Tokens, error) { return &Tokens{}, nil },
	} {
		b := newBackend()
		b.Tokens = tokens
		b.Ledger = func(*http.Request, string) (dedupe.Ledger, error) { panic("the ledger was requested") }
		code, want := "not_configured", ErrNoTokens
		if name == "an empty list" {
			code, want = "unauthorized", ErrUnauthorized
		}
		wantCode(t, b, code)
		_, err := connect(t, serve(t, NewHandler(b.API)), redToken, nil).Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: 1})
		if !errors.Is(err, want) || errors.Is(err, dedupe.ErrUnknownOutcome) {
			t.Errorf("%s: %v", name, err)
		}
		wantNoSecrets(t, name, b.log.String())
	}
	defer func() {
		if recover() == nil {
			t.Error("NewHandler accepted an API without Tokens")
		}
	}()
	NewHandler(API{})
}

func TestWithoutALedgerToAskNothingWasDone(t *testing.T) {
	down := errors.New("no binding")
	b := newBackend()
	b.Ledger = func(*http.Request, string) (dedupe.Ledger, error) { return nil, down }
	b.Store = func(*http.Request, string) (dedupe.Store, error) { return nil, down }
	b.Sequencer = func(*http.Request, string) (dedupe.Sequencer, error) { return nil, down }
	wantCode(t, b, "unavailable")
	native := newBackend()
	native.Ledger = func(*http.Request, string) (dedupe.Ledger, error) {
		return failing{&dedupe.Error{Op: "Claim", Kind: dedupe.RuntimeUnavailable}}, nil
	}
	wantCode(t, native, "unavailable")
	c := connect(t, serve(t, NewHandler(b.API)), redToken, nil)
	_, put := c.Store().PutIfAbsent(t.Context(), []byte("k"), 0)
	_, next := c.Sequencer().Next(t.Context(), []byte("s"), []byte("k"), nil, 0)
	for _, err := range []error{put, next, c.Forget(t.Context(), []byte("k"))} {
		var e *dedupe.Error
		if !errors.Is(err, ErrUnavailable) || !errors.As(err, &e) || !e.Retryable || errors.Is(err, dedupe.ErrUnknownOutcome) {
			t.Errorf("%v", err)
		}
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	b := newBackend()
	b.Ledger, b.Sequencer, b.Store = nil, nil, nil
	url := serve(t, NewHandler(b.API))
	for path := range operations {
		if status, _, body := send(t, url, (&hostile{path: path}).request()); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// FuzzDecodeBody looks for accepted bodies that are not JSON, or that package
// json decodes differently.
func FuzzDecodeBody(f *testing.F) {
	for _, h := range hostileRequests("ledger", 7) {
		if len(h.body) < 4<<10 { // larger bodies would make it slower
			f.Add([]byte(h.body))
		}
	}
	f.Add([]byte(claimBody))
	fields := append(holderFields(), optional(millisOf("lease_ms")), optional(bytesOf("result")))
	f.Add(fmt.Appendf(nil, `{"ledger":"l","key":%q,"owner":"","fence":"-7","lease_ms":9,"result":""}`, b64("key")))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := decodeBody(body, fields)
		if err != nil {
			if p := problemOf(err); p.Code != codeMalformed || len(p.Detail) > 100 {
				t.Fatalf("%+v", p)
			}
			return
		}
		var other struct {
			Ledger string `json:"ledger"`
			Key    []byte `json:"key"`
			Owner  []byte `json:"owner"`
			Fence  int64  `json:"fence,string"`
			Lease  int64  `json:"lease_ms"`
			Result []byte `json:"result"`
		}
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&other); err != nil || !json.Valid(body) {
			t.Fatalf("%q was taken: %v", body, err)
		}
		if v.text["ledger"] != other.Ledger || !bytes.Equal(v.bytes["key"], other.Key) || !bytes.Equal(v.bytes["owner"], other.Owner) ||
			v.number["fence"] != other.Fence || v.number["lease_ms"] != other.Lease || !bytes.Equal(v.bytes["result"], other.Result) {
			t.Fatalf("%q: %+v, %+v", body, v, other)
		}
	})
}

func TestAServerMayHaveThePathElsewhere(t *testing.T) {
	b := newBackend()
	mux := http.NewServeMux()
	mux.Handle("/ledger/", http.StripPrefix("/ledger", NewHandler(b.API)))
	c := connect(t, serve(t, mux)+"/ledger/", redToken, nil)
	if claim, err := c.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute}); err != nil || claim.Outcome != dedupe.Acquired {
		t.Errorf("%+v, %v", claim, err)
	}
}

// A missing lease means the default, like a lease of 0.
func TestALeaseMayBeLeftOut(t *testing.T) {
	url := serve(t, NewHandler(newBackend().API))
	for key, lease := range map[string]string{"left out": "", "zero": `,"lease_ms":0`} {
		claim := func(owner string) string {
			t.Helper()
			body := fmt.Sprintf(`{"key":%q,"owner":%q%s}`, b64(key), b64(owner), lease)
			status, _, text := send(t, url, (&hostile{body: body}).request())
			if status != 200 {
				t.Fatalf("%s: %d %s", key, status, text)
			}
			return text
		}
		claim("a")
		var a claimAnswer
		if err := json.Unmarshal([]byte(claim("b")), &a); err != nil || a.Outcome != "in_progress" || a.RetryAfterMS < 20_000 || a.RetryAfterMS > 30_000 {
			t.Errorf("%s: %+v, %v", key, a, err)
		}
	}
}
