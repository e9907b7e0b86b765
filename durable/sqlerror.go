package durable

import (
	"cmp"
	"strconv"
	"strings"
)

// SQLError is an error of SQLite (https://www.sqlite.org/rescode.html). It
// matches [ErrConstraint] if its Code is SQLITE_CONSTRAINT, and [ErrLimit] if a
// limit is exceeded. It wraps an [*Error].
type SQLError struct {
	// Message is SQLite's, without codes and offset. It may quote the
	// statement, but not its arguments.
	Message string
	Code    string // such as "SQLITE_CONSTRAINT"
	// Extended is the extended code, such as "SQLITE_CONSTRAINT_UNIQUE". It
	// equals Code if SQLite gives no extended code.
	Extended   string
	Constraint Constraint // which kind of constraint is violated, if one is
	// Offset is the position of the error in the failed statement, in
	// bytes; -1 if unknown.
	Offset int

	js   *Error
	kind error
}

// Constraint is a kind of constraint.
type Constraint string

// Kinds of constraints, as SQLite's extended codes name them
// (https://www.sqlite.org/rescode.html#constraint_check).
const (
	ConstraintCheck      Constraint = "CHECK"
	ConstraintDataType   Constraint = "DATATYPE" // of a STRICT table
	ConstraintForeignKey Constraint = "FOREIGNKEY"
	ConstraintNotNull    Constraint = "NOTNULL"
	ConstraintPrimaryKey Constraint = "PRIMARYKEY"
	ConstraintRowID      Constraint = "ROWID"
	ConstraintTrigger    Constraint = "TRIGGER" // RAISE in a trigger
	ConstraintUnique     Constraint = "UNIQUE"
)

// Error returns SQLite's message with the extended code.
func (e *SQLError) Error() string {
	s := e.Message
	if e.Offset >= 0 {
		s += " at offset " + strconv.Itoa(e.Offset)
	}
	return s + ": " + e.Extended
}

// Unwrap returns the [*Error], and the sentinel that the error matches, if any.
func (e *SQLError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.js}
	}
	return []error{e.kind, e.js}
}

// sqlLimits are SQLite's messages for exceeded limits that have no code of
// their own. Texts as of workerd 2026-11-17.
var sqlLimits = []string{
	"too many SQL variables",
	"variable number must be between",
	"too many columns",
	"LIKE or GLOB pattern too complex",
	"too many arguments on function",
	"too many terms in compound SELECT",
	"Expression tree is too large",
}

// classifySQL is the part of classify for errors of SQLite. It is set on the
// first use of SQL, so that programs without SQL do not link it.
var classifySQL func(*Error) error

func sqlError(js *Error) error {
	if e := parseSQLError(js); e != nil {
		return e
	}
	return js
}

// parseSQLError parses workerd's form of an error of SQLite, "message at offset
// 1: SQLITE_CODE (extended: SQLITE_CODE_MORE)". Offset and extended code may be
// missing. It returns nil for other errors.
func parseSQLError(js *Error) *SQLError {
	text, extended := js.Message, ""
	if before, code, ok := cutLast(strings.TrimSuffix(text, ")"), " (extended: "); ok &&
		isSQLCode(code) {
		text, extended = before, code
	}
	message, code, ok := cutLast(text, ": ")
	if !ok || !isSQLCode(code) {
		return nil
	}
	e := &SQLError{Message: message, Code: code, Extended: cmp.Or(extended, code),
		Offset: -1, js: js}
	if before, n, ok := cutLast(message, " at offset "); ok {
		if n, err := strconv.Atoi(n); err == nil {
			e.Message, e.Offset = before, n
		}
	}
	e.classify()
	return e
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func isSQLCode(s string) bool {
	return strings.HasPrefix(s, "SQLITE_") &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
}

func (e *SQLError) classify() {
	switch e.Code {
	case "SQLITE_CONSTRAINT":
		e.kind = ErrConstraint
		e.Constraint = Constraint(strings.TrimPrefix(e.Extended, "SQLITE_CONSTRAINT_"))
		if e.Extended == e.Code {
			e.Constraint = ""
		}
	case "SQLITE_TOOBIG", "SQLITE_FULL":
		e.kind = ErrLimit
	case "SQLITE_ERROR":
		for _, text := range sqlLimits {
			if strings.HasPrefix(e.Message, text) {
				e.kind = ErrLimit
			}
		}
	}
}

// sqlFailure is classifyStatement for the error of a statement whose integer
// parameters have a cast.
func sqlFailure(err error, query string, isInteger []bool) error {
	err = classifyStatement(err)
	if e, ok := err.(*SQLError); ok && e.Offset >= 0 && isInteger != nil {
		e.Offset = uncastOffset(query, isInteger, e.Offset)
	}
	return err
}
