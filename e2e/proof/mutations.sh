#!/usr/bin/env bash
# Breaks the store, the ledger and the sequencer, each time in a copy, and
# expects the proof to find a history that is not linearizable.
source "$(dirname "$0")/../internal/mutate.sh"
copied=(.)

# mutate NAME FILE PERL-EXPRESSION [TEST] [WHAT THE TEST SHOWS]
mutate() {
	local name=$1 test=${4:-^TestHistories} shows=${5:-not linearizable} load
	broken "${@:1:3}" || return 0
	for load in ${LOAD:-8s 24s}; do # on a busy machine little happens in a short time
		if ! run go test -count=1 -v -run "$test" ./e2e/proof -load "$load" && grep -q "$shows" "$log"; then
			echo "$name: found"
			grep -m1 'operations,\|calls of' "$log" || true
			return
		fi
	done
	missed "$name: NOT FOUND"
	grep -v '^   ' "$log" | tail -20
}

# A step's mutex would exclude others during an await, so the mutations release
# it.
await='k.mu.Unlock()\n\ttime.Sleep(5 * time.Millisecond)\n\tk.mu.Lock()'
inside=dedupe/dodedupe/internal
mutate "a ledger that does not compare owner and fence" $inside/entry/transition.go \
	's/return e\.Number == h\.Fence && e\.Owner == h\.Owner/return true/'
mutate "an await between the store's read and its write" $inside/reservation/key.go \
	's/("sync"\n)/$1\t"time"\n/; s/(r, now, err := k\.read\(\)\n\tif err != nil \{\n\t\treturn false, err\n\t\}\n)/$1\t'"$await"'\n/'
mutate "an await between the ledger's read and its write" $inside/engine/engine.go \
	's/("context"\n)/$1\t"time"\n/; s/(fence, err := e\.fences\.next\(&stored, now\)\n)/$1\t'"${await//k.mu/e.mu}"'\n/'
mutate "a wait that claims the key itself" $inside/engine/wait.go \
	's/(if err != nil \|\| k == nil \{\n)(\t\t\treturn a, err)/$1\t\t\tif err == nil \&\& a.Outcome == dedupe.InProgress \&\& a.RetryAfter == 0 {\n\t\t\t\te.Claim(ctx, key, entry.Request{Owner: "parked", Fingerprint: fingerprint, Lease: 60000, TTL: 60000})\n\t\t\t}\n$2/'
mutate "a sequencer that writes number and record apart" $inside/engine/sequence.go \
	's/("context"\n)/$1\t"time"\n/; s/err = s\.Backend\.Transact\(func\(\) error \{\n(\t\tif err := s\.put\(counterKey.*?\n\t\t\}\n)/err = func() error {\n$1\t\ttime.Sleep(5 * time.Millisecond)\n/s; s/(return s\.put\(key, &e, &stored\)\n\t\})\)/$1()/'
mutate "a fingerprint dropped at completion" $inside/entry/transition.go \
	's/(e\.State, e\.Until, e\.NotifyAt, e\.Result = Done, now, 0, result)/$1\n\te.Fingerprint = ""/'
mutate "a lease that ends too early" $inside/entry/transition.go \
	's/(leased := e\.State == Held && now) < e\.Until/$1+40 < e.Until/'
mutate "a window that ends too early" $inside/entry/entry.go \
	's/(e\.State == Absent \|\| now) >= e\.Expires\(\)/$1+80 >= e.Expires()/'
mutate "a record that is not removed" $inside/engine/single.go \
	's/_, err := s\.storage\.KV\(\)\.Delete\(singleKey\)\n\treturn err/return nil/'
mutate "a fence that is forgotten after an eviction" $inside/engine/fence.go \
	's/fence := max\(f\.given\+1, stored\+1, e\.Number\+1, entry\.FenceAt\(now\)\)/fence := f.given + 1 + 0*stored/'

# The conditions around the ledgers in the histories: clocks that jump,
# transactions, functions that fail, versions, overload, limits, and Do.
left='are not removed' dead='never reported' ran='^TestWorkOfDo'
mutate "a fence that follows the clock" $inside/engine/fence.go \
	's/fence := max\(f\.given\+1, stored\+1, e\.Number\+1, entry\.FenceAt\(now\)\)/_ = stored\n\tfence := entry.FenceAt(f.Clock())/'
mutate "a transaction that cannot be rolled back" $inside/engine/sql.go \
	's/(func \(t \*sqlBackend\) Get\(.*?\n)/var kept = map[*sqlBackend]map[string][]byte{}\n\n$1\tif v, ok := kept[t][key]; ok {\n\t\treturn v, true, nil\n\t}\n/; s/(func \(t \*sqlBackend\) Put\(.*?\n)/$1\tif kept[t] == nil {\n\t\tkept[t] = map[string][]byte{}\n\t}\n\tkept[t][key] = e.Encode()\n/'
