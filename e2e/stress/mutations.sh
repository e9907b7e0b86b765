#!/usr/bin/env bash
# Breaks the runtime, each time in a copy, and expects the mixes to fail.
package=e2e/stress
source "$(dirname "$0")/../internal/mutate.sh"

mutate "an export is not pinned" TestAllocationsSwitch internal/jsrt/pin_js.go \
	's/if !isPinned/if false/'
mutate "resume is not pinned" TestAllocationsSwitch internal/shim/js/runtime.mjs \
	's/(  resume\(\) \{\n)/$1    this.exports?.capdo_unpin();\n/'
mutate "resume below Go is not pinned" TestAllocationsSwitch internal/shim/js/runtime.mjs \
	's/      this\.exports\.capdo_pin\?\.\(\);\n//'
exit $failed
