package wrangler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/tailscale/hujson"
)

// maxSize and maxDepth limit a config. Reading it takes time in proportion to
// its size, and stack in proportion to its depth. wrangler's own keys nest
// eight deep; the rest is for variables.
const (
	maxSize  = 1 << 20 // bytes
	maxDepth = 100     // of nested objects and arrays

	// An environment is checked with everything that it inherits from the top
	// level.
	maxEnvironments = 100
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// file is the text of a config.
type file struct {
	isTOML bool
	text   []byte // without the byte order mark, which editors do not count as a column
}

func readFile(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSize {
		return nil, fmt.Errorf("%s is larger than %d bytes, the limit for a config"+
			"\nhint: check that this is the wrangler config, and keep data out of it",
			path, maxSize)
	}
	c := &file{isTOML: filepath.Ext(path) == ".toml", text: bytes.TrimPrefix(b, byteOrderMark)}
	if at := c.tooDeep(); at >= 0 {
		return nil, fmt.Errorf("%s:%s: objects and arrays are nested more than %d deep"+
			"\nhint: keep deep data in a separate file, not in the config", path,
			newLineStarts(c.text).at(at), maxDepth)
	}
	return c, nil
}

// tooDeep returns the offset at which the text nests too deep, or -1. It knows
// only strings and comments, not the rest of the syntax. In TOML, each part of
// a dotted key is a level.
func (f *file) tooDeep() int {
	depth, dots := 0, 0
	for i := 0; i < len(f.text); i++ {
		switch c := f.text[i]; {
		case c == '"' || c == '\'' && f.isTOML:
			i = f.stringEnd(i)
		case c == '#' && f.isTOML, !f.isTOML && bytes.HasPrefix(f.text[i:], []byte("//")):
			i = f.find(i, "\n")
			dots = 0
		case !f.isTOML && bytes.HasPrefix(f.text[i:], []byte("/*")):
			i = f.find(i+2, "*/")
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth = max(depth-1, 0)
		case c == '.' && f.isTOML:
			dots++
		case c == '\n' || c == '=' || c == ',':
			dots = 0
		}
		if depth > maxDepth || dots > maxDepth {
			return i
		}
	}
	return -1
}

// find returns the offset at which the next occurrence of text after i ends, or
// the end of the file.
func (f *file) find(i int, text string) int {
	if n := bytes.Index(f.text[i:], []byte(text)); n >= 0 {
		return i + n + len(text) - 1
	}
	return len(f.text) - 1
}

// stringEnd returns the offset of the closing quote of the string that begins
// at i. If the string is not closed, it returns the end of the line.
func (f *file) stringEnd(i int) int {
	quote := f.text[i]
	triple := bytes.Repeat([]byte{quote}, 3)
	isLong := f.isTOML && bytes.HasPrefix(f.text[i:], triple)
	if isLong {
		i += 2
	}
	for i++; i < len(f.text); i++ {
		switch c := f.text[i]; {
		case c == '\\' && quote == '"':
			i++
		case isLong && bytes.HasPrefix(f.text[i:], triple):
			return i + 2
		case !isLong && (c == quote || c == '\n'):
			return i
		}
	}
	return len(f.text) - 1
}

// decode returns the config as maps, lists and values. Its error begins with
// line and column.
func (f *file) decode() (map[string]any, error) {
	if f.isTOML {
		return decodeTOML(f.text)
	}
	return decodeJSON(f.text)
}

func decodeTOML(b []byte) (map[string]any, error) {
	var raw map[string]any
	err := toml.Unmarshal(b, &raw)
	var decode *toml.DecodeError
	if !errors.As(err, &decode) {
		return raw, err
	}
	line, column := decode.Position()
	return nil, fmt.Errorf("%d:%d: %s", line, column, strings.TrimPrefix(decode.Error(), "toml: "))
}

// decodeJSON reads JSON with comments and trailing commas. It keeps numbers as
// they are written.
func decodeJSON(b []byte) (map[string]any, error) {
	plain, err := hujson.Standardize(b)
	if err != nil {
		var line, column int
		fmt.Sscanf(err.Error(), "hujson: line %d, column %d:", &line, &column)
		return nil, fmt.Errorf("%d:%d: %w", line, column, errors.Unwrap(err))
	}
	d := json.NewDecoder(bytes.NewReader(plain))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("1:1: %w", err)
	}
	raw, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("1:1: %s", wrongType("the config", v))
	}
	return raw, nil
}

// mismatchError is an error about a value of the wrong type for its key.
type mismatchError struct {
	path  string
	value any
}

func (e *mismatchError) Error() string {
	return wrongType(strings.ReplaceAll(e.path, separator, "."), e.value)
}

func wrongType(key string, value any) string {
	found := typeName(value)
	message := fmt.Sprintf("%s cannot be of type %s", key, found)
	if found == "local date" {
		message += "\nhint: put the date in quotes"
	}
	return message
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case bool:
		return "bool"
	case json.Number:
		return "number"
	case int64:
		return "integer"
	case float64:
		return "float"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case toml.LocalDate:
		return "local date"
	}
	return "date"
}

// assign stores a decoded value in d, using the keys in Config's tags. Keys are
// case-sensitive, as in wrangler. Null leaves d unchanged.
func assign(path string, d reflect.Value, v any) error {
	if v == nil {
		return nil
	}
	switch d.Kind() {
	case reflect.Interface:
		d.Set(reflect.ValueOf(v))
		return nil
	case reflect.Pointer:
		d.Set(reflect.New(d.Type().Elem()))
		return assign(path, d.Elem(), v)
	case reflect.String:
		if s, ok := v.(string); ok {
			d.SetString(s)
			return nil
		}
	case reflect.Float64:
		if n, ok := number(v); ok {
			d.SetFloat(n)
			return nil
		}
	case reflect.Slice:
		if list, ok := v.([]any); ok {
			return assignList(path, d, list)
		}
	case reflect.Map:
		if table, ok := v.(map[string]any); ok {
			return assignMap(path, d, table)
		}
	case reflect.Struct:
		if table, ok := v.(map[string]any); ok {
			return assignStruct(path, d, table)
		}
	}
	return &mismatchError{path, v}
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case json.Number:
		n, err := v.Float64()
		return n, err == nil
	}
	return 0, false
}

func assignList(path string, d reflect.Value, list []any) error {
	d.Set(reflect.MakeSlice(d.Type(), len(list), len(list)))
	for i, v := range list {
		if err := assign(join(path, strconv.Itoa(i)), d.Index(i), v); err != nil {
			return err
		}
	}
	return nil
}

func assignMap(path string, d reflect.Value, table map[string]any) error {
	d.Set(reflect.MakeMapWithSize(d.Type(), len(table)))
	for _, key := range sortedKeys(table) {
		value := reflect.New(d.Type().Elem()).Elem()
		if err := assign(join(path, key), value, table[key]); err != nil {
			return err
		}
		d.SetMapIndex(reflect.ValueOf(key), value)
	}
	return nil
}

func assignStruct(path string, d reflect.Value, table map[string]any) error {
	for i := range d.NumField() {
		key := d.Type().Field(i).Tag.Get("key")
		if key == "" {
			continue
		}
		if err := assign(join(path, key), d.Field(i), table[key]); err != nil {
			return err
		}
	}
	return nil
}
