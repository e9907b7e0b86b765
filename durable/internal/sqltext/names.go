package sqltext

import "strings"

// Names returns, for each name that a query or a view gives to columns, the
// names of the columns behind it; "" stands for an expression. The keys are in
// lower case.
//
// max and min of a column count as the column, because their value is one of
// its values. A column named by a CTE's list, or that a subquery computes as a
// value, counts as an expression.
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

// Source returns the column that an expression consists of, alone or in max or
// min. It is "" for other expressions.
func Source(expression string) string {
	source, _ := sourceOf(append([]string{"SELECT"}, words(expression)...))
	return source
}

// words returns the tokens, without blanks. A quoted name is one token.
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

// sourceOf returns the column that the last item of a list consists of, or ""
// for an expression. isCast reports whether the item is the operand of a CAST.
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

// cutColumn cuts off a column, with the names of its table and schema if they
// precede it.
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

// Unquote returns the name that a token stands for.
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

// Mentions reports whether a token of the query is the name.
func Mentions(query, name string) bool {
	for _, token := range words(query) {
		if strings.EqualFold(Unquote(token), name) {
			return true
		}
	}
	return false
}
