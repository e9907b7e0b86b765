//go:build !js

package docs

import (
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	maxComment = 100 // columns; comments wrap at 80
	tabWidth   = 4
)

var (
	slashes = regexp.MustCompile(`^\s*//`)
	hash    = regexp.MustCompile(`^\s*#`)
	output  = regexp.MustCompile(`^\s*// (Unordered o|O)utput:`)
	// fileMark begins a file of a txtar archive. The script is before the first.
	fileMark = regexp.MustCompile(`(?m)^-- .+ --$`)
	onlyURL  = regexp.MustCompile(`^\s*(//|#) *\(?https?://\S+$`)
)

// TestCommentsFit finds comment lines that are too long. URLs, directives and
// lines of an example's output are exempt, because they cannot be wrapped.
func TestCommentsFit(t *testing.T) {
	out, err := exec.Command("git", "-C", "../..", "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if !slices.Contains([]string{".go", ".mjs", ".sh", ".txtar"}, filepath.Ext(name)) {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		files++
		for _, long := range longComments(name, text) {
			t.Error(long)
		}
	}
	if files < 100 {
		t.Errorf("only %d files were read", files)
	}
}

func TestLongCommentsAreFound(t *testing.T) {
	long := strings.Repeat("long ", 20)
	for name, c := range map[string]struct {
		file, text string
		want       int // line number; 0 for none
	}{
		"Go":              {"a.go", "package a\n\n// " + long + "\nvar x int\n", 3},
		"tabs count":      {"a.go", "package a\n\nfunc f() {\n\t\t// " + long[:90] + "\n}\n", 4},
		"JavaScript":      {"a.mjs", "  // " + long + "\n", 1},
		"shell":           {"a.sh", "true\n# " + long + "\n", 2},
		"a script":        {"a.txtar", "exec true\n# " + long + "\n-- a --\n", 2},
		"a script's file": {"a.txtar", "# short\n-- a --\n# " + long + "\n", 0},
		"short enough":    {"a.go", "package a\n\n// " + long[:97] + "\n", 0},
		"a raw string":    {"a.go", "package a\n\nvar x = `\n// " + long + "\n`\n", 0},
		"a URL":           {"a.go", "package a\n\n// https://" + strings.Repeat("x", 100) + "\n", 0},
		"text and a URL":  {"a.go", "package a\n\n// " + long[:50] + "https://" + strings.Repeat("x", 50) + "\n", 3},
		"an output":       {"a_test.go", "package a\n\n// Output:\n// " + long + "\n", 0},
		"after an output": {"a_test.go", "package a\n\n// Output:\n\n// " + long + "\n", 5},
		"a directive":     {"a.go", "package a\n\n//go:generate " + long + "\n", 0},
		"a line of code":  {"a.go", "package a\n\nvar x = \"" + long + "\" // why\n", 0},
		"letters of text": {"a.go", "package a\n\n// " + strings.Repeat("ä", 97) + "\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			if c.want != 0 {
				want = []string{fmt.Sprintf("%s:%d: ", c.file, c.want)}
			}
			got := longComments(c.file, []byte(c.text))
			if len(got) != len(want) || len(got) == 1 && !strings.HasPrefix(got[0], want[0]) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// longComments describes the comment lines of a file that are too long.
func longComments(name string, text []byte) []string {
	comments := slashes
	switch filepath.Ext(name) {
	case ".sh":
		comments = hash
	case ".txtar":
		comments = hash
		if at := fileMark.FindIndex(text); at != nil {
			text = text[:at[0]]
		}
	}
	var inGo map[int]bool
	if filepath.Ext(name) == ".go" {
		inGo = commentLines(text)
	}
	var long []string
	number, inOutput := 0, false
	for line := range bytes.Lines(text) {
		number++
		s := strings.TrimRight(string(line), "\n")
		width := utf8.RuneCountInString(s) + (tabWidth-1)*strings.Count(s, "\t")
		inOutput = comments.MatchString(s) && (inOutput || output.MatchString(s))
		switch {
		case width <= maxComment, inOutput, !comments.MatchString(s), inGo != nil && !inGo[number]:
		case onlyURL.MatchString(s), strings.HasPrefix(s, "//go:"):
		default:
			long = append(long, fmt.Sprintf("%s:%d: the comment has %d columns\nhint: wrap it at 80", name, number, width))
		}
	}
	return long
}

// commentLines returns the lines of a Go file on which a // comment begins.
// Lines of a raw string may only look like comments.
func commentLines(text []byte) map[int]bool {
	set := token.NewFileSet()
	file := set.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, scanner.ScanComments)
	lines := map[int]bool{}
	for {
		pos, tok, _ := s.Scan()
		if tok == token.EOF {
			return lines
		}
		if tok == token.COMMENT {
			lines[file.Line(pos)] = true
		}
	}
}
