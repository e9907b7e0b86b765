//go:build !js

package opcost

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestTableIsThatOfTheDocumentation(t *testing.T) {
	b, err := os.ReadFile("../../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	figure := func(n int) string {
		if n == None {
			return ""
		}
		return fmt.Sprint(n)
	}
	var want []string
	for _, c := range Table {
		want = append(want, fmt.Sprintf("| %s | %d | %s | %d | %d | %s | %d |",
			c.Operation, c.Requests, figure(c.PerKey), c.InBucket, c.Notifies, figure(c.ReadPerKey), c.Read))
	}
	_, table, _ := strings.Cut(string(b), "|---|---|---|---|---|---|---|\n")
	got, _, _ := strings.Cut(table, "\n\n")
	if want := strings.Join(want, "\n"); got != want {
		t.Errorf("docs/cost.md has\n%s\nwant\n%s", got, want)
	}
}
