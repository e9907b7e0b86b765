// Package guard decides which requests the examples serve. It accepts requests
// from the machine that runs the Worker, as under wrangler dev. All other
// requests need a token.
//
// # What it can know
//
// A Worker sees no connection, only headers, and a client can write any header.
// So no header alone lets a request in:
//
//   - The variable CAPDO_LOCAL says that the Worker runs for its developer. It
//     comes from .dev.vars, which wrangler dev reads and wrangler deploy does
//     not. So a Worker that is deployed always wants the token. capdo dev --ip
//     sets the variable to "false" for an address that other machines reach.
//   - With CAPDO_LOCAL a request must name this machine as its host, and
//     CF-Connecting-IP must not name another machine. wrangler dev and
//     Cloudflare set that header. Both checks can only shut requests out. The
//     first stops a browser's pages that reach the Worker by a name which leads
//     here (DNS rebinding). The second stops honest clients of other machines.
//   - Browsers say in Origin and Sec-Fetch-Site where a request comes from, and
//     pages cannot change that. Pages of other origins are refused, also with a
//     token. A body must be JSON: a page of another origin cannot send that
//     without asking first.
//
// # What it cannot know
//
// It cannot know which program on the machine sends a request: all of them are
// let in. Under wrangler dev --ip 0.0.0.0, without capdo, it cannot know
// whether CF-Connecting-IP is true. wrangler keeps the client's header, so a
// client on the network can forge it. It can also forge Host, and replace both
// with MF-Original-URL. Add --var CAPDO_LOCAL:false there.
package guard

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"

	"flow.internal/capdo/durable/durablehttp"
)

// Guard decides which requests are served.
type Guard struct {
	Token string // name of the secret that is the bearer token; "" for none
}

// Local is the variable that is "true" if the Worker runs for its developer and
// only the same machine can reach it.
const Local = "CAPDO_LOCAL"

// Refusal is the reason why a request is not served.
type Refusal struct {
	Status int    `json:"-"`
	Detail string `json:"error"`
	Code   string `json:"code"`
	Hint   string `json:"hint"`
}

// Write answers with the refusal as JSON.
func (f *Refusal) Write(w http.ResponseWriter) {
	h := w.Header()
	if f.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	h.Set("Content-Type", "application/json")
	SetPrivate(h)
	w.WriteHeader(f.Status)
	json.NewEncoder(w).Encode(f)
}

// Wrap returns a handler that calls h only for requests that Check accepts.
func (g Guard) Wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusal := g.Check(r); refusal != nil {
			refusal.Write(w)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Check returns the reason to refuse a request, or nil. The request must have
// the environment of [durablehttp.Handle].
func (g Guard) Check(r *http.Request) *Refusal { return g.check(r, variables(r)) }

// variables returns a function that looks up the Worker's variables and
// secrets. It returns "" for those that are not set.
func variables(r *http.Request) func(name string) string {
	env := durablehttp.Env(r)
	return func(name string) string {
		if env == nil {
			return ""
		}
		value, _, _ := env.Var(name)
		return value
	}
}

func (g Guard) check(r *http.Request, variable func(string) string) *Refusal {
	if refusal := CheckOrigin(r); refusal != nil {
		return refusal
	}
	switch {
	case !g.authorized(r, variable):
		return &Refusal{http.StatusUnauthorized, "a request from another machine needs the secret " + g.Token + " as bearer token", "unauthorized",
			"send Authorization: Bearer …; on the machine itself use the address 127.0.0.1, and serve with capdo dev"}
	case hasBody(r) && !isJSON(r):
		return &Refusal{http.StatusUnsupportedMediaType, "the request's Content-Type is not application/json", "unsupported_media_type",
			"send the header Content-Type: application/json, as curl --json does"}
	}
	return nil
}

// CheckOrigin is the part of Check that refuses the pages of other origins.
func CheckOrigin(r *http.Request) *Refusal {
	if isForeign(r) {
		return &Refusal{http.StatusForbidden, "the request comes from a page of another origin", "foreign_origin",
			"send it from the Worker's own page, or without the headers Origin and Sec-Fetch-Site"}
	}
	return nil
}

// Authorized is the part of Check that decides who may call: the machine
// itself, and clients with the token.
func (g Guard) Authorized(r *http.Request) bool { return g.authorized(r, variables(r)) }

func (g Guard) authorized(r *http.Request, variable func(string) string) bool {
	return isLocal(r, variable(Local)) || g.Token != "" && hasToken(r, variable(g.Token))
}

// isLocal reports whether a request comes from the machine itself.
func isLocal(r *http.Request, local string) bool {
	if local != "true" || !isLoopback(hostname(r.Host)) {
		return false
	}
	from := r.Header.Values("CF-Connecting-IP")
	return len(from) == 0 || len(from) == 1 && net.ParseIP(from[0]).IsLoopback()
}

func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.Trim(host, "[]")
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func hasToken(r *http.Request, token string) bool {
	given, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	// hashes hide the length of the token
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return token != "" && isBearer && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// isForeign reports whether a browser sends a request for a page of another
// origin. Another port of this machine is another origin, although
// Sec-Fetch-Site calls it the same site.
func isForeign(r *http.Request) bool {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return true
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Host == "" ||
			!strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	return false
}

// hasBody reports whether a request has a body, or has a method that should
// have one. A foreign page can send a POST without a body as easily as one with
// text.
func hasBody(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return true
	}
	return r.ContentLength != 0
}

func isJSON(r *http.Request) bool {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && t == "application/json"
}