mutate "a failed report of an expired claim that is not repeated" $inside/engine/expiry.go \
	's/over = over \|\| err == nil/over = true/' '' "$dead"
mutate "a failing function that loses the alarm" $inside/engine/delivery.go \
	's/return d\.alarm\.ensure\(ctx, 0\)/d.alarm.at = d.Clock() + 1000\n\treturn nil/; s/return d\.alarm\.reset\(ctx\)/return nil/' '' "$dead\|$left"
mutate "records that are not removed" $inside/engine/sql.go \
	's/"DELETE FROM _capdo_entries WHERE key IN "\+/"DELETE FROM _capdo_entries WHERE 1 = 0 AND key IN "+/' '' "$left"
mutate "an older program that removes newer records from the index" $inside/engine/single.go \
	's/return now \+ entry\.NewerRetry, true, nil/return entry.Never, true, nil/' '' "$dead\|$left"
mutate "a lost call that is reported as refused" dedupe/dodedupe/caller.go \
	's/err == nil \|\| n == 0 && effect/err == nil || effect/'
mutate "a result that is cut off at its limit" $inside/entry/transition.go \
	's/(e\.State, e\.Until, e\.NotifyAt, e\.Result = Done, now, 0, result)\n/$1\n\tif len(result) == dedupe.MaxResultSize {\n\t\te.Result = result[:len(result)-1]\n\t}\n/' "$ran" ', and {'
mutate "a lease that Do does not extend" dedupe/holder.go \
	's/\tgo h.extend\(extending\)\n/\t_ = extending\n/; s/func\(\) \{ h.ended\(ErrLeaseExpired\) \}/func() {}/' "$ran" 'was overtaken'
mutate "a claim that was taken over and is released" dedupe/do.go \
	's/if claim\.TakenOver \{/if false {/; s/h\.claim\.TakenOver && d == ReleaseClaim/false/' "$ran" 'was not told that'
mutate "a failure that releases the claim" dedupe/do.go \
	's/\treturn LeaveToLease\n/\treturn ReleaseClaim\n/' "$ran" 'was not told that'
mutate "a result that is too large and whose work runs again" dedupe/holder.go \
	's/if errors.Is\(err, ErrResultTooLarge\) \{/if false {/' "$ran" 'ran after it was done\|never done'

# The code around the engine: dedupe.Do, the middleware and flows. Native tests
# of the packages must find these faults, which takes seconds each.

# around NAME FILE PERL-EXPRESSION PACKAGE TEST
around() {
	local name=$1 package=$4 test=$5
	broken "${@:1:3}" || return 0
	if run go test -count=1 -timeout 2m -run "$test" "$package"; then
		missed "$name: NOT FOUND by $test of $package"
	elif grep -q '\[\(build\|setup\) failed\]' "$log"; then
		missed "$name: does not compile" 20
	else
		echo "$name: found"
	fi
}

do=./dedupe/dedupetest around='TestMistakesUnderDoAreFound|TestDoRunsAmidFaults'
around "a lease that is not extended after the caller has left" dedupe/holder.go \
	's/(extending, cancel := context.WithCancel\()context.WithoutCancel\(ctx\)/$1ctx/' $do "$around"
around "a lease that is never extended" dedupe/holder.go \
	's/\tgo h.extend\(extending\)\n/\t_ = extending\n/' $do "$around"
around "work that is not told about its lease's end" dedupe/holder.go \
	's/func\(\) \{ h.ended\(ErrLeaseExpired\) \}/func() {}/' $do "$around"
around "a completion that is tried once" dedupe/holder.go \
	's/if late \|\| mayHelp\(err\) \{/if false \&\& (late || mayHelp(err)) {/' $do "$around"
around "a lease that is not extended while the result is stored" dedupe/do.go \
	's/(\tresult, err := work\(workCtx, claim\)\n)/$1\th.stop()\n/' $do "$around"
around "a fenced extension that ends the storing of a result" dedupe/holder.go \
	's/h.completed && cause == ErrFenced/false/' ./dedupe '^TestDoAsksWhetherItsResultIsStored$'
around "a hanging Extend that takes the whole lease" dedupe/holder.go \
	's/attempt, cancel := context.WithTimeout\(ctx, third\)/attempt, cancel := context.WithCancel(ctx)/' ./dedupe '^TestAnExtendThatHangsLeavesTimeForAnother$'
around "a lease that is not extended at once after a wait" dedupe/do.go \
	's/opts.Owner != "" \|\| time.Since\(begin\) > opts.Lease\/3/false/' ./dedupe '^TestDoExtendsALeaseThatItDoesNotKnow$'
