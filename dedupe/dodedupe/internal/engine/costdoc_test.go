//go:build !js

package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The requests of docs/cost.md, its second column, are compared in dodedupe.
func TestCostsAreThoseOfTheDocumentation(t *testing.T) {
	b, err := os.ReadFile("../../../../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	figure := func(n int) string {
		if n < 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	var want []string
	for _, c := range costs {
		cells := []string{"| " + c.operation, figure(c.perKey), figure(c.inBucket), figure(c.notifies), figure(c.read) + " |"}
		want = append(want, strings.Join(cells, " | "))
	}
	_, table, _ := strings.Cut(string(b), "|---|---|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var got []string
	for row := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(row, " | ")
		got = append(got, strings.Join(append(cells[:1], cells[2:]...), " | "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("docs/cost.md has\n%s\nand it is\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
