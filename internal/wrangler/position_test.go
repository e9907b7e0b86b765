//go:build !js

package wrangler

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// marked removes the marks, such as «name», from a text. It returns the rest,
// and the position of each mark. A mark names the path of the entry that begins
// there.
func marked(t *testing.T, text string) (string, map[string]Position) {
	t.Helper()
	var plain strings.Builder
	at, line, column := map[string]Position{}, 1, 1
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "«"); ok {
			path, after, _ := strings.Cut(rest, "»")
			at[path] = Position{line, column}
			text = after
			continue
		}
		if text[0] == '\n' {
			line, column = line+1, 0
		}
		column++
		plain.WriteByte(text[0])
		text = text[1:]
	}
	return plain.String(), at
}

// flat returns the entries by their dotted paths.
func flat(path string, p *positions) map[string]Position {
	all := map[string]Position{}
	for key, c := range p.children {
		at := strings.TrimPrefix(path+"."+key, ".")
		if c.isThere {
			all[at] = c.at
		}
		maps.Copy(all, flat(at, c))
	}
	return all
}

func TestEveryEntryHasAPosition(t *testing.T) {
	tests := []struct{ name, file, text string }{
		{"JSONC with comments", "wrangler.jsonc", `{
  // the name
  "name": «name»"hello", /* so */ "flags": «flags»true,
  «migrations»"migrations": [
    «migrations.0»{ "tag": «migrations.0.tag»"v1", «migrations.0.new_classes»"new_classes": [«migrations.0.new_classes.0»"A",
      «migrations.0.new_classes.1»"B"] },
  ],
  «exports»"exports": { «exports.A»"A": {} },
  "main": null,
}`},
		{"TOML with tables", "wrangler.toml", `# the name
name = «name»"hello"
«limits»limits.cpu_ms = «limits.cpu_ms»300_000
[[«migrations»«migrations.0»migrations]]
tag = «migrations.0.tag»"v1"
«migrations.0.new_classes»new_classes = [ «migrations.0.new_classes.0»'A',
  # another
  «migrations.0.new_classes.1»"B" ]
[[«migrations.1»migrations]]
tag = «migrations.1.tag»"v2"
[[migrations.«migrations.1.renamed_classes»«migrations.1.renamed_classes.0»renamed_classes]]
from = «migrations.1.renamed_classes.0.from»"A"
[«exports»exports.«exports.C»C]
type = «exports.C.type»"durable-object"
[«env»env.«env.test»test]
[[env.test.«env.test.migrations»«env.test.migrations.0»migrations]]
tag = «env.test.migrations.0.tag»"t1"
`},
		{"TOML with inline tables", "wrangler.toml", `«durable_objects»durable_objects.«durable_objects.bindings»bindings = [
  «durable_objects.bindings.0»{ name = «durable_objects.bindings.0.name»"A", class_name = «durable_objects.bindings.0.class_name»"B" },
]
«pairs»pairs = [[«pairs.0.0»1, «pairs.0.1»2]]
since = «since»2026-11-01
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, want := marked(t, tt.text)
			f := &file{isTOML: strings.HasSuffix(tt.file, ".toml"), text: []byte(text)}
			if diff := cmp.Diff(want, flat("", f.positions())); diff != "" {
				t.Errorf("(-want +got)\n%s\n%s", diff, text)
			}
		})
	}
}

func TestPositionOfAMissingEntry(t *testing.T) {
	p := (&file{text: []byte("{\n  \"exports\": {\n    \"A\": { \"type\": \"x\" }\n  }\n}")}).positions()
	tests := []struct{ path, want string }{
		{"exports.A.type", "3:20"},
		{"exports.A.storage", "3:5"},
		{"exports.B.storage.deep", "2:3"},
		{"migrations.0", "1:1"},
		{"", "1:1"},
	}
	for _, tt := range tests {
		at := p.find(strings.ReplaceAll(tt.path, ".", separator))
		if got := fmt.Sprintf("%d:%d", at.Line, at.Column); got != tt.want {
			t.Errorf("%s is at %s, want %s", tt.path, got, tt.want)
		}
	}
}

func TestWhatDoesNotParseHasNoPositionsToTrip(t *testing.T) {
	for _, text := range []string{"", "{", "[[", "a = ", "{\"a\": [", "\xff"} {
		(&file{text: []byte(text)}).positions()
		(&file{isTOML: true, text: []byte(text)}).positions()
	}
}

func FuzzPositions(f *testing.F) {
	f.Add(fullTOML)
	f.Add(fullJSONC)
	f.Fuzz(func(t *testing.T, text string) {
		for _, isTOML := range []bool{false, true} {
			file := &file{isTOML: isTOML, text: []byte(text)}
			if len(text) > 1000 || file.tooDeep() >= 0 {
				continue
			}
			for path, at := range flat("", file.positions()) {
				if at.Line < 1 || at.Column < 1 || at.Line > 1+strings.Count(text, "\n") {
					t.Errorf("%q stands at %v", path, at)
				}
			}
		}
	})
}
