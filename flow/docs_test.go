//go:build !js

package flow

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/spec/capabilities-and-binding.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheDocumentsExampleIsAValidFlow(t *testing.T) {
	_, after, _ := strings.Cut(document(t), "```json\n")
	text, _, found := strings.Cut(after, "```")
	f, err := Parse([]byte(text))
	if !found || err != nil || !reflect.DeepEqual(f, payments()) || len(f.Validate()) > 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestTheDocumentHasEachCode(t *testing.T) {
	documented := map[Code]string{}
	_, after, _ := strings.Cut(document(t), "## Codes\n")
	section, _, _ := strings.Cut(after, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (.+) \\|$").FindAllStringSubmatch(section, -1) {
		documented[Code(row[1])] = row[2]
	}
	for code, k := range kinds {
		if documented[code] != k.meaning || k.hint == "" {
			t.Errorf("%s is documented as %q, but means %q; hint: %q", code, documented[code], k.meaning, k.hint)
		}
	}
	if len(documented) != len(kinds) {
		t.Errorf("%d codes are documented, but %d exist", len(documented), len(kinds))
	}
}
