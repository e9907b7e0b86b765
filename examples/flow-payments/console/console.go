// Package console shows a ledger at work on a live web page. The page has
// counters, a chart of the last five minutes, the recent keys with their
// leases, and buttons that send payments, duplicates and crashes.
//
//	var live = console.New(nil)
//
//	func main() {
//		console.Register("Console") // the Durable Object class
//		mux := http.NewServeMux()
//		live.Mount(mux) // /console
//		…
//	}
//
//	func pay(w http.ResponseWriter, r *http.Request) {
//		…
//		ledger := live.Ledger(r.Context(), env, ledger) // reports what happens
//
// Bind the class as CONSOLE in the wrangler config, backed by SQLite. One
// object keeps the figures and sends them to the pages over hibernating
// WebSockets. It writes one row at a time, four times a second in the long run,
// for any number of payments. If the Go program ends, the figures of the last
// moments may be missing. The ledger itself is exact.
//
// Keys are shown as keyed hashes. The object creates the secret of the hash
// once, and no one else has it. Results are not reported.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/examples/internal/guard"
)

// Options configures a [Console]. Nil means the defaults.
type Options struct {
	// Binding is the Durable Object binding of the class that [Register]
	// declared; "CONSOLE" when empty.
	Binding string
	// Authorized reports whether a request may see the figures, usually by its
	// header Authorization: "Bearer …". The page asks for the token. If
	// Authorized is nil, only requests from the same machine may, as in package
	// guard. Requests from pages of other origins are refused first.
	Authorized func(r *http.Request) bool
	// Payments is the path that the page's buttons post {"id", "amount",
	// "currency"} to; "/payments" when empty.
	Payments string
}

// Console is the page, and the source of its reports. A program has one. Its
// methods are safe for concurrent use.
type Console struct {
	opts  Options
	queue *queue
}

// New returns a console.
func New(opts *Options) *Console {
	c := &Console{queue: newQueue()}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Binding == "" {
		c.opts.Binding = "CONSOLE"
	}
	if c.opts.Payments == "" {
		c.opts.Payments = "/payments"
	}
	if c.opts.Authorized == nil {
		c.opts.Authorized = guard.Guard{}.Authorized
	}
	return c
}

// Mount adds the page to a mux at /console, and its other paths below that.
// /console/state has the same figures as JSON. Everybody can load the page and
// its script, but only authorized requests get the figures.
func (c *Console) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /console", c.page)
	mux.HandleFunc("GET /console/static/{name}", static)
	mux.HandleFunc("GET /console/state", c.figures)
	mux.HandleFunc("GET /console/live", c.figures)
}

// object returns the object that keeps the figures.
func (c *Console) object(env *durable.Env) *durable.Stub {
	return env.Object(c.opts.Binding, "console")
}

// Subprotocols of /console/live. A page cannot send a header with a WebSocket,
// and a URL must not contain a token.
const (
	protocol      = "capdo.console"
	protocolToken = "capdo.token." // and the token, as base64url without padding
)

// figures answers with the object's figures, over a WebSocket if the request
// asks for one.
func (c *Console) figures(w http.ResponseWriter, r *http.Request) {
	isLive := r.URL.Path == "/console/live"
	if refusal := guard.CheckOrigin(r); refusal != nil {
		refusal.Write(w)
		return
	}
	asked := r.Clone(r.Context())
	if token, ok := tokenOf(r); isLive && ok {
		asked.Header.Set("Authorization", "Bearer "+token)
	}
	if !c.opts.Authorized(asked) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		fail(w, http.StatusUnauthorized, "the console requires a token",
			"send it as Authorization: Bearer …")
		return
	}
	if isLive && !(&durable.Request{Header: r.Header}).IsUpgrade() {
		w.Header().Set("Upgrade", "websocket")
		fail(w, http.StatusUpgradeRequired, "the live figures require a WebSocket",
			"send the header Upgrade: websocket, or use /console/state")
		return
	}
	inner := r.Clone(r.Context())
	inner.Header = http.Header{} // the object does not need the token
	if isLive {
		inner.Header.Set("Upgrade", "websocket")
		if slices.Contains(protocols(r), protocol) { // a page that offers none gets none
			w.Header().Set("Sec-WebSocket-Protocol", protocol)
		}
	}
	err := durablehttp.Forward(w, inner, c.object(durablehttp.Env(r)))
	if errors.Is(err, durable.ErrNoBinding) {
		slog.Error("console: no object", "err", err)
		fail(w, http.StatusInternalServerError, "the console has no Durable Object",
			"bind the class that console.Register declares as "+c.opts.Binding)
		return
	}
	if err != nil {
		slog.Error("console: the object did not answer", "err", err)
		fail(w, http.StatusBadGateway, "the console's Durable Object did not answer",
			"try again; the Worker's log says more")
	}
}

// protocols returns the subprotocols that a page offers.
func protocols(r *http.Request) []string {
	all := strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// tokenOf finds the token among the subprotocols that a page offers.
func tokenOf(r *http.Request) (token string, ok bool) {
	for _, p := range protocols(r) {
		if encoded, ok := strings.CutPrefix(p, protocolToken); ok {
			b, err := base64.RawURLEncoding.DecodeString(encoded)
			return string(b), err == nil
		}
	}
	return "", false
}

func fail(w http.ResponseWriter, status int, what, hint string) {
	w.Header().Set("Content-Type", "application/json")
	guard.SetPrivate(w.Header())
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}{what, hint})
}

//go:embed assets
var assets embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{"static": staticURL}).ParseFS(assets, "assets/page.html"))

// contentTypes lists the static files and their types.
var contentTypes = map[string]string{
	"console.js":  "text/javascript; charset=utf-8",
	"console.css": "text/css; charset=utf-8",
	"icon.svg":    "image/svg+xml",
}

// page serves the page. The crash buttons work only if the variable DEMO is
// "true".
func (c *Console) page(w http.ResponseWriter, r *http.Request) {
	demo := ""
	if env := durablehttp.Env(r); env != nil {
		demo, _, _ = env.Var("DEMO")
	}
	var b bytes.Buffer
	err := pageTemplate.Execute(&b,
		map[string]any{"Payments": c.opts.Payments, "Demo": demo == "true"})
	if err != nil {
		slog.Error("console: the page", "err", err)
		fail(w, http.StatusInternalServerError, "the page cannot be rendered", "")
		return
	}
	secure(w)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Write(b.Bytes())
}

// secure sets a policy that allows only the page's own content.
func secure(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}

// staticURL returns the URL of a file. It changes with the content, so that
// browsers may cache it.
func staticURL(name string) (string, error) {
	b, err := assets.ReadFile("assets/" + name)
	sum := sha256.Sum256(b)
	return "/console/static/" + name + "?v=" + hex.EncodeToString(sum[:6]), err
}

func static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	contentType, ok := contentTypes[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	b, err := assets.ReadFile("assets/" + name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	if current, _ := staticURL(name); r.URL.RequestURI() == current {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	secure(w)
	w.Header().Set("Content-Type", contentType)
	w.Write(b)
}
