package wrangler

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
	"github.com/tailscale/hujson"
)

// Position is a place in a file. Lines and columns count from 1, columns in bytes.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// positions says where the entries of a config stand, by path: keys and indexes joined by dots, such as
// "migrations.1.new_classes.0". A table or an array that has a key stands where the key does, everything else where its value does.
// What is null stands nowhere: to wrangler it is not there.
type positions map[string]Position

// find returns the place of an entry, or of the nearest one around it.
func (p positions) find(path string) Position {
	for path != "" {
		if at, ok := p[path]; ok {
			return at
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	return Position{1, 1}
}

// has reports whether there is an entry.
func (p positions) has(path string) bool {
	_, ok := p[path]
	return ok
}

// keys returns the keys directly under a path, in the order of the file.
func (p positions) keys(path string) []string {
	var keys []string
	for _, entry := range slices.Sorted(maps.Keys(p)) {
		if key, ok := strings.CutPrefix(entry, path+"."); ok && !strings.Contains(key, ".") {
			keys = append(keys, key)
		}
	}
	slices.SortStableFunc(keys, func(a, b string) int { return p[join(path, a)].compare(p[join(path, b)]) })
	return keys
}

func (p Position) compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// index collects positions.
type index struct {
	positions
	text   []byte
	arrays map[string]int // TOML's arrays of tables: how many tables there have been
}

func newIndex(text []byte) *index { return &index{positions{}, text, map[string]int{}} }

func (x *index) set(path string, offset int) {
	before := x.text[:offset]
	x.positions[path] = Position{1 + bytes.Count(before, []byte("\n")), offset - bytes.LastIndexByte(before, '\n')}
}

// jsonPositions indexes JSON with comments. What does not parse has no positions.
func jsonPositions(text []byte) positions {
	x := newIndex(text)
	if v, err := hujson.Parse(text); err == nil {
		x.json("", v)
	}
	return x.positions
}

func (x *index) json(path string, v hujson.Value) {
	switch v := v.Value.(type) {
	case *hujson.Object:
		for _, m := range v.Members {
			name, _ := m.Name.Value.(hujson.Literal)
			member := join(path, name.String())
			x.jsonEntry(member, m.Value, m.Name.StartOffset)
		}
	case *hujson.Array:
		for i, e := range v.Elements {
			x.jsonEntry(join(path, strconv.Itoa(i)), e, e.StartOffset)
		}
	}
}

// jsonEntry notes a value, which if it is an object or array stands at offset.
func (x *index) jsonEntry(path string, v hujson.Value, offset int) {
	switch v.Value.Kind() {
	case 'n':
		return
	case '{', '[':
		x.set(path, offset)
	default:
		x.set(path, v.StartOffset)
	}
	x.json(path, v)
}

// tomlPositions indexes TOML. What does not parse has no positions.
func tomlPositions(text []byte) positions {
	x := newIndex(text)
	p := unstable.Parser{}
	p.Reset(text)
	table := ""
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = x.header(e)
		case unstable.KeyValue:
			x.keyValue(table, e)
		}
	}
	return x.positions
}

// header notes the keys of a [table] or [[table]], and returns its path. A key of an array of tables means the latest table.
func (x *index) header(n *unstable.Node) string {
	path := ""
	for it := n.Key(); it.Next(); {
		key := it.Node()
		path = join(path, string(key.Data))
		x.first(path, key)
		isNew := n.Kind == unstable.ArrayTable && it.IsLast()
		if isNew {
			x.arrays[path]++
		}
		if tables := x.arrays[path]; tables > 0 {
			path = join(path, strconv.Itoa(tables-1))
		}
		if isNew {
			x.first(path, key)
		}
	}
	return path
}

func (x *index) keyValue(path string, n *unstable.Node) {
	for it := n.Key(); it.Next(); {
		path = join(path, string(it.Node().Data))
		x.first(path, it.Node())
	}
	x.toml(path, n.Value())
}

func (x *index) toml(path string, v *unstable.Node) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			x.keyValue(path, it.Node())
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			element := join(path, strconv.Itoa(i))
			x.first(element, it.Node())
			x.toml(element, it.Node())
		}
	default:
		x.set(path, int(v.Raw.Offset))
	}
}

// first notes where an entry stands that may be opened in several places. Arrays in arrays have no place of their own.
func (x *index) first(path string, n *unstable.Node) {
	if !x.has(path) && n.Kind != unstable.Array {
		x.set(path, int(n.Raw.Offset))
	}
}
