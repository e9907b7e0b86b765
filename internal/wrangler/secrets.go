package wrangler

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Secrets returns the variables that wrangler dev adds to those of the config.
// It reads .dev.vars.NAME beside the config, or .dev.vars if that does not
// exist. If the config lists its secrets, other variables are left out.
func (c *Config) Secrets(name string) (map[string]string, error) {
	path := filepath.Join(filepath.Dir(c.Path), ".dev.vars")
	b, err := os.ReadFile(path + "." + name)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = os.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	vars := parseVars(string(b))
	if table, ok := c.raw["secrets"].(map[string]any); ok {
		required := stringsOf(table["required"], "")
		for key := range vars {
			if _, isVar := c.Vars[key]; !isVar && !slices.Contains(required, key) {
				delete(vars, key)
			}
		}
	}
	return vars, nil
}

// variable matches a line in the syntax of the npm package dotenv 16, which
// wrangler uses to read .dev.vars. A quoted value may span several lines.
var variable = regexp.MustCompile("(?m)^\\s*(?:export\\s+)?([\\w.-]+)(?:\\s*=\\s*?|:\\s+?)(\\s*'(?:\\\\'|[^'])*'|\\s*\"(?:\\\\\"|[^\"])*\"|\\s*`(?:\\\\`|[^`])*`|[^#\\r\\n]+)?\\s*(?:#.*)?$")

func parseVars(text string) map[string]string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(text,
		string(byteOrderMark)))
	vars := map[string]string{}
	for _, m := range variable.FindAllStringSubmatch(text, -1) {
		vars[m[1]] = unquote(strings.TrimSpace(m[2]))
	}
	return vars
}

func unquote(s string) string {
	if s == "" || !strings.ContainsRune("'\"`", rune(s[0])) {
		return s
	}
	quote := s[0]
	if len(s) > 1 && s[len(s)-1] == quote {
		s = s[1 : len(s)-1]
	}
	if quote == '"' {
		s = strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(s)
	}
	return s
}
