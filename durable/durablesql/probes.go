package durablesql

import (
	"strings"

	"flow.internal/capdo/durable/internal/sqltext"
)

// sqliteVersion is that of workerd 2026-11-17, which does not let a program
// ask.
const sqliteVersion = "3.54.1"

// databases is what PRAGMA database_list would return.
const databases = "SELECT 0 AS seq, 'main' AS name, '' AS file"

// answerProbe returns the query, or another in place of one that libraries find
// out with what SQLite and which databases there are, and that workerd refuses.
func answerProbe(query string) string {
	switch lower := strings.ToLower(query); {
	case strings.Contains(lower, "sqlite_version"):
		return answerVersion(query)
	case strings.Contains(lower, "database_list"):
		return answerDatabases(query)
	}
	return query
}

func answerVersion(query string) string {
	name, isProbe := strings.CutPrefix(normal(query), "select sqlite_version()")
	switch {
	case isProbe && name == "":
		return "SELECT '" + sqliteVersion + `' AS "sqlite_version()"`
	case isProbe && strings.HasPrefix(name, " as "):
		return "SELECT '" + sqliteVersion + "'" + name
	}
	return query
}

func answerDatabases(query string) string {
	if normal(query) == "pragma database_list" {
		return databases
	}
	var b strings.Builder
	for start, next := 0, 0; start < len(query); start = next {
		next = sqltext.TokenEnd(query, start)
		if token := query[start:next]; !strings.EqualFold(token, "pragma_database_list") {
			b.WriteString(token)
			continue
		}
		b.WriteString("(" + databases + ")")
		if strings.HasPrefix(query[next:], "()") {
			next += len("()")
		}
	}
	return b.String()
}

// normal returns a query in lower case, with single spaces.
func normal(query string) string {
	text, _ := sqltext.Statements(query)
	return strings.ToLower(strings.Join(strings.Fields(text), " "))
}