around "work that begins although its caller has left" dedupe/do.go \
	's/if ctx.Err\(\) != nil \{\n\t\terr := /if false {\n\t\terr := /' $do "$around"
around "work that is not told about a takeover" dedupe/do.go \
	's/work\(workCtx, claim\)/work(workCtx, Claim{Key: claim.Key, Fence: claim.Fence})/' $do "$around"
around "a result that is too large and whose work is done again" dedupe/holder.go \
	's/if errors.Is\(err, ErrResultTooLarge\) \{/if false {/' $do "$around"
around "every failure releases the claim" dedupe/do.go \
	's/\treturn LeaveToLease\n/\treturn ReleaseClaim\n/' $do "$around"
around "a claim of unknown outcome that is not repeated" dedupe/do.go \
	's/if errors.Is\(err, ErrUnknownOutcome\) && claim.Owner/if false \&\& claim.Owner/' $do "$around"
around "a completion that is repeated for too long" dedupe/holder.go \
	's/maxLeases\*atLeast/1000*maxLeases*atLeast/' ./dedupe '^TestDoGivesUpCompletingWhenTheLeaseIsOver$'

http=./dedupe/dedupehttp
around "methods in lower case that switch the middleware off" dedupe/dedupehttp/options.go \
	's/o.Methods\[i\] = strings.ToUpper\(method\)/o.Methods[i] = method + strings.ToUpper("")/' $http '^TestMethodsAreListedInEitherCase$'
around "a key that is shared by two routes behind StripPrefix" dedupe/dedupehttp/key.go \
	's/path != parts\[1\] \|\| query != parts\[2\]/false/; s/path, query := target\(r\); /path, query := target(r); path == query \&\& /' $http '^TestARouteDoesNotReplayAnothersResponse$'
around "a body that was read before and is accepted" dedupe/dedupehttp/middleware.go \
	's/int64\(len\(body\)\) < r.ContentLength/false/' $http '^TestABodyThatWasReadBeforeIsRefused$'
around "a body of unknown length that was read before and is accepted" dedupe/dedupehttp/middleware.go \
	's/unknown && len\(body\) == 0/false/; s/unknown := /_ = /' $http '^TestABodyThatWasReadBeforeIsRefused$'
around "status 503 that releases the claim" dedupe/dedupehttp/options.go \
	's/case http.StatusConflict, /case http.StatusServiceUnavailable, http.StatusConflict, /' $http '^TestAHandlerThatIsCutOffRunsOnce$'
around "a release that hides the previous run" dedupe/dedupehttp/execution.go \
	's/d == dedupe.ReleaseClaim && e.running.claim.TakenOver/false/' $http '^TestTakeoverRemembersTheEarlierRun$'
around "half a body that is stored as a complete one" dedupe/dedupehttp/execution.go \
	's/withServer\(ctx\), runningKey/ctx, runningKey/' $http '^TestBrokenUpstreamIsAStoredFailure$'
around "a client that waits beyond the timeout" dedupe/dedupehttp/execution.go \
	's/close\(e.late\)/_ = e.late/' $http '^TestAHandlerThatIsCutOffRunsOnce$'
around "a panic whose record is not repeated when storing fails" dedupe/dedupehttp/execution.go \
	's/dedupe.Complete\(ctx, e.ledger, /e.ledger.Complete(ctx, /' $http '^TestHandlerRunsOnceIfLedgerFailsBriefly$'

around "invalid UTF-8 in an id that is accepted" internal/jsontext/jsontext.go \
	's/return json.Valid\(text\) && IsUnicode\(text\)/return json.Valid(text)/' ./flow '^TestTextThatStandsForNoValueIsRefused$'
around "a lone surrogate in an id that is accepted" internal/jsontext/jsontext.go \
	's/ && !hasLoneSurrogate\(text\)/ \&\& (true || hasLoneSurrogate(text))/' ./flow '^TestTextThatStandsForNoValueIsRefused$'
around "spellings of one number that are different ids" flow/canonical.go \
	's/return canonicalNumber\(string\(v\)\)/return v, nil/' ./flow '^TestOneIdIsOnePayment$'
around "large ids that are rounded" flow/canonical.go \
	's/(func canonicalNumber\(text.*?\{\n)/$1\tif f, err := strconv.ParseFloat(text, 64); err == nil {\n\t\tb, _ := json.Marshal(f)\n\t\treturn json.Number(b), nil\n\t}\n/' ./flow '^TestOneIdIsOnePayment$'
around "an exactly-once node after an at-most-once node that is accepted" flow/validate.go \
	's/\t\tv.repeated\(n\)\n//' ./flow '^TestEachCodeIsFound$'
