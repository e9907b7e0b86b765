package sqlcases

import (
	_ "embed"
	"fmt"
	"strings"
	"testing"
)

//go:embed testdata/native.golden
var golden string

// write writes the steps of a case: each call and its result on one line.
func write(b *strings.Builder, number int, name string, steps []Step) {
	fmt.Fprintf(b, "== %d: %s\n", number, name)
	for _, s := range steps {
		fmt.Fprintf(b, "%s\n    %s\n", short(s.Call), short(s.Result))
	}
}

// short shortens a long text and keeps it on one line.
func short(s string) string {
	s = strings.ToValidUTF8(strings.NewReplacer("\n", `\n`, "\x00", `\0`).Replace(s), `\?`)
	if len(s) > 400 {
		return fmt.Sprintf("%s … (%d bytes)", s[:120], len(s))
	}
	return s
}

// readGolden returns the calls and results of each case.
func readGolden(t *testing.T) map[string][]Step {
	cases := map[string][]Step{}
	name := ""
	for line := range strings.Lines(golden) {
		line = strings.TrimSuffix(line, "\n")
		list := cases[name]
		if header, ok := strings.CutPrefix(line, "== "); ok {
			_, name, _ = strings.Cut(header, ": ")
			cases[name] = []Step{}
		} else if result, ok := strings.CutPrefix(line, "    "); ok && len(list) > 0 {
			list[len(list)-1].Result = result
		} else {
			cases[name] = append(list, Step{Call: line})
		}
	}
	return cases
}

func TestThereAreManyStatements(t *testing.T) {
	n := 0
	for _, steps := range readGolden(t) {
		n += len(steps)
	}
	t.Logf("%d cases, %d steps, %d differences", len(Cases), n, len(Differences))
	if len(readGolden(t)) != len(Cases) || n < 300 {
		t.Errorf("%d cases, %d steps", len(readGolden(t)), n)
	}
}
