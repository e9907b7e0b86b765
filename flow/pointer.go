package flow

import (
	"strconv"
	"strings"
)

// isPointer reports whether text is a JSON pointer (RFC 6901) that leads
// somewhere below the root.
func isPointer(text string) bool {
	if !strings.HasPrefix(text, "/") || len(text) > MaxScopeSize {
		return false
	}
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "~")
		if !found {
			return true
		}
		if after == "" || after[0] != '0' && after[0] != '1' {
			return false
		}
		rest = after
	}
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// lookup follows a pointer into a decoded value.
func lookup(value any, pointer string) (any, bool) {
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = unescape.Replace(token)
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[token]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != token {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}
