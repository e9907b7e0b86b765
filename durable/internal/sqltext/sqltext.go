// Package sqltext reads the text of SQL statements as far as it must be known
// before SQLite sees it: tokens, parameters, and where statements end.
package sqltext

import (
	"strconv"
	"strings"
)

// EachParameter calls fn with the parameters of a query, numbered from 1 in
// each of its statements, as SQLite does
// (https://www.sqlite.org/lang_expr.html#parameters): ? is one more than the
// highest number so far, ?5 is 5, and the first use of a name counts like a ?.
// It leaves out parameters that SQLite refuses.
func EachParameter(query string, fn func(number, start, end int)) {
	highest := 0
	var names map[string]int
	for start, end := 0, 0; start < len(query); start = end {
		end = TokenEnd(query, start)
		text, number := query[start:end], 0
		switch query[start] {
		case ';': // also one in a trigger, where there are no parameters
			highest, names = 0, nil
			continue
		case '?':
			number = highest + 1
			if text != "?" {
				n, err := strconv.ParseUint(text[1:], 10, 16)
				if number = int(n); err != nil || n == 0 {
					continue
				}
			}
		case ':', '@', '$':
			if len(text) == 1 {
				continue
			}
			if number = names[text]; number == 0 {
				if names == nil {
					names = map[string]int{}
				}
				number = highest + 1
				names[text] = number
			}
		default:
			continue
		}
		highest = max(highest, number)
		fn(number, start, end)
	}
}

// TokenEnd returns the end of the token that begins at i, or of half a token.
// It follows sqlite3GetToken in SQLite's tokenize.c.
func TokenEnd(q string, i int) int {
	switch c := q[i]; {
	case strings.HasPrefix(q[i:], "--"):
		return after(q, i+2, "\n")
	case strings.HasPrefix(q[i:], "/*"):
		return after(q, i+2, "*/")
	case c == '\'' || c == '"' || c == '`': // a doubled quote ends one token and begins another
		return after(q, i+1, q[i:i+1])
	case c == '[':
		return after(q, i+1, "]")
	case c == '?':
		for i++; i < len(q) && '0' <= q[i] && q[i] <= '9'; i++ {
		}
		return i
	case c == ':' || c == '@' || c == '$' || c == '#':
		return nameEnd(q, i+1)
	case isWord(c):
		for i++; i < len(q) && isWord(q[i]); i++ {
		}
		return i
	}
	return i + 1
}

// nameEnd returns the end of a parameter's name, which may be like $a::b(c).
func nameEnd(q string, i int) int {
	for first := i; i < len(q); {
		switch {
		case isWord(q[i]):
			i++
		case strings.HasPrefix(q[i:], "::"):
			i += 2
		case q[i] == '(' && i > first:
			n := strings.IndexAny(q[i:], ") \t\n\f\r")
			if n < 0 {
				return len(q)
			}
			return i + n + 1
		default:
			return i
		}
	}
	return i
}

// after returns the end of the next occurrence of s, or of q.
func after(q string, i int, s string) int {
	if n := strings.Index(q[i:], s); n >= 0 {
		return i + n + len(s)
	}
	return len(q)
}

// isWord reports whether a byte can be part of a name, a keyword or a number.
func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' ||
		c == '$' || c >= 0x80
}
