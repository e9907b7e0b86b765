#!/usr/bin/env bash
# Breaks the shared runtime, each time in a copy of its own, and expects a test of e2e/runtime to fail.
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# mutate NAME TEST FILE PERL-EXPRESSION [FILE PERL-EXPRESSION]…; only those whose name has $ONLY in it
mutate() {
	local name=$1 test=$2 tree=$scratch/tree log=$scratch/log
	shift 2
	if [[ $name != *${ONLY:-}* ]]; then
		return
	fi
	rm -rf "$tree" && mkdir "$tree"
	git ls-files -z go.mod go.sum package.json internal durable dedupe e2e/internal e2e/runtime | xargs -0 cp --parents -t "$tree"
	ln -s "$PWD/node_modules" "$tree/node_modules"
	while [ $# -gt 0 ]; do
		perl -0pi -e "$2" "$tree/$1"
		if cmp -s "$1" "$tree/$1"; then
			echo "$name: the mutation does not apply to $1 any more"
			failed=1
			return
		fi
		shift 2
	done
	if ! (cd "$tree" && go test -count=1 -run '^$' ./e2e/runtime) >"$log" 2>&1; then
		echo "$name: does not compile"
		tail -5 "$log"
		failed=1
		return
	fi
	(cd "$tree" && go test -count=1 -timeout 4m -run "^$test\$" ./e2e/runtime) >"$log" 2>&1 && status=0 || status=$?
	if [ $status -ne 0 ] && grep -q -- "--- FAIL: $test\|panic: test timed out" "$log"; then
		echo "$name: found"
		return
	fi
	echo "$name: NOT FOUND by $test"
	tail -5 "$log"
	failed=1
}

js=internal/shim/js jsrt=internal/jsrt
mutate "a value is written beyond its buffer" TestHolesOverwriteNothing $js/value.mjs \
	's/if \(this\.pos \+ n <= this\.end\) return;/if (this.pos + n <= this.end || this.u8 !== this.own) return;/'
mutate "what is open when the program crashes is not failed" TestCrashInATurnFailsItsOwnCall $js/context.mjs \
	's/      if \(this\.rt\.dead\) return this\.abort\(\);/      if (this.rt.dead) return;/' $js/runtime.mjs 's/(if \(this\.dead\) return) context\.abort\(\)/$1/g'
mutate "the collector of JavaScript calls Go" TestCollectorEndsNothing $js/context.mjs \
	's/(  constructor\(rt, state\) \{)/  static collected = new FinalizationRegistry((rt) => { const [c] = rt.open; c?.close(); });\n$1 Context.collected?.register({}, rt);/'
mutate "a constructor that fails after a crash leaves an object" TestConstructorThatFailsAfterACrash $js/shim.mjs \
	's/this\.build\(\(e, context\) => context\.reset\(e\)\);/this.build(() => {});/; s/failed\(e, context\);\n      throw e;/failed(e, context);\n      return;/'
mutate "what only a callback can wake is a deadlock" TestDefaultHTTPClientWorks $js/runtime.mjs \
	's/ \&\& this\.callbacks\.size === 0;/;/'
mutate "a WebSocket that Go reads does not hold its context open" TestReadDeadlineFiresInAnObjectWithoutEvents $js/context.mjs \
	's/this\.calls\.size > 0 \|\| this\.sockets\.size > 0/this.calls.size > 0/'
mutate "a string is sized at three bytes a character" TestLargeValuesTakeTheirSize $js/value.mjs \
	's/(if \(!s\.isWellFormed\(\)\).*?\n    this\.need\(4)\);/$1 + 3 * s.length);/s' $js/runtime.mjs \
	's/context\.encoded\.get\(id\)\?\.size \?\? 0,/3 * (context.encoded.get(id)?.size ?? 0),/; s/(size: \(contextID, id\) => )(this\.contexts\.get\(contextID\)\?\.encoded\.get\(id\)\?\.size \?\? 0)/$1 3 * ($2)/; s/value\?\.size === size/value?.size <= size/; s/value\.copy\(this\.u8, ptr >>> 0, size\)/value.copy(this.u8, ptr >>> 0, value.size)/'
mutate "bytes are copied before Go has memory for them" TestLargeValuesTakeTheirSize $jsrt/value.go \
	's/if d\.alias/if false \&\& d.alias/'
mutate "the glue needs what an old date has not" TestOldCompatibilityDate $js/context.mjs \
	's/(const DEADLOCK_MS)/new FinalizationRegistry(() => {});\n$1/'
mutate "what waits for a later request waits for ever" TestRequestThatWaitsForALaterOneNeedsATimer $js/context.mjs \
	's/rt\.enter\(this, "capdo_deadlock", call\.id\)/undefined/'
mutate "a wait with a timer is a deadlock" TestRequestThatWaitsForALaterOneNeedsATimer $js/runtime.mjs \
	's/return this\.timers\.size === 0 \&\& /return /'
mutate "the clock goes back" TestTimeNeverGoesBack $js/runtime.mjs \
	's/(Object\.assign\(go\.importObject\.gojs, \{)/$1 "runtime.nanotime1": (sp) => { go.mem.setBigInt64((sp >>> 0) + 8, BigInt(Math.round((1e6 - performance.now() % 1e6) * 1e6)), true); },/'
mutate "a constructor that waits does not hold events back" TestConstructorThatFailsLaterFailsWhatWaitsForIt $js/shim.mjs \
	's/    if \(this\.building\) return .*?\n//'
mutate "entering a context lets nobody go on who waits for it" TestIdleObjectIsWokenByItsNextEvent $jsrt/boundary_js.go \
	's/\tcurrent = c\n\tc\.ready\(\)/\tcurrent = c/'
mutate "who waits for a promise is not told that the caller has gone" TestAbandonedRequestWaitsForNoAnswer $jsrt/invocation.go \
	's/\tfor o := i\.waits; o != nil; o = o\.next \{\n\t\to\.cancel\(i\.ending\)\n\t\}\n//'
mutate "a body is only as long as it says" TestBodies $js/shim.mjs 's/    return \[value, body\];/    return value;/'
mutate "a handle is freed while a call reads it" TestHandlesStayWhatTheyAre $jsrt/boundary_js.go \
	's/\n\truntime\.KeepAlive\(r\) \/\/ until here.*?\n/\n/; s/\n\truntime\.KeepAlive\(args\)\n/\n/; s/(\tb := takeBuffer\(\)\n)(\tsize := 0\n)/\tc, index := r.c, r.index\n$1$2/; s/(\tn := jsCall\()r\.c\.id, r\.index/\truntime.GC()\n$1c.id, index/; s/unpack\(r\.c, b, n\)\n\tgiveBuffer/unpack(c, b, n)\n\tgiveBuffer/; s/(if err := )r(\.c\.enter\(\); err != nil \{\n\t\tgiveBuffer)/$1(\&Ref{c: c})$2/'
mutate "a context that workerd has reset keeps the time, and nobody looks" TestTimersOutliveAContextThatIsReset $js/runtime.mjs \
	's/deadline < at \&\& \(context\.isExclusive \|\| this\.keeper === context \|\| !this\.isKept\(deadline, now\)\)/deadline < at \&\& (context.isExclusive || this.keeper === context || !this.keeper)/; s/SECTION_MS : WATCH_MS\)/SECTION_MS : 3_600_000)/' $js/context.mjs \
	's/if \(rt\.keeper === this\) rt\.handOver\(\);//g'
mutate "a turn that is asked for during a woken turn is lost" TestWakeUpInATurnIsNotLost $js/context.mjs \
	's/      this\.isAsked = false;\n      this\.rt\.inFlight--;\n(      this\.rt\.turn\(this, "capdo_tick"\);\n)/$1      if (this.isAsked) { this.isAsked = false; this.rt.inFlight--; }\n/'
mutate "a request that is refused leaves its sender waiting" TestRefusedRequestEndsItsSender $js/host.mjs \
	's/      cancel\(body, e\);\n      throw e;/      throw e;/' durable/fetch.go 's/\t\tstopSending\(\) \/\/ nobody.*?\n/\t\t_ = stopSending\n/'
mutate "the memory limit does not give way" TestManyGoroutinesUseFiles $jsrt/memory_js.go \
	's/\t\tnew\(collection\)\.watch\(memoryLimit\)\n//'
mutate "there is no memory limit" TestGarbageDoesNotGrowMemoryToTheLimit $jsrt/memory_js.go \
	's/setMemoryLimit\(-1\) == math\.MaxInt64/false \&\& setMemoryLimit(-1) == math.MaxInt64/'
exit $failed
