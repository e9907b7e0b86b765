#!/usr/bin/env bash
# Puts faults back into the glue and into jsrt, each in a copy of its own, and
# expects the explorer to find it within a minute.
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# fault NAME FILE PERL-EXPRESSION; only those whose name has $ONLY in it
fault() {
	local name=$1 file=$2 expression=$3 tree=$scratch/tree log=$scratch/log
	if [[ $name != *${ONLY:-}* ]]; then
		return
	fi
	rm -rf "$tree" && mkdir "$tree"
	git ls-files -z go.mod go.sum internal durable e2e/internal e2e/explore | xargs -0 cp --parents -t "$tree"
	ln -s "$PWD/node_modules" "$tree/node_modules"
	perl -0pi -e "$expression" "$tree/$file"
	if cmp -s "$file" "$tree/$file"; then
		echo "$name: the fault does not apply to $file any more"
		failed=1
		return
	fi
	local start=$SECONDS
	(cd "$tree" && go test -count=1 -v -run '^TestExplore$' ./e2e/explore -explore 60s -exhaustive 20s) >"$log" 2>&1 && status=0 || status=$?
	if [ $status -ne 0 ] && grep -q 'FAIL: .* \(seed\|path\)=' "$log"; then
		echo "$name: found after $((SECONDS - start)) s:$(grep -A1 -m1 'FAIL: .* \(seed\|path\)=' "$log" | tail -1 | cut -c1-150)"
		return
	fi
	echo "$name: NOT FOUND"
	tail -5 "$log"
	failed=1
}

js=internal/shim/js
fault "a turn that is asked for during a woken turn is lost" $js/context.mjs \
	's/      this\.isAsked = false;\n      this\.rt\.inFlight--;\n(      this\.rt\.turn\(this, "capdo_tick"\);\n)/$1      if (this.isAsked) { this.isAsked = false; this.rt.inFlight--; }\n/'
fault "a turn is asked for, and nobody is told" $js/context.mjs 's/    this\.notify\?\.\(\);\n//'
fault "the end of the program in a woken turn fails no call" $js/context.mjs 's/if \(this\.rt\.dead\) return this\.abort\(\);/if (this.rt.dead) return;/'
fault "a timeout from before a section counts inside" $js/context.mjs 's/(this\.isExclusive = true;\n)    this\.clearTimeout\(\);\n/$1/'
fault "nobody watches whether the deadline has a keeper" $js/runtime.mjs 's/SECTION_MS : WATCH_MS\)/SECTION_MS : 3_600_000)/'
fault "a context that is not open goes on setting timeouts" $js/runtime.mjs \
	's/    if \(context\.closed \|\| !context\.isOpen\(\)\) return;\n//'
fault "a response that is refused leaves its call open" $js/shim.mjs 's/    cancel\(body, e\);\n//'
fault "a js.Func resumes Go outside of enter" $js/runtime.mjs 's/    this\.enter\(nowhere, "capdo_outside"\);\n    this\.handOver\(\);/    this.exports.resume();/'
fault "a constructor that fails after a restart leaves an object of nil" $js/shim.mjs \
	's/this\.build\(\(e, context\) => context\.reset\(e\)\);/this.build(() => {});/; s/failed\(e, context\);\n      throw e;/failed(e, context);\n      return;/'
fault "a value that cannot be encoded leaves its references" $js/value.mjs 's/      for \(const ref of this\.held\) context\.free\(ref\);\n//'
fault "a value is written beyond its buffer" $js/value.mjs 's/if \(this\.pos \+ n <= this\.end\) return;/if (this.pos + n <= this.end || this.u8 !== this.own) return;/'
fault "idle objects are never forgotten" $js/runtime.mjs 's/for \(const c of this\.contexts\.values\(\)\) \{\n      if \(!c\.state/for (const c of []) {\n      if (!c.state/'
fault "objects that workerd has reset are never forgotten" $js/runtime.mjs 's/oldest\?\.watchedAt < now - GONE_MS/false/'
fault "promises of a context that is gone count as in flight" $js/context.mjs 's/    rt\.inFlight -= this\.promises \+ /    rt.inFlight -= /'
fault "a section that no invocation holds takes no turns" $js/context.mjs 's/ \|\| this\.isExclusive; \}/; }/'
fault "an interruption of Go is not noticed" $js/runtime.mjs 's/if \(this\.running\) this\.interrupted\(\);/if (this.running) return;/g'
fault "the end of the program fails no request" $js/runtime.mjs 's/      else for \(const call of \[\.\.\.c\.calls\.values\(\)\]\) call\.fail\(error\);\n//'
fault "a request that is answered goes on for ever" $js/context.mjs 's/TIME_UP_MS = 24_000, CLOSE_MS = 28_000/TIME_UP_MS = 24e9, CLOSE_MS = 28e9/'
fault "a goroutine does I/O in whatever context runs" internal/jsrt/context.go 's/case c != current:\n\t\t\tc\.park\(\)/case c != current \&\& c.tx != nil:\n\t\t\tc.park()/'
fault "a transaction takes others with it" internal/jsrt/section.go 's/return s\.hasBegun \&\& /return false \&\& /'
fault "a turn wakes only the first who waits for it" internal/jsrt/context.go 's/for ; w != nil; w = w\.next \{\n\t\tw\.ready/if w != nil {\n\t\tw.ready/'
fault "a context that closes leaves its promises waiting" internal/jsrt/context.go 's/\t\to\.closed = true\n\t\to\.settle\(\)\n/\t\to.closed = true\n/'
fault "a stateless context that Go has closed is entered again" $js/runtime.mjs 's/ \|\| context\.isOver\) return;/) return;/'
fault "Go keeps a stateless context beyond its invocation" internal/jsrt/boundary_js.go 's/\tif i\.c\.ends \{\n\t\ti\.c\.close\(\)\n\t\}\n//'
fault "who waits for the end of a transaction waits beyond the object's" internal/jsrt/context.go 's/\tc\.section\.release\(\)\n//'
exit $failed
