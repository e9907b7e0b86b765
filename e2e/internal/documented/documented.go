// Package documented compares tests with pages of the documentation.
package documented

import (
	"os"
	"strings"
	"testing"
)

// Row fails the test unless the page has a table with a row that begins with
// text. name says whose row it is.
func Row(t *testing.T, page, text, name string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "| "+text) {
		t.Errorf("%s: %s does not contain: %s", name, page, text)
	}
}
