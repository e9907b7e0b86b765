# For scripts that break the code, each time in a copy, and expect a test of
# $package to fail. They end with: exit $failed
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# mutate NAME TEST FILE PERL-EXPRESSION [FILE PERL-EXPRESSION]…. It runs only
# mutations whose name contains $ONLY.
mutate() {
	local name=$1 test=$2 tree=$scratch/tree log=$scratch/log
	shift 2
	if [[ $name != *${ONLY:-}* ]]; then
		return
	fi
	rm -rf "$tree" && mkdir "$tree"
	git ls-files -z go.mod go.sum package.json internal durable dedupe e2e/internal "$package" | xargs -0 cp --parents -t "$tree"
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
	if ! (cd "$tree" && go test -count=1 -run '^$' ./"$package") >"$log" 2>&1; then
		echo "$name: does not compile"
		tail -5 "$log"
		failed=1
		return
	fi
	(cd "$tree" && go test -count=1 -timeout 4m -run "^$test\$" ./"$package") >"$log" 2>&1 && status=0 || status=$?
	if [ $status -ne 0 ] && grep -q -- "--- FAIL: $test\|panic: test timed out" "$log"; then
		echo "$name: found"
		return
	fi
	echo "$name: NOT FOUND by $test"
	tail -5 "$log"
	failed=1
}
