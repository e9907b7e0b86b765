// Package jsname checks the names of classes and methods in JavaScript modules.
package jsname

// IsIdentifier reports whether s is a JavaScript identifier in ASCII.
func IsIdentifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r == '$' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// IsReserved reports whether no class can be exported under the name. The
// reserved words of modules are not possible. "default" is the Worker itself. A
// module that exports "then" is taken for a promise. wrangler keeps exports in
// tables in which "__proto__" cannot be an own property.
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
