# For scripts that break the code, each time in a copy, and expect a test to
# fail. They end with: exit $failed
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tree=$scratch/tree log=$scratch/log
failed=0
# What each copy contains.
copied=(go.mod go.sum package.json internal durable dedupe e2e/internal "${package:-.}")

# broken NAME [FILE PERL-EXPRESSION]… makes $tree a copy with these changes. It
# is false if there is nothing to test: if NAME does not contain $ONLY, or if a
# change does not apply.
broken() {
	local name=$1
	shift
	[[ $name == *${ONLY:-}* ]] || return 1
	{
		rm -rf "$tree" && mkdir "$tree" &&
			git ls-files -z -- "${copied[@]}" | xargs -0 cp --parents -t "$tree" &&
			ln -s "$PWD/node_modules" "$tree/node_modules"
	} || exit 1
	while [ $# -gt 0 ]; do
		perl -0pi -e "$2" "$tree/$1"
		if cmp -s "$1" "$tree/$1"; then
			missed "$name: the change does not apply to $1 any more"
			return 1
		fi
		shift 2
	done
}

# run COMMAND… runs it in $tree, with its output in $log.
run() { (cd "$tree" && "$@") >"$log" 2>&1; }

# missed MESSAGE [LINES] prints what is wrong, and the last LINES of $log.
missed() {
	echo "$1"
	if [ $# -gt 1 ]; then
		tail -"$2" "$log"
	fi
	failed=1
}

# mutate NAME TEST [FILE PERL-EXPRESSION]… expects TEST of $package to fail.
# Scripts that do not set $package define their own.
mutate() {
	local name=$1 test=$2
	broken "$name" "${@:3}" || return 0
	if ! run go test -count=1 -run '^$' ./"$package"; then
		missed "$name: does not compile" 5
	elif ! run go test -count=1 -timeout 4m -run "^$test\$" ./"$package" &&
		grep -q -- "--- FAIL: $test\|panic: test timed out" "$log"; then
		echo "$name: found"
	else
		missed "$name: NOT FOUND by $test" 5
	fi
}
