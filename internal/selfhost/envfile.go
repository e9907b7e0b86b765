package selfhost

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// ReadEnvFile reads lines NAME=value. It skips blank lines and lines that begin
// with #, and accepts "export " before the name. A value in double quotes may
// contain \n, \", and \\. A value in single quotes is taken literally. An
// unquoted value ends at the end of the line, or at a # after a space.
// Variables in values are not expanded.
func ReadEnvFile(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: set --env-file to a file with lines NAME=value", err)
	}
	vars := map[string]string{}
	for n, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		name = strings.TrimSpace(name)
		if ok {
			value, ok = unquote(strings.TrimSpace(value))
		}
		if !ok || !variable.MatchString(name) { // the line is not shown, because it may be a secret
			return nil, fmt.Errorf("%s:%d: this is not NAME=value"+
				"\nhint: put a value with quotes or # into single quotes, "+
				"and a value with line breaks into double quotes, as \\n", path, n+1)
		}
		vars[name] = value
	}
	return vars, nil
}

func unquote(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	if q := s[0]; q == '"' || q == '\'' {
		return unquoteBy(s[1:], q)
	}
	if i := strings.Index(s, " #"); i >= 0 {
		s = strings.TrimSpace(s[:i])
	}
	return s, true
}

// unquoteBy reads up to the closing quote. Only a comment may follow.
func unquoteBy(s string, quote byte) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == quote:
			rest := strings.TrimSpace(s[i+1:])
			return b.String(), rest == "" || rest[0] == '#'
		case c == '\\' && quote == '"' && i+1 < len(s):
			i++
			escaped, ok := map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '"': '"',
				'\\': '\\'}[s[i]]
			if !ok {
				return "", false
			}
			b.WriteByte(escaped)
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
