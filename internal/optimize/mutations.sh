#!/usr/bin/env bash
# Breaks the code that optimizes programs, each time in a copy, and expects the
# comparison of random functions to fail.
package=internal/optimize
source "$(dirname "$0")/../../e2e/internal/mutate.sh"

parse=internal/optimize/jumps.go loops=internal/optimize/loops.go write=internal/optimize/write.go
same=TestRandomFunctions
mutate "a call returns to a segment that the table does not lead to" $same $parse 's/f\.segments\[f\.lookup\(n\)\]\.entered = true\n//'
mutate "a jump has the wrong target" $same $parse 's/b\.to, b\.end = int\(n\), f\.lookup\(int\(n\)\)/b.to, b.end = int(n), f.lookup(int(n)+1)/'
mutate "a loop may be entered in its middle" $same $loops 's/\(from < first \|\| from > last\)/false/'
mutate "a loop may be entered through the table" $same $loops 's/f\.isEntered\(first\+1, loops\[first\]\)/false/'
mutate "a loop with two heads is rotated" $same $loops 's/\t\thead = -1\n/\t\thead = max(head, b.to)\n/'
mutate "a segment that was moved falls through" $same $loops 's/for i := first - 1; i <= last; i\+\+/for i := first; i < head; i++/'
mutate "a segment falls through with the number of another one" $same $loops 's/, number: slices\.Index\(f\.table, i\+1\)//'
mutate "the table is not moved" $same $loops 's/f\.table\[i\] = to\(f\.table\[i\]\)/_ = to(i)/'
mutate "a jump back is a branch forward" $same $write 's/case b\.to > from:\n\t\tif/case b.to >= from:\n\t\tif/'
mutate "a branch is left out although other code comes next" $same $write 's/ && b\.to == from\+1/ \&\& b.to <= from+2/'
mutate "a conditional branch always jumps" $same $write 's/if b\.conditional \{\n\t\top = opBrIf/if false {\n\t\top = opBrIf/'
mutate "a jump through the table has no condition" $same $write 's/if b\.conditional \{\n\t\tw\.out = append\(w\.out, opIf/if false {\n\t\tw.out = append(w.out, opIf/'
addresses=internal/optimize/addresses.go
mutate "an offset is lost" $same $addresses 's/\+= list\[2\]\.constant/+= 0/'
mutate "something else than memory gets an offset" $same $addresses 's/ && ins\.op >= opI32Load && ins\.op <= opI64Store32//'
mutate "a sum has another constant" $same $addresses 's/int\(list\[1\]\.constant\)\)/int(list[1].constant)|1)/'
mutate "a sum is replaced although it is part of an address" $same $addresses 's/list\[i\]\.op != op \|\| list\[i\]\.isReplaced/list[i].op != op/'
mutate "a comparison with zero is left out" $same $addresses 's/\[\]byte\{opI32Eqz\}/nil/'
mutate "a condition is negated" $same $addresses 's/remove\(list\[:3\]\) \/\/ not not x/remove(list[:2])/'
mutate "a function that is unwound goes on" $same $write 's/case b\.exit: \/\/.*?return\n/case b.exit:\n\t\tw.out = append(w.out, opDrop)\n\t\treturn\n/s'
exit $failed
