#!/usr/bin/env bash
# Breaks the ledger's engine in the ways that native tests have to notice, each time in a copy, and expects them to fail. e2e/proof has those that
# take a history.
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
git ls-files -z go.mod go.sum dedupe durable internal/budget internal/direct internal/jsrt internal/section internal/sha256 docs/cost.md | xargs -0 cp --parents -t "$scratch"
failed=0

# mutate NAME FILE PERL-EXPRESSION [TESTS]; only those whose name has $ONLY in it
mutate() {
	local name=$1 file=dedupe/$2 expression=$3 tests=${4:-.} log=$scratch/log
	if [[ $name != *${ONLY:-}* ]]; then
		return
	fi
	cp "$scratch/$file" "$scratch/before"
	perl -0pi -e "$expression" "$scratch/$file"
	if cmp -s "$scratch/before" "$scratch/$file"; then
		echo "$name: the mutation does not apply to $file any more"
		failed=1
	elif ! (cd "$scratch" && go vet ./dedupe/dodedupe) >"$log" 2>&1; then
		echo "$name: does not compile"
		cat "$log"
		failed=1
	elif (cd "$scratch" && go test -count=1 -timeout 1m -run "$tests" ./dedupe/dodedupe ./dedupe/dedupetest) >"$log" 2>&1; then
		echo "$name: NOT FOUND"
		failed=1
	else
		echo "$name: found by $(grep -ohE -- '--- FAIL: [A-Za-z]+|^panic: [a-z ]+|^fatal error: .*' "$log" | sort -u | head -3 | sed 's/.*FAIL: //' | paste -sd ',')"
	fi
	cp "$scratch/before" "$scratch/$file"
}

# What a user's function does.
mutate "a function that is called in the alarm's own goroutine" dodedupe/alarm.go 's/go func\(\) (\{\n\t\terr := errGoexit)/func() $1/' 'Trouble|Crash'
mutate "a panic that goes on" dodedupe/alarm.go 's/if p := recover\(\); p != nil/if p := any(nil); p != nil/' 'Trouble|Panic'
mutate "a function without an end to its time" dodedupe/alarm.go 's/if limit > 0 \{/if limit > 1<<62 {/' 'Trouble'
mutate "an alarm that is set after it has told" dodedupe/alarm.go 's/(if err == nil && !cleared \{\n\t\terr = )b\.arm\(r\.ctx, 0\)/$1nil/' 'Trouble|Crash|Invariants'
mutate "an entry that is not put off before it is told of" dodedupe/watch.go 's/next\.watch = now \+ max\(1000, now-s\.entry\.until\)/next.watch = s.entry.watch/' 'Trouble|Hour|Starve'
mutate "a holder who is given up before anybody was told" dodedupe/watch.go 's/if b\.tell == nil \{/if b.tell == nil || s.entry.watch-s.entry.until >= watchFor {/' 'HoweverMany'
mutate "an alarm whose storage fails that rings in a loop" dodedupe/alarm.go 's/b\.notBefore = b\.clock\(\) \+ firstBackOff<<min\(b\.failures, maxBackOffs\)/b.notBefore = 0/' 'BacksOff|Invariants'
mutate "a replay that sets no alarm" dodedupe/alarm.go 's/_ = b\.arm\(ctx, due\)/if b.owing {\n\t\t_ = b.arm(ctx, due)\n\t}/' 'GivenUp'
mutate "an alarm that was given up and counts as set" dodedupe/alarm.go 's/ && now < b\.armed\+overdue//' 'GivenUp'
# What an instance remembers.
mutate "a memory that outlives a rollback" dodedupe/memory.go 's/if inside \{\n\t\t\tb\.doubt\(\)/if inside \&\& b.clock == nil {\n\t\t\tb.doubt()/' 'Remembered|Invariants'
mutate "a memory that outlives a failed write" dodedupe/memory.go 's/func \(b \*book\) doubt\(\) \{.*?\}/func (b *book) doubt() {}/' 'Fault|Invariants|Duplicates'
mutate "an error that is definite after a write" dodedupe/errors.go 's/return written\{err\}/return err/' 'AfterAWrite'
# Versions.
mutate "an older program that unhooks newer records" dodedupe/rows.go 's/if errors\.Is\(unreadable, ErrVersion\)/if unreadable == nil/' 'Older|Invariants'
mutate "an older program that forgets the fences of newer records" dodedupe/entry.go 's/if head\[0\] > entryVersion \{\n\t\treturn e\.number/if head[0] > entryVersion {\n\t\treturn 0/' 'Fences|Invariants'
# Time.
mutate "a fence that grows in memory only" dodedupe/memory.go 's/if fence == 0 \|\| !b\.many/if fence != 0 || !b.many/' 'Fence|Invariants'
mutate "an object that is emptied with its fence" dodedupe/alarm.go 's/if until != 0 && !b\.shared/if until != 0 \&\& b.shared/' 'Fence|Empties'
mutate "a clock that was ahead and is believed" dodedupe/memory.go 's/if b\.latest > clock\+clockSlack/if false/' 'Ahead|Reference'
mutate "an entry of a clock that was ahead and is believed" dodedupe/entry.go 's/return e\.latest\(\) > now\+clockSlack \|\|/return/' 'Ahead|Reference'
mutate "a later lease of a clock that was ahead" dodedupe/entry.go 's/ \|\| e\.state == held && e\.until > now\+clockSlack\+maxLease//' 'Ahead'
mutate "a takeover beyond the window that looks fresh" dodedupe/entry.go 's/e\.until\+dedupe\.KeptAfter\(e\.ttl\)/e.until/' 'Takeover|Reference|LedgerPerKey'
mutate "a holder who is not told of and forgotten" dodedupe/entry.go 's/now >= e\.expires\(\) && e\.watch == 0/now >= e.expires()/' 'Takeover|Invariants'
mutate "a late result that is forgotten" dodedupe/entry.go 's/kept := now \+ dedupe\.KeptAfter\(e\.ttl\)/kept := now/' 'Late|Reference|LedgerPerKey'
# Waits.
mutate "a change that wakes nobody" dodedupe/book.go 's/defer b\.wake\(key\)\n\t\}\n\terr := b\.table\.put/}\n\terr := b.table.put/' 'Wake|Waiter|LedgerPerKey'
mutate "a Forget that wakes nobody" dodedupe/book.go 's/defer b\.wake\(key\)\n\tif err := b\.table\.remove/if err := b.table.remove/' 'Wake|LedgerPerKey'
mutate "a wait that begins anew when it is lost" dodedupe/ledger.go 's/l\.call\.attempt\(ctx, object, methodAwait, msg\)/l.call.deliver(ctx, object, methodAwait, msg)/' 'Wait'
mutate "a wait whose loss is the claim's" dodedupe/ledger.go 's/default:\n\t\t\tlost\+\+/default:\n\t\t\treturn answer{}, unknown(err)/' 'Wait'
# Names.
mutate "a long name that nobody says" dodedupe/watch.go 's/return len\(name\) > durable\.MaxNameSize/return len(name) > 1000*durable.MaxNameSize/' 'LongName'
exit $failed
