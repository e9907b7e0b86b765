package main

import (
	"html"
	"net/http"
	"strings"

	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/examples/internal/guard"
)

// route is an operation of the harness. Either the Worker or an object serves
// it.
type route struct {
	pattern string // for http.ServeMux
	about   string
	curl    string // how to call it, with $URL for the Worker's address
	worker  http.HandlerFunc
	object  func(*object, http.ResponseWriter, *http.Request)
}

const defaultObject, defaultBinding, sqlBinding = "harness", "FLOW_DO", "FLOW_SQL_DO"

// routes returns all routes, in the order of the page.
func routes() []route {
	return []route{
		{pattern: "POST /dedupe/put_if_absent", about: "reserve a key", worker: answer(putIfAbsent),
			curl: `$URL/dedupe/put_if_absent --json '{"key":"alpha","ttl_seconds":60}'`},
		{pattern: "POST /dedupe/forget", about: "make it insertable again", worker: answer(forget),
			curl: `$URL/dedupe/forget --json '{"key":"alpha"}'`},
		{pattern: "POST /sequence/next", about: "the number of a key in a stream; the same key gets the same number", worker: answer(nextNumber),
			curl: `$URL/sequence/next --json '{"stream":"orders","key":"o-1","hash":"h"}'`},

		{pattern: "POST /storage/put", about: "store a value; bytes as base64 with \"encoding\":\"base64\"", object: (*object).put,
			curl: `$URL/storage/put --json '{"key":"a","value":{"n":1},"ttl_seconds":60}'`},
		{pattern: "GET /storage/get", about: "the value of a key", object: (*object).get,
			curl: `'$URL/storage/get?key=a'`},
		{pattern: "GET /storage/list", about: "the keys in order, from start on", object: (*object).list,
			curl: `'$URL/storage/list?prefix=&start=a&limit=10'`},
		{pattern: "DELETE /storage/delete", about: "delete a key", object: (*object).delete,
			curl: `-X DELETE '$URL/storage/delete?key=a'`},

		{pattern: "POST /alarm/set", about: "set the alarm; \"failures\" is how many deliveries fail first", object: (*object).setAlarm,
			curl: `$URL/alarm/set --json '{"scheduled_ms":1767225600000}'`},
		{pattern: "GET /alarm/get", about: "when it is due", object: (*object).getAlarm,
			curl: `$URL/alarm/get`},
		{pattern: "GET /alarm/log", about: "its deliveries so far, the last 100", object: (*object).deliveries,
			curl: `$URL/alarm/log`},
		{pattern: "DELETE /alarm/delete", about: "delete it", object: (*object).deleteAlarm,
			curl: `-X DELETE $URL/alarm/delete`},

		{pattern: "POST /sql/exec", about: "run SQL; mode is json, raw or cursor", object: (*object).execSQL,
			curl: `'$URL/sql/exec?binding=FLOW_SQL_DO' --json '{"query":"SELECT ? AS n","bindings":[{"type":"integer","value":7}],"mode":"raw"}'`},

		{pattern: "GET /id/from_name", about: "the id of a name", worker: answer(idFromName),
			curl: `'$URL/id/from_name?name=harness'`},
		{pattern: "GET /id/from_string", about: "the id of a hexadecimal string", worker: answer(idFromString),
			curl: `"$URL/id/from_string?id=$ID"`},
		{pattern: "GET /id/unique", about: "a new id; on Cloudflare jurisdiction=eu keeps its object in the EU", worker: answer(uniqueID),
			curl: `$URL/id/unique`},
		{pattern: "GET /stub/fetch", about: "the answer of an object's fetch, called by name and by id", worker: fetchStub,
			curl: `'$URL/stub/fetch?name=harness'`},

		{pattern: "GET /ws", about: "a WebSocket that echoes messages; the object may hibernate meanwhile", object: (*object).accept,
			curl: `-i -N --max-time 1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==' $URL/ws`},
		{pattern: "POST /wait_until", about: "answer at once and store a value later", object: (*object).waitUntil,
			curl: `$URL/wait_until --json '{"key":"later","value":1,"delay_ms":100}'`},
		{pattern: "GET /health", about: "whether the Worker runs; needs no token", worker: health,
			curl: `$URL/health`},
	}
}

var guarded = guard.Guard{Token: "HARNESS_TOKEN"}

// newMux returns the Worker's handler. Only /health and the page are public.
func newMux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page)
	for _, r := range routes() {
		serve := r.worker
		if serve == nil {
			serve = forward
		}
		if r.pattern == "GET /health" {
			mux.HandleFunc(r.pattern, serve)
			continue
		}
		mux.Handle(r.pattern, guarded.Wrap(serve))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { notFound(w, r, mux) })
	return guard.Private(mux)
}

// notFound answers requests without a route. If the path exists with another
// method, the answer names it.
func notFound(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	for _, method := range []string{"GET", "POST", "DELETE"} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "/" {
			w.Header().Set("Allow", method)
			reply(w, http.StatusMethodNotAllowed,
				failure{Error: "this path accepts only " + method, Code: "method_not_allowed"})
			return
		}
	}
	reply(w, http.StatusNotFound,
		failure{Error: "there is no such path; GET / lists all paths", Code: "no_route"})
}

// newObjectMux returns an object's handler. Requests come only from the Worker
// and from fetchStub.
func newObjectMux(o *object) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", o.hello)
	for _, r := range routes() {
		if r.object != nil {
			mux.HandleFunc(r.pattern,
				func(w http.ResponseWriter, req *http.Request) { r.object(o, w, req) })
		}
	}
	return guard.Private(mux)
}

// forward sends the request to the object that ?object= and ?binding= name.
func forward(w http.ResponseWriter, r *http.Request) {
	namespace, err := namespaceOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	name, err := objectName(r, "object", defaultObject)
	if err != nil {
		fail(w, err)
		return
	}
	stub, err := namespace.GetByName(name, nil)
	if err != nil {
		fail(w, err)
		return
	}
	inner := r.Clone(r.Context())
	inner.Header.Del("Authorization") // the object does not need the token
	if err := durablehttp.Forward(w, inner, stub); err != nil {
		fail(w, err)
	}
}

func health(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]string{"status": "ok"})
}

// page lists the routes.
func page(w http.ResponseWriter, r *http.Request) {
	var b strings.Builder
	b.WriteString(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>capdo harness</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff }
pre { overflow-x: auto; padding: .5rem .75rem; background: #f3f4f6; border-radius: .375rem }
dt { margin-top: 1.25rem; font-weight: 600 }
dd { margin: 0 }
@media (prefers-color-scheme: dark) { body { color: #e6e8eb; background: #16181c } pre { background: #23262c } }
</style>
<h1>capdo harness</h1>
<p>An operation of a Durable Object each. The object is <code>harness</code> behind the binding <code>FLOW_DO</code>;
<code>?object=</code> and <code>?binding=</code> choose another one.</p>
<dl>
`)
	for _, route := range routes() {
		line := strings.ReplaceAll(route.curl, "$URL", origin(r))
		b.WriteString("<dt><code>" + html.EscapeString(route.pattern) + "</code></dt>\n<dd>" +
			html.EscapeString(route.about) +
			"<pre>curl -s " + html.EscapeString(line) + "</pre></dd>\n")
	}
	b.WriteString("</dl>\n</html>\n")
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Write([]byte(b.String()))
}

// origin returns the origin by which the client reached the Worker.
func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
