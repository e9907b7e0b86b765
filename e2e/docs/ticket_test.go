//go:build !js

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// row is a row of a table of docs/ticket.md.
type row struct {
	line   int
	ticket string   // the ticket's words
	means  string   // how they are met
	tests  []string // "folder TestName", "folder TestName/subtest", "make target"
}

// rowsOf returns the rows of the tables on a page. A row without exactly three
// cells has no words.
func rowsOf(text string) (rows []row) {
	for n, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| the ticket |") {
			continue
		}
		r := row{line: n + 1}
		if cells := strings.Split(strings.Trim(line, "|"), " | "); len(cells) == 3 {
			r.ticket, r.means = strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])
			for _, code := range inline.FindAllString(cells[2], -1) {
				r.tests = append(r.tests, strings.Trim(code, "`"))
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// ticket returns the lines of the ticket that need a row.
func ticket(t *testing.T) (lines []string) {
	t.Helper()
	b, err := os.ReadFile("testdata/ticket.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestTicket checks that each line of the ticket has a row, and that the tests
// of each row exist.
func TestTicket(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs/ticket.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows, lines := rowsOf(string(b)), ticket(t)
	for _, problem := range checkRows(root, rows, lines) {
		t.Error("docs/ticket.md" + problem)
	}
	if len(lines) < 30 {
		t.Errorf("the ticket has %d lines", len(lines))
	}
}

// checkRows returns what is wrong with the rows for a ticket's lines.
func checkRows(root string, rows []row, lines []string) (problems []string) {
	var words []string
	for _, r := range rows {
		say := func(format string, args ...any) {
			problems = append(problems, fmt.Sprintf(":%d: ", r.line)+fmt.Sprintf(format, args...))
		}
		words = append(words, r.ticket)
		switch {
		case !slices.Contains(lines, r.ticket):
			say("the ticket has no such line: %q", r.ticket)
		case r.means == "":
			say("nothing meets %q", r.ticket)
		case len(r.tests) == 0:
			say("no test proves %q", r.ticket)
		}
		for _, test := range r.tests {
			if err := findTest(root, test); err != nil {
				say("%s: %v", test, err)
			}
		}
	}
	for _, line := range lines {
		if !slices.Contains(words, line) {
			problems = append(problems, fmt.Sprintf(": there is no row for %q", line))
		}
	}
	return problems
}

// findTest checks that a test exists in the code.
func findTest(root, test string) error {
	folder, name, _ := strings.Cut(test, " ")
	if folder == "make" {
		return findIn(`(?m)^`+regexp.QuoteMeta(name)+`:`, filepath.Join(root, "Makefile"))
	}
	name, sub, isSub := strings.Cut(name, "/")
	files := filepath.Join(root, folder, "*_test.go")
	if err := findIn(`(?m)^func `+regexp.QuoteMeta(name)+`\(t \*testing\.T\)`, files); err != nil {
		return err
	}
	switch {
	case !isSub:
		return nil
	case name == "TestScripts":
		_, err := os.Stat(filepath.Join(root, folder, "testdata/script", sub+".txtar"))
		return err
	case name == "TestPages":
		_, err := os.Stat(filepath.Join(root, sub))
		return err
	}
	return findIn(`"`+regexp.QuoteMeta(sub)+`"`, files)
}

// findIn checks that a pattern occurs in files.
func findIn(pattern, files string) error {
	re := regexp.MustCompile(pattern)
	paths, err := filepath.Glob(files)
	if err != nil {
		return err
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if re.Match(b) {
			return nil
		}
	}
	return fmt.Errorf("not found in %d files", len(paths))
}

func TestRowsWithoutTestsAreFound(t *testing.T) {
	const table = "| the ticket | what meets it | tests |\n|---|---|---|\n"
	lines := []string{"One thing.", "Another `thing`."}
	for _, tt := range []struct{ rows, want string }{
		{"| One thing. | this | `e2e/docs TestTicket`, `make check` |\n| Another `thing`. | that | `e2e/harness TestHarness/alarm: delivered and logged`, `cmd/capdo TestScripts/dev` |\n", ""},
		{"| One thing. | this | |\n| Another `thing`. | that | `e2e/docs TestTicket` |\n", ":3: no test proves"},
		{"| One thing. |  | `e2e/docs TestTicket` |\n| Another `thing`. | that | `e2e/docs TestTicket` |\n", ":3: nothing meets"},
		{"| One thing. | this | `e2e/docs TestTicket` |\n", `: there is no row for "Another`},
		{"| One thing. | this | `e2e/docs TestTicket` |\n| Another thing. | that | `e2e/docs TestTicket` |\n", ":4: the ticket has no such line"},
		{"| One thing. | this | `e2e/docs TestNothing` |\n| Another `thing`. | that | `e2e/docs TestTicket` |\n", ":3: e2e/docs TestNothing: not found"},
		{"| One thing. | this | `e2e/nothing TestTicket` |\n| Another `thing`. | that | `e2e/docs TestTicket` |\n", ":3: e2e/nothing TestTicket: not found"},
		{"| One thing. | this | `e2e/harness TestHarness/nothing` |\n| Another `thing`. | that | `e2e/docs TestTicket` |\n", ":3: e2e/harness TestHarness/nothing: not found"},
		{"| One thing. | this | `cmd/capdo TestScripts/nothing` |\n| Another `thing`. | that | `e2e/docs TestTicket` |\n", ":3: cmd/capdo TestScripts/nothing: "},
		{"| One thing. | this | `make nothing` |\n| Another `thing`. | that | `e2e/docs TestTicket` |\n", ":3: make nothing: not found"},
		{"| One thing. | this |\n| Another `thing`. | that | `e2e/docs TestTicket` |\n", ":3: the ticket has no such line"},
	} {
		got := strings.Join(checkRows(root, rowsOf(table+tt.rows), lines), "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.rows, got, tt.want)
		}
	}
}

// TestLimitsAreDocumented checks the limits that only Cloudflare enforces. Each
// must be in one row of docs/limits.md.
func TestLimitsAreDocumented(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs/limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	for _, parts := range [][]string{
		{"| data per object ", "| 10 GB | unlimited |"},
		{"| key and value together ", "2 MB", "2,000,000 bytes"},
		{"| key ", "2 KiB", "`MaxKeySizeKV`"},
		{"| value ", "128 KiB", "`MaxValueSizeKV`"},
		{"| storage of all objects |", "5 GB", "unlimited", "50 GB"},
		{"| Durable Object classes |", "100", "500"},
		{"| storage backends |", "SQLite only"},
		{"| CPU time |", "30 s", "5 min", "`limits.cpu_ms`", "300,000"},
		{"| columns of a table |", "100"},
		{"| string, BLOB or row |", "2 MB"},
		{"| statement |", "100 KB"},
		{"| bound parameters |", "100"},
		{"| arguments of a function |", "32", "127"},
		{"| pattern of LIKE or GLOB |", "50 bytes"},
		{"| received WebSocket message ", "32 MiB"},
		{"| requests per object |", "1,000 a second", "`ErrOverloaded`"},
		{"2026-07-09", "key-value"},
	} {
		if !slices.ContainsFunc(lines, func(line string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
		}) {
			t.Errorf("no line of docs/limits.md has all of %q", parts)
		}
	}
}