around "a node that has begun and stops independent nodes" flow/program.go \
	's/s.delivery == AtMostOnce && errors.Is/false \&\& errors.Is/' ./flow '^TestANodeThatHasBegunDoesNotHoldUpOthers$'
around "a timeout that releases the claim" flow/deliver.go \
	's/return dedupe.DefaultDisposition\(err\)/return dedupe.ReleaseClaim/' ./flow '^TestAmbiguousFailureKeepsTheClaim$'
around "a repetition that a new version refuses as a mismatch" flow/deliver.go \
	's/text := \[\]byte\(sent\)/text := []byte(in)/' ./flow '^TestADeployBetweenTwoAttemptsIsNoMismatch$'
around "a run whose input is not stored" flow/recovery.go \
	's/return dedupe.Complete\(ctx, r.ledger\(\), claim, sealed\)/return r.ledger().Release(ctx, claim)/' ./flow '^TestRunContinues'
around "a run that is resumed for ever" flow/recovery.go \
	's/attempt > r.recovery.Attempts/attempt > 1<<30/; s/attempt >= r.recovery.Attempts\)/attempt >= 1<<30)/' ./flow '^TestAttemptsAreBounded$'
around "a dead letter that is reported again" flow/recovery.go \
	's/(\terr := r.recovery.DeadLetter\(ctx, r.b, d\)\n)/$1\tif err == nil {\n\t\terr = ErrBegun\n\t}\n/' ./flow '^TestAttemptsAreBounded$'
around "an input that is not removed" flow/recovery.go \
	's/_ = r.ledger\(\).Forget\(ctx, r.inputKey\)/_ = ctx/' ./flow '^TestRunContinues'
around "attempts whose delays do not grow" flow/recovery.go \
	's/r.claim.Lease<<min\(claim.Attempt-1, 16\)/r.claim.Lease/' ./flow '^TestAttemptsAreBounded$'
around "a final failure that is resumed" flow/recovery.go \
	's/return errors.As\(err, &rejection\)/return errors.As(err, \&rejection) \&\& false/' ./flow '^TestWhatFailsForGood'
around "a sealed input that another run can open" flow/flowseal/keys.go \
	's/return append\(append\(\[\]byte\{\}, header...\), about...\)/return header/' ./flow/flowseal '^TestChangedTextDoesNotOpen'
around "an output that is stored in clear" flow/output.go \
	's/if o\.sealer != nil/if false/' ./flow '^TestOutputsAreSealed'
around "a sealed output that another key can open" flow/output.go \
	's/return o\.key\n/return nil\n/' ./flow '^TestAnOutputCannotBeMoved$'
around "an output that is stored although Keep replaces it" flow/output.go \
	's/kept := o\.handler\.Keep != nil/kept := false/' ./flow '^TestOutputsThatAreKeptOut'
around "missing keys that are ignored" flow/bindings.go \
	's/meant \|\| p\.recovery/meant \&\& false || p.recovery/' ./flow '^TestMissingKeysAreAnError'
around "a client that gives up before its deadline" dedupe/ledgerapi/send.go \
	's/return time\.Now\(\)\.Before\(call\.until\)/return n < 3/' ./dedupe/ledgerapi '^TestCallsRideOver'
around "a client that repeats with another owner" dedupe/ledgerapi/send.go \
	's/(s := c\.attempt\(ctx, call, payload, read\))/call.body["owner"] = []byte{byte(n)}\n\t\tpayload, _ = json.Marshal(call.body)\n\t\t$1/' ./dedupe/ledgerapi '^TestCallsRideOver'
around "a client that does not repeat calls with an owner" dedupe/ledgerapi/client.go \
	's/repeatable: owner != ""/repeatable: false/' ./dedupe/ledgerapi '^TestInsertIsRepeatedUntilServerReturns'
around "a client that repeats calls without an owner" dedupe/ledgerapi/client.go \
	's/repeatable: owner != ""/repeatable: true/' ./dedupe/ledgerapi '^TestWithoutOwners'
around "a server that drops the owner" dedupe/ledgerapi/handler.go \
	's/idempotent\.PutIfAbsentAs\(ctx, string\(owner\), /idempotent.PutIfAbsent(ctx, /' ./dedupe/ledgerapi '^TestRepeatedInsertReportsInserted'
around "a ledger that gives up before the deadline" dedupe/dodedupe/caller.go \
	's/n > 0 && !\(passes\(ctx, err\) && pause\(ctx, n\)\)/n > 0/' ./dedupe/dodedupe '^TestCallsRideOver'
around "a ledger that repeats for ever without a deadline" dedupe/dodedupe/caller.go \
	's/!limited \|\| durable/!limited \&\& false || durable/' ./dedupe/dodedupe '^TestRepeatedOnlyOnce$'
exit $failed
