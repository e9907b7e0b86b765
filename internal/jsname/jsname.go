// Package jsname knows the names that classes and methods can have in
// JavaScript modules.
package jsname

// IsIdentifier reports whether JavaScript takes s for an identifier, in ASCII.
func IsIdentifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r == '$' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// IsReserved reports whether no class can be exported under the name: it is a
// reserved word of modules; default is the Worker itself; a module with an
// export then is taken for a promise; and __proto__ is no property of its own
// in the tables that wrangler keeps of exports.
func IsReserved(s string) bool {
	switch s {
	case "break", "case", "catch", "class", "const", "continue", "debugger", "default", "delete", "do", "else", "enum", "export", "extends",
		"false", "finally", "for", "function", "if", "import", "in", "instanceof", "new", "null", "return", "super", "switch", "this", "throw",
		"true", "try", "typeof", "var", "void", "while", "with", "yield",
		"await", "implements", "interface", "let", "package", "private", "protected", "public", "static",
		"arguments", "eval", "then", "__proto__":
		return true
	}
	return false
}
