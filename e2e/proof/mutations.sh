#!/usr/bin/env bash
# Breaks the store, the ledger and the sequencer, each time in a copy of its own, and expects the proof to find a history that is not linearizable.
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# mutate NAME FILE PERL-EXPRESSION; only those whose name has $ONLY in it
mutate() {
	local name=$1 file=$2 expression=$3 tree=$scratch/tree log=$scratch/log
	if [[ $name != *${ONLY:-}* ]]; then
		return
	fi
	rm -rf "$tree" && mkdir "$tree"
	git ls-files -z | xargs -0 cp --parents -t "$tree"
	ln -s "$PWD/node_modules" "$tree/node_modules"
	perl -0pi -e "$expression" "$tree/$file"
	if cmp -s "$file" "$tree/$file"; then
		echo "$name: the mutation does not apply to $file any more"
		failed=1
		return
	fi
	for load in ${LOAD:-8s 24s}; do # on a busy machine little happens in a short time
		(cd "$tree" && go test -count=1 -v -run '^TestHistories' ./e2e/proof -load "$load") >"$log" 2>&1 && status=0 || status=$?
		if [ $status -ne 0 ] && grep -q 'not linearizable' "$log"; then
			echo "$name: found"
			grep -m1 'operations,' "$log"
			return
		fi
	done
	echo "$name: NOT FOUND"
	grep -v '^   ' "$log" | tail -20
	failed=1
}

# A step's mutex would hold others off during an await, so that is taken away, too.
await='s.mu.Unlock()\n\ttime.Sleep(5 * time.Millisecond)\n\ts.mu.Lock()'
mutate "a ledger that does not compare owner and fence" dedupe/dodedupe/entry.go \
	's/return e\.number == h\.fence && e\.owner == h\.owner/return true/'
mutate "an await between the store's read and its write" dedupe/dodedupe/slot.go \
	's/("sync"\n)/$1\t"time"\n/; s/(r, now, err := s\.read\(\)\n\tif err != nil \{\n\t\treturn false, err\n\t\}\n)/$1\t'"$await"'\n/'
mutate "an await between the ledger's read and its write" dedupe/dodedupe/book.go \
	's/("sync"\n)/$1\t"time"\n/; s/(fence, err := b\.nextFence\(ctx, &stored, now\)\n)/$1\t'"${await//s.mu/b.mu}"'\n/'
mutate "a wait that claims for somebody who is gone" dedupe/dodedupe/ledger.go \
	's/(\/\/ a wait claims nothing\n)/$1\t\t\trest := *opts\n\t\t\trest.Wait = 50 * time.Millisecond\n\t\t\tl.claim(context.WithoutCancel(ctx), key, \&rest, ttl)\n/'
mutate "a wait that claims before its caller does" dedupe/dodedupe/wait.go \
	's/(if err != nil \|\| p == nil \{\n)(\t\t\treturn a, err)/$1\t\t\tif err == nil \&\& a.outcome == dedupe.InProgress \&\& a.retryAfter == 0 {\n\t\t\t\tb.claim(ctx, key, request{owner: "parked", fingerprint: fingerprint, lease: 60000, ttl: 60000})\n\t\t\t}\n$2/'
mutate "a sequencer that writes number and record apart" dedupe/dodedupe/book.go \
	's/("sync"\n)/$1\t"time"\n/; s/err = b\.table\.transact\(ctx, func\(\) error \{\n(\t\tif err := b\.put\(ctx, counter.*?\n\t\t\}\n)/err = func() error {\n$1\t\ttime.Sleep(5 * time.Millisecond)\n/s; s/(return b\.put\(ctx, key, &e, &stored\)\n\t\})\)/$1()/'
mutate "a fingerprint dropped at completion" dedupe/dodedupe/entry.go \
	's/(e\.state, e\.until, e\.watch, e\.result = done, now, 0, result)/$1\n\te.fingerprint = ""/'
mutate "a lease that is over before its end" dedupe/dodedupe/entry.go \
	's/(leased := e\.state == held && now) < e\.until/$1+40 < e.until/'
mutate "a window that ends before its time" dedupe/dodedupe/entry.go \
	's/(e\.state == absent \|\| now) >= e\.expires\(\)/$1+80 >= e.expires()/'
mutate "a key-value record that is not removed" dedupe/dodedupe/keyvalue.go \
	's/_, err := c\.storage\.DeleteMany\(ctx, append\(chunkNames\(ledgerKey\), ledgerKey\), nil\)\n\treturn err/return nil/'
mutate "a fence that an eviction forgets" dedupe/dodedupe/memory.go \
	's/return min\(max\(b\.fence\+1, mark\+1, e\.number\+1, seed\(now\)\), seed\(never\)\), nil/return b.fence + 1 + 0*mark, nil/'
exit $failed
