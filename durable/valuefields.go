package durable

import (
	"reflect"
	"slices"
	"strings"
)

// field is one field of a struct, as encoding/json sees it.
type field struct {
	name      string // in JavaScript
	index     []int
	codec     *codec
	omitEmpty bool
	omitZero  bool
	quoted    bool // the tag's option string
	isTagged  bool
}

// structFields finds the fields of a struct, including those of embedded
// structs, by the rules of encoding/json: if several have one name, the least
// nested one counts, else the one that has its name from a tag, else none.
func (b codecBuilder) structFields(c *codec) {
	type level struct {
		t     reflect.Type
		index []int
	}
	var found []field
	var count, nextCount map[reflect.Type]int
	seen := map[reflect.Type]bool{}
	for next := []level{{c.t, nil}}; len(next) > 0; {
		current := next
		next, count, nextCount = nil, nextCount, map[reflect.Type]int{}
		for _, at := range current {
			if seen[at.t] {
				continue
			}
			seen[at.t] = true
			for i := range at.t.NumField() {
				sf := at.t.Field(i)
				f, isEmbedded, ok := newField(sf)
				if !ok {
					continue
				}
				f.index = append(slices.Clip(slices.Clone(at.index)), i)
				if !isEmbedded {
					f.codec = b.codec(sf.Type)
					f.checkQuoted(c)
					found = append(found, f)
					// the level has this struct type more than once, so its
					// fields hide one another
					if count[at.t] > 1 {
						found = append(found, f)
					}
					continue
				}
				t := behind(sf.Type)
				if isOpaque(b.codec(t)) {
					c.refuse(": the state of its embedded field " + sf.Name +
						" is not in exported fields; hint: give that a name, or a json tag")
				}
				if nextCount[t]++; nextCount[t] == 1 {
					next = append(next, level{t, f.index})
				}
			}
		}
	}
	c.fields = dominant(found)
	if len(c.fields) == 0 && hasHidden(c.t) {
		c.refuse(" has its state in unexported fields; hint: give it MarshalText and UnmarshalText")
	}
}

// newField reads a field's tag. If isEmbedded, its own fields replace it. If
// not ok, it is ignored.
func newField(sf reflect.StructField) (f field, isEmbedded, ok bool) {
	t := behind(sf.Type)
	tag := sf.Tag.Get("json")
	if tag == "-" || !sf.IsExported() && (!sf.Anonymous || t.Kind() != reflect.Struct) {
		return f, false, false
	}
	name, options, _ := strings.Cut(tag, ",")
	if !isTagName(name) {
		name = ""
	}
	f = field{name: name, isTagged: name != ""}
	for option := range strings.SplitSeq(options, ",") {
		f.omitEmpty = f.omitEmpty || option == "omitempty"
		f.omitZero = f.omitZero || option == "omitzero"
		f.quoted = f.quoted || option == "string"
	}
	if name == "" {
		f.name = sf.Name
	}
	return f, name == "" && sf.Anonymous && t.Kind() == reflect.Struct, true
}

func behind(t reflect.Type) reflect.Type {
	if t.Name() == "" && t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// isTagName reports whether a tag's name is valid; encoding/json ignores
// others. Beyond ASCII, encoding/json accepts letters and digits only, but
// isTagName accepts everything.
func isTagName(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == '"' || r == '\'' || r == '`' || r == '\\' || r == ',' || r == 0x7f
	})
}

// checkQuoted drops the option string if it has no meaning for the type.
func (f *field) checkQuoted(c *codec) {
	if !f.quoted {
		return
	}
	value := f.codec
	if t := value.t; t.Name() == "" && t.Kind() == reflect.Pointer && value.elem != nil {
		value = value.elem
	}
	switch value.form {
	case formBool, formInt, formUint, formFloat:
	case formString, formNumber:
		c.refuse(": the option string of field " + f.name + " has no meaning here, for text")
	default:
		f.quoted = false
	}
}

// isOpaque reports whether values of an embedded type would be lost, because no
// fields can replace it.
func isOpaque(c *codec) bool {
	if c.form != formStruct {
		return c.form != formRefused
	}
	return c.t.PkgPath() != "" && len(c.fields) == 0 && c.noEncode != "" && isExported(c.t.Name())
}

func isExported(name string) bool {
	return name != "" && !('a' <= name[0] && name[0] <= 'z' || name[0] == '_')
}

func hasHidden(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); !f.IsExported() && f.Name != "_" && f.Type.Size() > 0 {
			return true
		}
	}
	return false
}

// dominant leaves one field for each name, or none.
func dominant(found []field) []field {
	sortFields(found, byName)
	var fields []field
	for len(found) > 0 {
		n := 1
		for n < len(found) && found[n].name == found[0].name {
			n++
		}
		first := &found[0]
		if n == 1 || len(found[1].index) != len(first.index) ||
			found[1].isTagged != first.isTagged {
			fields = append(fields, *first)
		}
		found = found[n:]
	}
	sortFields(fields, func(a, b *field) bool { return slices.Compare(a.index, b.index) < 0 })
	return fields
}

// byName sorts fields by name, and the dominant field of each name first.
func byName(a, b *field) bool {
	if a.name != b.name {
		return a.name < b.name
	}
	if len(a.index) != len(b.index) {
		return len(a.index) < len(b.index)
	}
	return a.isTagged && !b.isTagged
}

// sortFields is a stable sort. Package slices' sort, compiled for this one
// type, would be a fifth of the code for values.
func sortFields(fields []field, less func(a, b *field) bool) {
	for i := range fields {
		for j := i; j > 0 && less(&fields[j], &fields[j-1]); j-- {
			fields[j], fields[j-1] = fields[j-1], fields[j]
		}
	}
}
