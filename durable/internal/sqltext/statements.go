package sqltext

import "strings"

// Statements returns the query without its empty parts, which SQLite's own
// shell and other drivers accept but workerd does not. It cuts off comments,
// space and semicolons after the last statement, and replaces the semicolons of
// empty statements by blanks. The rest keeps its position. text is empty if
// there is no statement. isMany reports whether there may be more than one;
// [Split] tells.
func Statements(query string) (text string, isMany bool) {
	var empty []int // semicolons
	end, ended, begun := 0, false, false
	for start, next := 0, 0; start < len(query); start = next {
		next = TokenEnd(query, start)
		switch {
		case IsBlank(query[start:next]):
		case query[start] == ';' && !begun:
			empty = append(empty, start)
		case query[start] == ';':
			ended, begun = true, false
		default:
			isMany = isMany || ended
			end, begun = next, true
		}
	}
	return blank(query[:end], empty), isMany
}

// blank returns text with spaces at the given positions, if it is long enough.
func blank(text string, at []int) string {
	if len(at) == 0 || at[0] >= len(text) {
		return text
	}
	b := []byte(text)
	for _, i := range at {
		if i < len(b) {
			b[i] = ' '
		}
	}
	return string(b)
}

// Split returns the statements of Statements' result. A trigger contains
// semicolons of its own. As in sqlite3_complete, it ends with a semicolon after
// an END that follows another semicolon.
func Split(text string) (list []string) {
	var s splitter
	begin, end := -1, 0 // of the statement
	for start, next := 0, 0; start < len(text); start = next {
		next = TokenEnd(text, start)
		switch token := text[start:next]; {
		case IsBlank(token):
		case token == ";" && begin >= 0 && s.ends():
			list = append(list, text[begin:end])
			begin, s = -1, splitter{}
		default:
			if begin < 0 {
				begin = start
			}
			end = next
			s.take(token)
		}
	}
	if begin >= 0 {
		list = append(list, text[begin:end])
	}
	return list
}

// splitter tracks whether a statement is a trigger, and the position in it.
type splitter struct {
	tokens    int
	isCreate  bool // CREATE or CREATE TEMP is all that there is so far
	isTrigger bool
	semicolon bool // the last token was one
	isEnd     bool // the last token was END, after one
}

// ends reports whether a semicolon ends the statement.
func (s *splitter) ends() bool { return !s.isTrigger || s.isEnd }

func (s *splitter) take(token string) {
	word := strings.ToUpper(token)
	if s.tokens++; s.tokens == 1 && word == "EXPLAIN" {
		s.tokens = 0 // what is explained begins
		return
	}
	s.isTrigger = s.isTrigger || s.isCreate && word == "TRIGGER"
	s.isCreate = s.tokens == 1 && word == "CREATE" ||
		s.isCreate && s.tokens == 2 && (word == "TEMP" || word == "TEMPORARY")
	s.isEnd = s.semicolon && word == "END"
	s.semicolon = word == ";"
}

// IsBlank reports whether a token is space, or a comment.
func IsBlank(token string) bool {
	switch token[0] {
	case ' ', '\t', '\n', '\f', '\r', '\v':
		return true // TokenEnd ends it after one byte
	case '-', '/':
		return strings.HasPrefix(token, "--") || strings.HasPrefix(token, "/*")
	}
	return false
}

// Verb returns the verb, in upper case, of the last statement of Statements'
// result, such as SELECT. It skips a WITH clause.
func Verb(text string) (verb string) {
	depth, with := 0, false
	for start, next := 0, 0; start < len(text); start = next {
		next = TokenEnd(text, start)
		switch token := text[start:next]; {
		case token == ";":
			verb, depth, with = "", 0, false
		case token == "(":
			depth++
		case token == ")":
			depth--
		case verb != "" || depth > 0 || !isWord(token[0]):
		case strings.EqualFold(token, "WITH"):
			with = true
		case !with || isVerb(strings.ToUpper(token)):
			verb = strings.ToUpper(token)
		}
	}
	return verb
}

// HasVerb reports whether the last statement of a query has this verb.
func HasVerb(query, verb string) bool {
	text, _ := Statements(query)
	return Verb(text) == verb
}

// isVerb reports whether a word may follow the tables of a WITH.
func isVerb(word string) bool {
	switch word {
	case "SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE":
		return true
	}
	return false
}

// IsWrite reports whether the statement inserts, updates or deletes rows, which
// SQLite's changes() counts.
func IsWrite(verb string) bool {
	switch verb {
	case "INSERT", "REPLACE", "UPDATE", "DELETE":
		return true
	}
	return false
}

// Parameters returns the numbers of the named parameters of the last statement
// of Statements' result, and the highest number.
func Parameters(text string) (names map[string]int, highest int) {
	last := lastStatement(text)
	names = map[string]int{}
	EachParameter(text[last:], func(number, start, end int) {
		if token := text[last+start : last+end]; token[0] != '?' {
			names[token] = number
		}
		highest = max(highest, number)
	})
	return names, highest
}

// lastStatement returns the start of the last statement.
func lastStatement(text string) (at int) {
	for start, next := 0, 0; start < len(text); start = next {
		next = TokenEnd(text, start)
		if text[start] == ';' {
			at = next
		}
	}
	return at
}
