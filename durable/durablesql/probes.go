package durablesql

import (
	"strings"

	"flow.internal/capdo/durable/internal/sqltext"
)

// sqliteVersion is the version in workerd 2026-11-17. A program cannot ask for
// it.
const sqliteVersion = "3.54.1"

// databases selects the result of PRAGMA database_list.
const databases = "SELECT 0 AS seq, 'main' AS name, '' AS file"

// answerProbe replaces queries by which libraries look up SQLite's version and
// the databases, because workerd refuses them. It returns other queries
// unchanged.
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
