#!/usr/bin/env bash
# Puts old faults back into the glue and into jsrt, each in a copy, and expects
# the explorer to find each within a minute.
source "$(dirname "$0")/../internal/mutate.sh"
copied=(go.mod go.sum internal durable e2e/internal e2e/explore)

# fault NAME FILE PERL-EXPRESSION
fault() {
	local name=$1 start=$SECONDS failure='FAIL: .* \(seed\|path\)='
	broken "$@" || return 0
	if ! run go test -count=1 -v -run '^TestExplore$' ./e2e/explore -explore 60s -exhaustive 20s &&
		grep -q "$failure" "$log"; then
		echo "$name: found after $((SECONDS - start)) s:$(grep -A1 -m1 "$failure" "$log" | tail -1 | cut -c1-150)"
	else
		missed "$name: NOT FOUND" 5
	fi
}

js=internal/shim/js
fault "a turn requested during a woken turn is lost" $js/context.mjs \
	's/      this\.isAsked = false;\n      this\.rt\.inFlight--;\n(      this\.rt\.turn\(this, "capdo_tick"\);\n)/$1      if (this.isAsked) { this.isAsked = false; this.rt.inFlight--; }\n/'
fault "a turn is requested without a notification" $js/context.mjs 's/    this\.notify\?\.\(\);\n//'
fault "the end of the program in a woken turn fails no call" $js/context.mjs 's/if \(this\.rt\.dead\) return this\.abort\(\);/if (this.rt.dead) return;/'
fault "a timeout from before a section counts inside" $js/context.mjs 's/(this\.isExclusive = true;\n)    this\.clearTimeout\(\);\n/$1/'
fault "the deadline's keeper is not checked" $js/runtime.mjs 's/SECTION_MS : WATCH_MS\)/SECTION_MS : 3_600_000)/'
fault "a context that is not open still sets timeouts" $js/runtime.mjs \
	's/    if \(context\.closed \|\| !context\.isOpen\(\)\) return;\n//'
fault "a response that is refused leaves its call open" $js/shim.mjs 's/    cancel\(body, e\);\n//'
fault "a js.Func resumes Go outside of enter" $js/runtime.mjs 's/    this\.enter\(nowhere, "capdo_outside"\);\n    this\.handOver\(\);/    this.exports.resume();/'
fault "an object's first constructor ends the wait for its second" $js/shim.mjs 's/if \(isCurrent\(\)\) this\.building = null/this.building = null/'
fault "a constructor that fails after a restart leaves an object of nil" $js/shim.mjs \
	's/this\.build\(\(e, context\) => context\.reset\(e\)\);/this.build(() => {});/; s/failed\(e, context\);\n      throw e;/failed(e, context);\n      return;/'
fault "a value that cannot be encoded leaves its references" $js/value.mjs 's/      for \(const ref of this\.held\) context\.free\(ref\);\n//'
fault "a value is written beyond its buffer" $js/value.mjs 's/if \(this\.pos \+ n <= this\.end\) return;/if (this.pos + n <= this.end || this.u8 !== this.own) return;/'
fault "idle objects are never forgotten" $js/runtime.mjs 's/for \(const c of this\.contexts\.values\(\)\) \{\n      if \(!c\.state/for (const c of []) {\n      if (!c.state/'
fault "objects that workerd has reset are never forgotten" $js/runtime.mjs 's/oldest\?\.watchedAt < now - GONE_MS/false/'
fault "promises of a closed context count as in flight" $js/context.mjs 's/    rt\.inFlight -= this\.promises \+ /    rt.inFlight -= /'
fault "a section that no invocation holds takes no turns" $js/context.mjs 's/ \|\| this\.isExclusive; \}/; }/'
fault "an interruption of Go is not noticed" $js/runtime.mjs 's/if \(this\.running\) this\.interrupted\(\);/if (this.running) return;/g'
fault "the end of the program fails no request" $js/runtime.mjs 's/      else for \(const call of \[\.\.\.c\.calls\.values\(\)\]\) call\.fail\(error\);\n//'
fault "an answered request never ends" $js/context.mjs 's/TIME_UP_MS = 24_000, CLOSE_MS = 28_000/TIME_UP_MS = 24e9, CLOSE_MS = 28e9/'
fault "a cron trigger has the time of a request" $js/shim.mjs 's/const EVENT_MS = 900_000/const EVENT_MS = 32_000/'
fault "a cron trigger does not wait for its tasks" $js/shim.mjs 's/\{ limit, background: \(p\) => execution\.waitUntil\(p\) \}/{ limit }/'
fault "a goroutine does I/O in any context" internal/jsrt/context.go 's/case c != current:\n\t\t\tc\.park\(\)/case c != current \&\& c.tx != nil:\n\t\t\tc.park()/'
fault "a transaction includes other goroutines" internal/jsrt/section.go 's/return s\.hasBegun \&\& /return false \&\& /'
fault "a turn wakes only its first waiter" internal/jsrt/context.go 's/for ; w != nil; w = w\.next \{\n\t\tw\.ready/if w != nil {\n\t\tw.ready/'
fault "a context that closes leaves its promises waiting" internal/jsrt/context.go 's/\t\to\.closed = true\n\t\to\.settle\(\)\n/\t\to.closed = true\n/'
fault "a stateless context that Go has closed is entered again" $js/runtime.mjs 's/ \|\| context\.isOver\) return;/) return;/'
fault "Go keeps a stateless context beyond its invocation" internal/jsrt/boundary_js.go 's/\tif i\.c\.ends \{\n\t\ti\.c\.close\(\)\n\t\}\n//'
fault "a waiter for a transaction's end outlives the object" internal/jsrt/context.go 's/\tc\.section\.release\(\)\n//'
exit $failed
