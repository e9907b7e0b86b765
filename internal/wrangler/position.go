package wrangler

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
	"github.com/tailscale/hujson"
)

// Position is a position in a file. Lines and columns count from 1; columns are
// in bytes.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// String returns the position in the form of compilers.
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

func (p Position) compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// separator separates the keys and indexes of a path, such as migrations, 1,
// new_classes, 0. A key that contains it is not found; its entries get the
// position of the enclosing entry.
const separator = "\x00"

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + separator + key
}

// joined returns the path of keys and indexes.
func joined(parts ...any) string {
	path := ""
	for _, part := range parts {
		path = join(path, fmt.Sprint(part))
	}
	return path
}

// positions holds the positions of a config's entries. A table or an array
// under a key has the position of the key; any other entry has the position of
// its value. null has no position, because wrangler ignores it.
type positions struct {
	at       Position
	isThere  bool
	children map[string]*positions
	tables   int // of a TOML array of tables: the number of tables so far
}

// child returns an entry, and creates it if necessary.
func (p *positions) child(key string) *positions {
	c := p.children[key]
	if c == nil {
		c = &positions{}
		if p.children == nil {
			p.children = map[string]*positions{}
		}
		p.children[key] = c
	}
	return c
}

// look follows a path as far as it exists.
func (p *positions) look(path string) (nearest *positions, isWhole bool) {
	for nearest = p; path != ""; {
		key, rest, _ := strings.Cut(path, separator)
		if p = p.children[key]; p == nil {
			return nearest, false
		}
		if p.isThere {
			nearest = p
		}
		path = rest
	}
	return nearest, nearest == p
}

// find returns the position of an entry, or of the nearest enclosing one.
func (p *positions) find(path string) Position {
	if nearest, _ := p.look(path); nearest.isThere {
		return nearest.at
	}
	return Position{1, 1}
}

// has reports whether an entry exists.
func (p *positions) has(path string) bool {
	_, isWhole := p.look(path)
	return isWhole
}

// keys returns the keys directly under a path, in the order of the file.
func (p *positions) keys(path string) []string {
	entry, isWhole := p.look(path)
	if !isWhole {
		return nil
	}
	var keys []string
	for _, key := range sortedKeys(entry.children) {
		if entry.children[key].isThere {
			keys = append(keys, key)
		}
	}
	slices.SortStableFunc(keys,
		func(a, b string) int { return entry.children[a].at.compare(entry.children[b].at) })
	return keys
}

// lineStarts are the offsets at which the lines of a text begin.
type lineStarts []int

func newLineStarts(text []byte) lineStarts {
	l := lineStarts{0}
	for i, c := range text {
		if c == '\n' {
			l = append(l, i+1)
		}
	}
	return l
}

func (l lineStarts) at(offset int) Position {
	n, _ := slices.BinarySearch(l, offset+1) // lines that begin at offset or before
	return Position{n, offset - l[n-1] + 1}
}

// index collects positions.
type index struct {
	root  positions
	lines lineStarts
}

func (x *index) set(p *positions, offset int) { p.at, p.isThere = x.lines.at(offset), true }

// positions indexes the config. If the config does not parse, there are no
// positions.
func (f *file) positions() *positions {
	x := &index{lines: newLineStarts(f.text)}
	if f.isTOML {
		x.tomlFile(f.text)
	} else if v, err := hujson.Parse(f.text); err == nil {
		x.json(&x.root, v)
	}
	return &x.root
}

func (x *index) json(p *positions, v hujson.Value) {
	switch v := v.Value.(type) {
	case *hujson.Object:
		for _, m := range v.Members {
			name, _ := m.Name.Value.(hujson.Literal)
			delete(p.children, name.String()) // if a key is given twice, the last one counts
			x.jsonEntry(p.child(name.String()), m.Value, m.Name.StartOffset)
		}
	case *hujson.Array:
		for i, e := range v.Elements {
			x.jsonEntry(p.child(strconv.Itoa(i)), e, e.StartOffset)
		}
	}
}

// jsonEntry records a value. An object or array has the position offset.
func (x *index) jsonEntry(p *positions, v hujson.Value, offset int) {
	switch v.Value.Kind() {
	case 'n':
		return
	case '{', '[':
		x.set(p, offset)
	default:
		x.set(p, v.StartOffset)
	}
	x.json(p, v)
}

func (x *index) tomlFile(text []byte) {
	p := unstable.Parser{}
	p.Reset(text)
	table := &x.root
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = x.header(e)
		case unstable.KeyValue:
			x.keyValue(table, e)
		}
	}
}

// header records the keys of a [table] or [[table]] and returns its entry. A
// key of an array of tables refers to the latest table.
func (x *index) header(n *unstable.Node) *positions {
	p := &x.root
	for it := n.Key(); it.Next(); {
		key := it.Node()
		p = p.child(string(key.Data))
		x.first(p, key)
		isNew := n.Kind == unstable.ArrayTable && it.IsLast()
		if isNew {
			p.tables++
		}
		if p.tables > 0 {
			p = p.child(strconv.Itoa(p.tables - 1))
		}
		if isNew {
			x.first(p, key)
		}
	}
	return p
}

func (x *index) keyValue(p *positions, n *unstable.Node) {
	for it := n.Key(); it.Next(); {
		p = p.child(string(it.Node().Data))
		x.first(p, it.Node())
	}
	x.toml(p, n.Value())
}

func (x *index) toml(p *positions, v *unstable.Node) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			x.keyValue(p, it.Node())
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			element := p.child(strconv.Itoa(i))
			x.first(element, it.Node())
			x.toml(element, it.Node())
		}
	default:
		x.set(p, int(v.Raw.Offset))
	}
}

// first records the first position of an entry that may be opened in several
// places. Arrays in arrays have no position.
func (x *index) first(p *positions, n *unstable.Node) {
	if !p.isThere && n.Kind != unstable.Array {
		x.set(p, int(n.Raw.Offset))
	}
}
