#!/usr/bin/env bash
# Breaks the shared runtime, each time in a copy, and expects a test of
# e2e/runtime to fail.
package=e2e/runtime
source "$(dirname "$0")/../internal/mutate.sh"

js=internal/shim/js jsrt=internal/jsrt
mutate "a value is written beyond its buffer" TestHolesOverwriteNothing $js/value.mjs \
	's/if \(this\.pos \+ n <= this\.end\) return;/if (this.pos + n <= this.end || this.u8 !== this.own) return;/'
mutate "open calls do not fail when the program crashes" TestCrashInATurnFailsItsOwnCall $js/context.mjs \
	's/      if \(this\.rt\.dead\) return this\.abort\(\);/      if (this.rt.dead) return;/' $js/runtime.mjs 's/(if \(this\.dead\) return) context\.abort\(\)/$1/g'
mutate "the collector of JavaScript calls Go" TestCollectorEndsNothing $js/context.mjs \
	's/(  constructor\(rt, state\) \{)/  static collected = new FinalizationRegistry((rt) => { const [c] = rt.open; c?.close(); });\n$1 Context.collected?.register({}, rt);/'
mutate "a constructor that fails after a crash leaves an object" TestConstructorThatFailsAfterACrash $js/shim.mjs \
	's/this\.build\(\(e, context\) => context\.reset\(e\)\);/this.build(() => {});/; s/failed\(e, context\);\n      throw e;/failed(e, context);\n      return;/'
mutate "a call is confused with another invocation of its object" TestCyclesOfCallsAreSaid $jsrt/cycle.go \
	's/i\.id > int32\(call\.number\) \&\& //; s/i\.id < first\.id/i.id > first.id/'
mutate "a check waits for the end of the section" TestCyclesOfCallsAreSaid $jsrt/cycle.go \
	's/if c\.section\.hasBegun \{\n\t\tsetMark/if false {\n\t\tsetMark/'
mutate "a wait for a callback counts as a deadlock" TestCallbacksOfSyscallJSWork $js/runtime.mjs \
	's/ \&\& this\.callbacks\.size === 0;/;/'
mutate "a WebSocket that Go reads does not hold its context open" TestReadDeadlineFiresInAnObjectWithoutEvents $js/context.mjs \
	's/this\.calls\.size > 0 \|\| this\.sockets\.size > 0/this.calls.size > 0/'
mutate "Go allocates three times a value's size" TestLargeValuesTakeTheirSize $jsrt/boundary_js.go \
	's/make\(\[\]byte, max\(size, 1\)\)/make([]byte, max(3*size, 1))/'
mutate "bytes are copied although their buffer is new" TestLargeValuesTakeTheirSize $jsrt/value.go \
	's/if err != nil \|\| d\.alias/if err != nil/'
mutate "the glue needs features that an old date lacks" TestOldCompatibilityDate $js/context.mjs \
	's/(const DEADLOCK_MS)/new FinalizationRegistry(() => {});\n$1/'
mutate "a wait for a later request never ends" TestRequestThatWaitsForALaterOneNeedsATimer $js/context.mjs \
	's/rt\.enter\(this, "capdo_deadlock", call\.id\)/undefined/'
mutate "a wait with a timer counts as a deadlock" TestRequestThatWaitsForALaterOneNeedsATimer $js/runtime.mjs \
	's/return this\.timers\.size === 0 \&\& /return /'
mutate "the clock goes back" TestTimeNeverGoesBack $js/runtime.mjs \
	's/(Object\.assign\(go\.importObject\.gojs, \{)/$1 "runtime.nanotime1": (sp) => { go.mem.setBigInt64((sp >>> 0) + 8, BigInt(Math.round((1e6 - performance.now() % 1e6) * 1e6)), true); },/'
mutate "a constructor that waits does not block events" TestLateConstructorFailureFailsWaiters $js/shim.mjs \
	's/    if \(this\.building\) return .*?\n//'
mutate "entering a context does not wake its waiters" TestIdleObjectIsWokenByItsNextEvent $jsrt/boundary_js.go \
	's/\tcurrent = c\n\tc\.ready\(\)/\tcurrent = c/'
mutate "a promise's waiter does not learn that its caller left" TestAbandonedRequestWaitsForNoAnswer $jsrt/invocation.go \
	's/\tfor o := i\.waits; o != nil; o = o\.next \{\n\t\to\.cancel\(i\.ending\)\n\t\}\n//'
mutate "a body is cut off at its stated length" TestBodies $js/shim.mjs 's/    return \[value, body\];/    return value;/'
mutate "a partly read body is handed over" TestBodies durable/body.go 's/ \|\| len\(s\.chunk\) > 0 \|\|/ ||/'
mutate "a handle is freed while a call reads it" TestHandlesStayWhatTheyAre $jsrt/boundary_js.go \
	's/\n\t\/\/ Once r and args are collected.*?\n\truntime\.KeepAlive\(r\)\n/\n/; s/\n\truntime\.KeepAlive\(args\)\n/\n/; s/(\tb := takeBuffer\(\)\n)(\tsize := 0\n)/\tc, index := r.c, r.index\n$1$2/; s/(\tn := jsCall\()r\.c\.id, r\.index/\truntime.GC()\n$1c.id, index/; s/unpack\(r\.c, b, n\)\n\tgiveBuffer/unpack(c, b, n)\n\tgiveBuffer/; s/(if err := )r(\.c\.enter\(\); err != nil \{\n\t\tgiveBuffer)/$1(\&Ref{c: c})$2/'
