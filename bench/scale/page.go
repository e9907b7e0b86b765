//go:build !js

package main

import (
	"bytes"
	"fmt"
	"strings"
)

// Table is a table of docs/scale.md. It follows a line <!-- scale: NAME -->.
type Table struct {
	Name string
	Head []string
	Rows [][]string
}

func (t *Table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Markdown returns the table. All columns but the first have numbers.
func (t *Table) Markdown() string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(t.Head)
	b.WriteString("|---|" + strings.Repeat("---:|", len(t.Head)-1) + "\n")
	for _, row := range t.Rows {
		line(row)
	}
	return b.String()
}

func mark(name string) string { return "<!-- scale: " + name + " -->\n" }

// find returns the page before and after a table: the lines that begin with |
// after its mark.
func find(page []byte, name string) (head, table, tail []byte, ok bool) {
	head, tail, ok = bytes.Cut(page, []byte(mark(name)))
	n := 0
	for line := range bytes.Lines(tail) {
		if line[0] != '|' {
			break
		}
		n += len(line)
	}
	return head, tail[:n], tail[n:], ok
}

// update puts the tables into the page. It fails unless the page has a place
// for each, and none for others.
func update(page []byte, tables []*Table) ([]byte, error) {
	for _, t := range tables {
		head, _, tail, ok := find(page, t.Name)
		if !ok {
			return nil, fmt.Errorf("the page has no place for the table %s", t.Name)
		}
		page = bytes.Join([][]byte{head, []byte(mark(t.Name) + t.Markdown()), tail}, nil)
	}
	if n := bytes.Count(page, []byte("<!-- scale: ")); n != len(tables) {
		return nil, fmt.Errorf("the page has places for %d tables, not %d", n, len(tables))
	}
	return page, nil
}
