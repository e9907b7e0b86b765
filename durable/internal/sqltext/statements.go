package sqltext

import "strings"

// Statements returns the query as SQLite's own shell and other drivers
// understand it, which workerd does not: comments, space and semicolons after
// the last statement are cut off, and the semicolons of empty statements are
// blanks. What is left is where it was. It is empty where the query has no
// statement; isMany says whether it may have more than one, as [Split] knows.
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

// blank returns text with spaces at these places, as far as it has them.
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

// Split returns the statements of Statements' result. A trigger has semicolons
// of its own, and ends with one that an END follows which follows another, as
// for sqlite3_complete.
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

// splitter knows of a statement whether it is a trigger, and where in it one
// is.
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
	return strings.TrimLeft(token, " \t\n\f\r\v") == "" || strings.HasPrefix(token, "--") ||
		strings.HasPrefix(token, "/*")
}

// Verb returns the word, in upper case, that says what the last statement of
// Statements' result does: that of the statement itself where it begins WITH.
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

// HasVerb reports whether the last statement of a query is of this verb.
func HasVerb(query, verb string) bool {
	text, _ := Statements(query)
	return Verb(text) == verb
}

// isVerb: what may come after the tables of a WITH.
func isVerb(word string) bool {
	switch word {
	case "SELECT", "VALUES", "INSERT", "REPLACE", "UPDATE", "DELETE":
		return true
	}
	return false
}

// IsWrite reports whether the statement inserts, updates or deletes rows, which
// is what SQLite's changes() counts.
func IsWrite(verb string) bool {
	switch verb {
	case "INSERT", "REPLACE", "UPDATE", "DELETE":
		return true
	}
	return false
}

// Parameters returns the numbers of the named parameters of the last statement
// of Statements' result, and its highest number.
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

// lastStatement returns where the last statement begins.
func lastStatement(text string) (at int) {
	for start, next := 0, 0; start < len(text); start = next {
		next = TokenEnd(text, start)
		if text[start] == ';' {
			at = next
		}
	}
	return at
}
