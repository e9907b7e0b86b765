//go:build !js

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// page is a Markdown file.
type page struct {
	path   string // relative to the repository's root
	text   string
	blocks []block
}

// block is a fenced block, with the HTML comment before it:
//
//	<!-- not run: why -->        it is not executed; the test has a list of these
//	<!-- file: main.go -->       it is written to that file, in the shell's folder
//	<!-- from: docs/x/y.go -->   it is an excerpt of that file, which is tested
//	<!-- classes: A, B -->       a wrangler config of a program with these classes
//	<!-- fails -->               its last command ends with an error
type block struct {
	line     int // of the fence
	indent   string
	language string
	text     string
	notes    map[string]string
}

var (
	comment = regexp.MustCompile(`^\s*<!-- ([a-z ]+?)(?:: (.*))? -->\s*$`)
	fence   = regexp.MustCompile("^(\\s*)```(.*)$")
)

// known are the kinds of comments before a block. Other comments, and comments
// without a block, are mistakes.
var known = map[string]bool{"not run": true, "file": true, "from": true, "classes": true, "fails": true}

// readPages returns README.md and all pages in docs.
func readPages(t *testing.T, root string) (pages []*page) {
	t.Helper()
	paths := []string{"README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			rel, err := filepath.Rel(root, f)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, filepath.ToSlash(rel))
		}
	}
	for _, path := range paths {
		b, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		p, err := parse(path, string(b))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, p)
	}
	return pages
}

// parse finds the blocks of a page.
func parse(path, text string) (*page, error) {
	p := &page{path: path, text: text}
	notes := map[string]string{}
	var open *block
	for n, line := range strings.Split(text, "\n") {
		f, c := fence.FindStringSubmatch(line), comment.FindStringSubmatch(line)
		switch {
		case open != nil && f != nil && f[2] == "":
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, open.indent) + "\n"
		case f != nil:
			open = &block{line: n + 1, indent: f[1], language: f[2], notes: notes}
			notes = map[string]string{}
		case c != nil && c[1] == "scale": // the table after it is bench/scale's
		case c != nil && !known[c[1]]:
			return nil, fmt.Errorf("%s:%d: unknown comment: %s", path, n+1, line)
		case c != nil:
			notes[c[1]] = c[2]
		case len(notes) > 0:
			return nil, fmt.Errorf("%s:%d: no block follows the comment", path, n)
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: the block does not end", path, open.line)
	}
	return p, nil
}

// prose returns the page's lines outside of blocks. Lines inside are empty.
func (p *page) prose() []string {
	lines := strings.Split(p.text, "\n")
	inside := false
	for i, line := range lines {
		f := fence.MatchString(line)
		if f || inside {
			lines[i] = ""
		}
		if f {
			inside = !inside
		}
	}
	return lines
}

func TestBlocksAreFound(t *testing.T) {
	p, err := parse("x.md", "a\n<!-- file: main.go -->\n```go\npackage main\n```\n1. b\n   ```sh\n   ls  # x\n   ```\n")
	if err != nil || len(p.blocks) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if b := p.blocks[0]; b.language != "go" || b.text != "package main\n" || b.notes["file"] != "main.go" || b.line != 3 {
		t.Errorf("%+v", b)
	}
	if b := p.blocks[1]; b.language != "sh" || b.text != "ls  # x\n" || len(b.notes) != 0 {
		t.Errorf("%+v", b)
	}
	for _, text := range []string{"```sh\nls\n", "<!-- file: x -->\nprose\n", "<!-- skip: x -->\n```sh\n```\n"} {
		if _, err := parse("x.md", text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