mutate "a context that workerd has reset keeps the deadline" TestTimersOutliveAContextThatIsReset $js/runtime.mjs \
	's/deadline < at \&\& \(context\.isExclusive \|\| this\.keeper === context \|\| !this\.isKept\(deadline, now\)\)/deadline < at \&\& (context.isExclusive || this.keeper === context || !this.keeper)/; s/SECTION_MS : WATCH_MS\)/SECTION_MS : 3_600_000)/' $js/context.mjs \
	's/if \(rt\.keeper === this\) rt\.handOver\(\);//g'
mutate "a turn requested during a woken turn is lost" TestWakeUpInATurnIsNotLost $js/context.mjs \
	's/      this\.isAsked = false;\n      this\.rt\.inFlight--;\n(      this\.rt\.turn\(this, "capdo_tick"\);\n)/$1      if (this.isAsked) { this.isAsked = false; this.rt.inFlight--; }\n/'
mutate "a request that is refused leaves its sender waiting" TestRefusedRequestEndsItsSender $js/host.mjs \
	's/      cancel\(body, e\);\n      throw e;/      throw e;/' durable/fetch.go 's/\t\tstopSending\(\) \/\/ nobody.*?\n/\t\t_ = stopSending\n/'
mutate "the reason of a program's end holds its memory" TestMemoryOfDeadProgramsIsFreed $js/runtime.mjs \
	's/    error\.stack; .*?\n//'
mutate "an event that waited goes to a forgotten object" TestObjectIsForgottenBeforeItsEvent $js/shim.mjs \
	's/this\.building\.then\(\(\) => this\.invoke/this.building.then(() => this.context.invoke/'
mutate "an object's first constructor ends the wait for its second" TestObjectIsConstructedAgainBeforeItKnowsOfTheFirstTime $js/shim.mjs \
	's/if \(isCurrent\(\)\) this\.building = null/this.building = null/'
mutate "the memory limit does not give way" TestManyGoroutinesUseFiles $jsrt/memory_js.go \
	's/\t\tnew\(collection\)\.watch\(memoryLimit\)\n//'
mutate "there is no memory limit" TestGarbageDoesNotGrowMemoryToTheLimit $jsrt/memory_js.go \
	's/setMemoryLimit\(-1\) == math\.MaxInt64/false \&\& setMemoryLimit(-1) == math.MaxInt64/'
mutate "numbers in use are reused" TestNumbersStartAnew $js/runtime.mjs \
	's/if \(this\.lastID === MAX_ID\) this\.isSecondRound = true;//'
mutate "an object takes 2 KiB more" TestManyLiveObjectsAreSmall $jsrt/boundary_js.go \
	's/c = \&Context\{id: id\}/c = \&Context{id: id, objectID: string(make([]byte, 2048))}/'
mutate "an idle object stays" TestIdleObjectsLeaveGo $js/runtime.mjs \
	's/if \(!c\.state \|\| c\.isOpen\(\) \|\| c\.idleSince >= before\) continue;/continue;/'
mutate "a trap in a transaction is only an error" TestATrapBelowGoEndsTheProgram $js/runtime.mjs \
	's/          if \(isRunning\) this\.end\(e\);[^\n]*\n//'
mutate "a trap below a js.Func is only an error" TestATrapBelowGoEndsTheProgram $js/runtime.mjs \
	's/      this\.end\(e\);\n      throw e;/      throw e;/'
mutate "events: a failed batch is acknowledged" TestMessagesAreAcknowledgedOrRetried $js/shim.mjs \
	's/  await event\(QUEUE, (.*?)\);\n/  await event(QUEUE, $1).catch(() => {});\n/'
mutate "events: they have no end" TestEventsEndBeforeTheirTimeIsUp $js/context.mjs \
	's/    if \(limit\) call\.doneAt = .*?\n//'
mutate "events: a batch that waits for no tasks has 15 minutes" TestQueueThatDoesNotWaitForTasks $js/shim.mjs \
	's/const limit = .*?;/const limit = EVENT_MS;/'
mutate "events: a body that is undefined is nil" TestBodiesOfMessages durable/messagebatch.go \
	's/\tif !ok \{/\tif false \&\& !ok {/'
mutate "events: one body makes the batch fail" TestBodiesOfMessages $js/shim.mjs \
	's/m\.attempts, new ByRef\(m\)\]/m.attempts, new ByRef(m), m.body]/'
mutate "events: NoRetry does nothing" TestCronTriggers durable/scheduled.go \
	's/_, err := e\.controller\.Call\("noRetry"\)/var err error/'
mutate "events: a binding with any method is a queue" TestQueueBindingThatIsNone $js/host.mjs \
	's/"sendBatch" in Object\.getPrototypeOf\(binding\)/typeof binding.sendBatch === "function"/'
mutate "events: a time is sent as text" TestQueueSends durable/queuevalue.go \
	's/\tcase time\.Time:\n\t\treturn 0, notJSON\("a Date"\)/\tcase time.Time:\n\t\treturn 26, nil/'
mutate "events: a batch has no limit" TestQueueSendsBatches durable/queue.go 's/if total > MaxQueueBatchSize/if false/'
mutate "events: an overloaded queue is another error" TestQueueSends durable/queue.go 's/\t\te\.kind = ErrOverloaded\n//'
mutate "events: a delay is rounded down" TestMessagesAreAcknowledgedOrRetried durable/queue.go 's/math\.Ceil/math.Floor/'
exit $failed
