package sqltext

import "strings"

// Names says where the names come from that a query, or a view, gives to
// columns: each has the names of columns that it is another name of, of which
// an expression is "". The keys are in lower case.
//
// max and min of a column are the column, because their value is one of it.
// What comes from the columns of a CTE by its list, and from subqueries as
// values, is an expression.
func Names(query string) map[string][]string {
	names := map[string][]string{}
	tokens := words(query)
	for i, token := range tokens {
		if !isName(token) || i == 0 {
			continue
		}
		hasAs := strings.EqualFold(tokens[i-1], "AS")
		before := tokens[:i] // what is named
		if hasAs {
			before = tokens[:i-1]
		} else if !endsItem(tokens[i+1:]) || !isName(tokens[i-1]) && tokens[i-1] != ")" {
			continue
		}
		source, isCast := sourceOf(before)
		isAlias := hasAs || source != "" || tokens[i-1] == ")" // else two words in an expression
		if isAlias && !isCast {
			alias := strings.ToLower(Unquote(token))
			names[alias] = append(names[alias], source)
		}
	}
	return names
}

// Source returns the column that the text of an expression stands for: the one
// that it is, or that it is max or min of. It is "" for others.
func Source(expression string) string {
	source, _ := sourceOf(append([]string{"SELECT"}, words(expression)...))
	return source
}

// words returns the tokens, without blanks. A quoted name is one of them.
func words(query string) (tokens []string) {
	for start, next := 0, 0; start < len(query); start = next {
		next = TokenEnd(query, start)
		if q := query[start]; q == '"' || q == '`' || q == '\'' {
			for next < len(query) && query[next] == q { // a doubled quote
				next = TokenEnd(query, next)
			}
		}
		if token := query[start:next]; !IsBlank(token) {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// sourceOf returns the column that the last item of a list is, "" for an
// expression; isCast where it is what a CAST casts.
func sourceOf(tokens []string) (source string, isCast bool) {
	n := len(tokens)
	if n == 0 {
		return "", false
	}
	if tokens[n-1] == ")" {
		open := n - 2
		for ; open > 0 && tokens[open] != "("; open-- {
		}
		column, rest := cutColumn(tokens[:n-1])
		if open < 1 || len(rest) != open+1 || !isEither(tokens[open-1], "MAX", "MIN") ||
			!startsItem(tokens[:open-1]) {
			return "", false
		}
		return column, false
	}
	column, rest := cutColumn(tokens)
	if len(rest) >= 2 && rest[len(rest)-1] == "(" && isEither(rest[len(rest)-2], "CAST") {
		return "", true
	}
	if !startsItem(rest) {
		return "", false
	}
	return column, false
}

// cutColumn cuts a column off, which may have the names of its table and schema
// before it.
func cutColumn(tokens []string) (column string, rest []string) {
	n := len(tokens)
	if n == 0 || !isName(tokens[n-1]) {
		return "", tokens
	}
	column, n = strings.ToLower(Unquote(tokens[n-1])), n-1
	for n >= 2 && tokens[n-1] == "." && isName(tokens[n-2]) {
		n -= 2
	}
	return column, tokens[:n]
}

// startsItem reports whether an item of a list follows.
func startsItem(tokens []string) bool {
	if len(tokens) == 0 {
		return false
	}
	return isEither(tokens[len(tokens)-1], ",", "(", "SELECT", "DISTINCT", "ALL", "RETURNING")
}

// endsItem reports whether an item of a list has ended.
func endsItem(tokens []string) bool {
	return len(tokens) == 0 ||
		isEither(tokens[0], ",", ")", ";", "FROM", "UNION", "EXCEPT", "INTERSECT")
}

func isEither(token string, words ...string) bool {
	for _, word := range words {
		if strings.EqualFold(token, word) {
			return true
		}
	}
	return false
}

// isName reports whether a token may be the name of a column.
func isName(token string) bool {
	switch c := token[0]; {
	case c == '"', c == '`', c == '[':
		return true
	case '0' <= c && c <= '9':
		return false
	default:
		return isWord(c) && !isEither(token, "SELECT", "DISTINCT", "ALL", "RETURNING", "FROM",
			"AS", "NULL", "END")
	}
}

// Unquote returns the name that a token is.
func Unquote(token string) string {
	if len(token) < 2 {
		return token
	}
	switch q := token[:1]; q {
	case `"`, "`":
		return strings.ReplaceAll(strings.TrimSuffix(token[1:], q), q+q, q)
	case "[":
		return strings.TrimSuffix(token[1:], "]")
	}
	return token
}

// Mentions reports whether a token of the query is this name.
func Mentions(query, name string) bool {
	for _, token := range words(query) {
		if strings.EqualFold(Unquote(token), name) {
			return true
		}
	}
	return false
}
