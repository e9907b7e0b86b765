#!/usr/bin/env bash
# Breaks the ledger's engine, each time in a copy, and expects native tests to
# fail. The mutations that need a history are in e2e/proof.
source "$(dirname "$0")/../e2e/internal/mutate.sh"
copied=(go.mod go.sum dedupe durable internal docs/cost.md)

names=$(git grep -ohE '^func Test\w+' dedupe | sed 's/^func //')

# mutate NAME FILE PERL-EXPRESSION [TESTS]
mutate() {
	local name=$1 tests=${4:-.} test
	for test in ${tests//|/ }; do
		grep -qE "$test" <<<"$names" || missed "$name: there is no test like $test"
	done
	broken "$name" "dedupe/$2" "$3" || return 0
	if ! run go vet ./dedupe/dodedupe/...; then
		missed "$name: does not compile" 20
	elif run go test -count=1 -timeout 1m -run "$tests" ./dedupe/dodedupe/... ./dedupe/dedupetest; then
		missed "$name: NOT FOUND"
	else
		echo "$name: found by $(grep -ohE -- '--- FAIL: [A-Za-z]+|^panic: [a-z ]+|^fatal error: .*' "$log" | sort -u | head -3 | sed 's/.*FAIL: //' | paste -sd ',')"
	fi
}

engine=dodedupe/internal/engine entry=dodedupe/internal/entry

# Calls of a user's function.
mutate "a function that is called in the alarm's own goroutine" $engine/delivery.go 's/go func\(\) (\{\n\t\terr := errGoexit)/func() $1/' 'DelayOthers|Crash'
mutate "a panic that is not recovered" $engine/delivery.go 's/if p := recover\(\); p != nil/if p := any(nil); p != nil/' 'DelayOthers|Panic'
mutate "a function without a time limit" $engine/delivery.go 's/if limit > 0 \{/if limit > 1<<62 {/' 'DelayOthers'
mutate "an alarm that is set only after its notices" $engine/delivery.go 's/return d\.alarm\.ensure\(ctx, 0\)/return nil/' 'DelayOthers|Crash|Invariants'
mutate "an entry that is not postponed before its notice" $engine/expiry.go 's/next\.NotifyAt = now \+ max\(1000, now-k\.Entry\.Until\)/next.NotifyAt = k.Entry.NotifyAt/' 'DelayOthers|Hour|Starve'
mutate "a holder that is given up before its notice" $engine/expiry.go 's/if x\.Notify == nil \{/if x.Notify == nil || k.Entry.NotifyAt-k.Entry.Until >= noticePeriod {/' 'FailedAlarms'
mutate "an alarm that is set again for the time of its delivery" $engine/delivery.go 's/d\.alarm\.behind = min\(max\(at\.UnixMilli\(\)-d\.Clock\(\), 0\), entry\.ClockSlack\)/_ = entry.ClockSlack/' 'EarlyAlarm'
mutate "an alarm that runs in a loop when storage fails" $engine/alarm.go 's/a\.notBefore = a\.Clock\(\) \+ firstBackOff<<min\(a\.failures, maxBackOffs\)/a.notBefore = 0/' 'BacksOff|Invariants'
mutate "a replay that sets no alarm" $engine/alarm.go 's/_ = a\.ensure\(ctx, due\)/if a.stale {\n\t\t_ = a.ensure(ctx, due)\n\t}/' 'RestoresTheAlarm'
mutate "an alarm that was given up but counts as set" $engine/alarm.go 's/ && now < a\.at\+overdue//' 'RestoresTheAlarm'
# What an instance remembers.
mutate "a memory that outlives a rollback" $engine/core.go 's/if inside \{\n\t\t\tc\.forgetStored\(\)/if inside \&\& c.Clock == nil {\n\t\t\tc.forgetStored()/' 'Remembered|Invariants'
mutate "a memory that outlives a failed write" $engine/core.go 's/func \(c \*core\) forgetStored\(\) \{.*?\n\}/func (c *core) forgetStored() {}/s' 'Fault|Invariants|Duplicates'
mutate "an error that is definite after a write" dodedupe/internal/effect/effect.go 's/return afterWriteError\{err\}/return err/' 'AfterAWrite'
# Versions.
mutate "an older program that removes newer records from the index" $entry/entry.go 's/if errors\.Is\(unreadable, codec\.ErrVersion\)/if unreadable == nil \&\& errors.Is(unreadable, codec.ErrVersion)/' 'Older|Invariants'
mutate "an older program that forgets the fences of newer records" $entry/record.go 's/if head\[0\] > Version \{\n\t\treturn e\.Number/if head[0] > Version {\n\t\treturn 0/' 'Fences|Invariants'
mutate "a wait that claims for a caller that has left" dodedupe/ledger.go 's/(\/\/ a wait claims nothing\n)/$1\t\t\trest := *opts\n\t\t\trest.Wait = 50 * time.Millisecond\n\t\t\tl.claim(context.WithoutCancel(ctx), key, \&rest, ttl)\n/' 'HasLeft'
# Time.
mutate "a fence that grows in memory only" $engine/fence.go 's/if fence == 0 \|\| !f\.Many/if fence != 0 || !f.Many/' 'Fence|Invariants'
mutate "a fence that follows the clock" $engine/fence.go 's/fence := max\(f\.given\+1, stored\+1, e\.Number\+1, entry\.FenceAt\(now\)\)/_ = stored\n\tfence := entry.FenceAt(f.Clock())/' 'Fence|Invariants'
mutate "an object that is emptied with its fence" $engine/core.go 's/if until != 0 && !c\.Shared/if until != 0 \&\& c.Shared/' 'Fence|Empties'
mutate "a clock that was ahead and is trusted" $engine/clock.go 's/if c\.latest > clock\+entry\.ClockSlack/if c.latest > clock+1000*3_600_000*entry.ClockSlack/' 'Ahead|Reference'
mutate "an entry of a clock that was ahead and is trusted" $entry/entry.go 's/return e\.Latest\(\) > now\+ClockSlack \|\|/return/' 'Ahead|Reference'
mutate "a later lease of a clock that was ahead" $entry/entry.go 's/ \|\| e\.State == Held && e\.Until > now\+ClockSlack\+MaxLease//' 'Ahead'
mutate "a takeover beyond the window that looks fresh" $entry/entry.go 's/e\.Until\+dedupe\.KeptAfter\(e\.TTL\)/e.Until/' 'Takeover|Reference|LedgerPerKey'
mutate "a holder that is forgotten without a notice" $entry/entry.go 's/now >= e\.Expires\(\) && e\.NotifyAt == 0/now >= e.Expires()/' 'Takeover|Invariants'
mutate "a late result that is forgotten" $entry/transition.go 's/kept := now \+ dedupe\.KeptAfter\(e\.TTL\)/kept := now/' 'Late|Reference|LedgerPerKey'
# Waits.
mutate "a change that wakes nobody" $engine/core.go 's/defer c\.waiters\.wake\(key\)\n\t\}\n\terr := c\.Backend\.Put/}\n\terr := c.Backend.Put/' 'Wake|Waiter|LedgerPerKey'
mutate "a Forget that does not wake waiters" $engine/forget.go 's/\tdefer e\.waiters\.wake\(key\)\n//' 'Wake|LedgerPerKey'
mutate "a wait that starts again when it is lost" dodedupe/caller.go 's/call\.attempt\(ctx, object, wire\.MethodAwait, msg\)/call.deliver(ctx, object, wire.MethodAwait, msg)/' 'Wait'
mutate "a lost wait that makes the claim unknown" dodedupe/ledger.go 's/default:\n\t\t\tlost\+\+/default:\n\t\t\treturn entry.Answer{}, effect.Unknown(err)/' 'Wait'
# Owners of a call.
mutate "a store that repeats with another owner" dodedupe/store.go 's/reservation\.OwnerOf\(owner\), key/reservation.NewOwner(), key/' 'TestStore$'
mutate "a sequencer that repeats with another owner" dodedupe/sequencer.go 's/if owner == "" \{/if owner != "none" {/' 'TestSequencer$'
# Names.
mutate "a long name that is not sent" dodedupe/expired.go 's/return len\(name\) > durable\.MaxNameSize/return len(name) > 1000*durable.MaxNameSize/' 'LongName'
exit $failed
