//go:build !js

package main

import (
	"bytes"
	"fmt"
	"strings"
)

// Table is a table of docs/scale.md, between <!-- scale: NAME --> and
// <!-- end -->.
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

const endMark = "<!-- end -->"

func mark(name string) string { return "<!-- scale: " + name + " -->\n" }

// block returns what the page has for a table; "" if it has no such table.
func block(page []byte, name string) string {
	_, after, _ := strings.Cut(string(page), mark(name))
	text, _, _ := strings.Cut(after, endMark)
	return text
}

// update puts the tables into the page. It fails unless the page has a place
// for each, and none for others.
func update(page []byte, tables []*Table) ([]byte, error) {
	for _, t := range tables {
		head, after, ok := bytes.Cut(page, []byte(mark(t.Name)))
		_, tail, ends := bytes.Cut(after, []byte(endMark))
		if !ok || !ends {
			return nil, fmt.Errorf("the page has no place for the table %s", t.Name)
		}
		page = bytes.Join([][]byte{head, []byte(mark(t.Name) + t.Markdown() + endMark), tail}, nil)
	}
	if n := bytes.Count(page, []byte("<!-- scale: ")); n != len(tables) {
		return nil, fmt.Errorf("the page has places for %d tables, not %d", n, len(tables))
	}
	return page, nil
}
