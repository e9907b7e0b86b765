//go:build !js

package flowhttp

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestTheDocumentHasEachAnswer(t *testing.T) {
	text, err := os.ReadFile("../../docs/spec/capabilities-and-binding.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{} // "400 input"
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, " | "); len(cells) == 3 {
			for _, code := range strings.FieldsFunc(cells[1], func(r rune) bool { return r == '`' }) {
				documented[strings.TrimPrefix(cells[0], "| ")+" "+code] = true
			}
		}
	}
	for _, row := range rows {
		if !documented[fmt.Sprint(row.status, " ", row.code)] {
			t.Errorf("%d %s is not documented", row.status, row.code)
		}
	}
	for _, other := range []string{"413 too_large", "422 rejected", "500 not_bound", "500 wrong_type", "500 failed"} {
		if !documented[other] {
			t.Errorf("%s is not documented", other)
		}
	}
}
