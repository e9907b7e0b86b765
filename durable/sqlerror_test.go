package durable

import (
	"errors"
	"testing"

	"flow.internal/capdo/internal/jsrt"
)

func init() { new(Storage).SQL() }

// The messages are those of workerd of 2026-11-17.
func TestSQLErrors(t *testing.T) {
	const constraint = "SQLITE_CONSTRAINT"
	for _, c := range []struct {
		message string
		want    SQLError
		kind    error
	}{
		{"UNIQUE constraint failed: t.u: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)", SQLError{Message: "UNIQUE constraint failed: t.u", Code: constraint, Extended: "SQLITE_CONSTRAINT_UNIQUE", Constraint: ConstraintUnique, Offset: -1}, ErrConstraint},
		{"UNIQUE constraint failed: w.a, w.b: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)", SQLError{Message: "UNIQUE constraint failed: w.a, w.b", Code: constraint, Extended: "SQLITE_CONSTRAINT_PRIMARYKEY", Constraint: ConstraintPrimaryKey, Offset: -1}, ErrConstraint},
		{"UNIQUE constraint failed: r.rowid: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_ROWID)", SQLError{Message: "UNIQUE constraint failed: r.rowid", Code: constraint, Extended: "SQLITE_CONSTRAINT_ROWID", Constraint: ConstraintRowID, Offset: -1}, ErrConstraint},
		{"NOT NULL constraint failed: t.n: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_NOTNULL)", SQLError{Message: "NOT NULL constraint failed: t.n", Code: constraint, Extended: "SQLITE_CONSTRAINT_NOTNULL", Constraint: ConstraintNotNull, Offset: -1}, ErrConstraint},
		{"CHECK constraint failed: c > 0: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_CHECK)", SQLError{Message: "CHECK constraint failed: c > 0", Code: constraint, Extended: "SQLITE_CONSTRAINT_CHECK", Constraint: ConstraintCheck, Offset: -1}, ErrConstraint},
		{"FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)", SQLError{Message: "FOREIGN KEY constraint failed", Code: constraint, Extended: "SQLITE_CONSTRAINT_FOREIGNKEY", Constraint: ConstraintForeignKey, Offset: -1}, ErrConstraint},
		{"cannot store TEXT value in INTEGER column st.x: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_DATATYPE)", SQLError{Message: "cannot store TEXT value in INTEGER column st.x", Code: constraint, Extended: "SQLITE_CONSTRAINT_DATATYPE", Constraint: ConstraintDataType, Offset: -1}, ErrConstraint},
		{"no: way: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_TRIGGER)", SQLError{Message: "no: way", Code: constraint, Extended: "SQLITE_CONSTRAINT_TRIGGER", Constraint: ConstraintTrigger, Offset: -1}, ErrConstraint},
		{"UNIQUE constraint failed: t.i: SQLITE_CONSTRAINT", SQLError{Message: "UNIQUE constraint failed: t.i", Code: constraint, Extended: constraint, Offset: -1}, ErrConstraint},
		{`near "selec": syntax error at offset 0: SQLITE_ERROR`, SQLError{Message: `near "selec": syntax error`, Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR"}, nil},
		{"no such column: nope at offset 13: SQLITE_ERROR", SQLError{Message: "no such column: nope", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: 13}, nil},
		{"no such table: nope: SQLITE_ERROR", SQLError{Message: "no such table: nope", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: -1}, nil},
		{"incomplete input: SQLITE_ERROR", SQLError{Message: "incomplete input", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: -1}, nil},
		{"integer overflow: SQLITE_ERROR", SQLError{Message: "integer overflow", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: -1}, nil},
		{"not authorized: SQLITE_AUTH", SQLError{Message: "not authorized", Code: "SQLITE_AUTH", Extended: "SQLITE_AUTH", Offset: -1}, nil},
		{"database table is locked: SQLITE_LOCKED", SQLError{Message: "database table is locked", Code: "SQLITE_LOCKED", Extended: "SQLITE_LOCKED", Offset: -1}, nil},
		{"abort due to ROLLBACK: SQLITE_ABORT (extended: SQLITE_ABORT_ROLLBACK)", SQLError{Message: "abort due to ROLLBACK", Code: "SQLITE_ABORT", Extended: "SQLITE_ABORT_ROLLBACK", Offset: -1}, nil},
		{"too many SQL variables at offset 207: SQLITE_ERROR", SQLError{Message: "too many SQL variables", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: 207}, ErrLimit},
		{"variable number must be between ?1 and ?100 at offset 7: SQLITE_ERROR", SQLError{Message: "variable number must be between ?1 and ?100", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: 7}, ErrLimit},
		{"statement too long: SQLITE_TOOBIG", SQLError{Message: "statement too long", Code: "SQLITE_TOOBIG", Extended: "SQLITE_TOOBIG", Offset: -1}, ErrLimit},
		{"string or blob too big: SQLITE_TOOBIG", SQLError{Message: "string or blob too big", Code: "SQLITE_TOOBIG", Extended: "SQLITE_TOOBIG", Offset: -1}, ErrLimit},
		{"too many columns on big: SQLITE_ERROR", SQLError{Message: "too many columns on big", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: -1}, ErrLimit},
		{"too many columns in result set: SQLITE_ERROR", SQLError{Message: "too many columns in result set", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: -1}, ErrLimit},
		{"LIKE or GLOB pattern too complex: SQLITE_ERROR", SQLError{Message: "LIKE or GLOB pattern too complex", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: -1}, ErrLimit},
		{"too many arguments on function max at offset 7: SQLITE_ERROR", SQLError{Message: "too many arguments on function max", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: 7}, ErrLimit},
		{"too many terms in compound SELECT: SQLITE_ERROR", SQLError{Message: "too many terms in compound SELECT", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: -1}, ErrLimit},
		{"Expression tree is too large (maximum depth 100): SQLITE_ERROR", SQLError{Message: "Expression tree is too large (maximum depth 100)", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: -1}, ErrLimit},
		{"no such column: x: SQLITE_BUSY (extended: SQLITE_Z) at offset 3: SQLITE_ERROR", SQLError{Message: "no such column: x: SQLITE_BUSY (extended: SQLITE_Z)", Code: "SQLITE_ERROR", Extended: "SQLITE_ERROR", Offset: 3}, nil}, // the name of the column looks like an error
	} {
		err := classify(&jsrt.Error{Name: "Error", Message: c.message})
		var e *SQLError
		if !errors.As(err, &e) {
			t.Errorf("%q is a %T", c.message, err)
			continue
		}
		got := *e
		got.js, got.kind = nil, nil
		if got != c.want || e.kind != c.kind || c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%q\nbecame %#v, %v\nwant   %#v, %v", c.message, got, e.kind, c.want, c.kind)
		}
		if js := (*Error)(nil); !errors.As(err, &js) || js.Message != c.message {
			t.Errorf("%q: as an *Error: %v", c.message, js)
		}
	}
}

func TestOtherErrorsAreNoSQLErrors(t *testing.T) {
	for message, props := range map[string]map[string]any{
		"Wrong number of parameter bindings for SQL query.":     nil,
		"To execute a transaction, please use the state.…":      nil,
		"a: SQLITE_ERROR and more":                              nil,
		"SQLITE_ERROR":                                          nil,
		"a: SQLITE_ERROR (extended: no)":                        nil,
		"UNIQUE constraint failed: t.i: SQLITE_CONSTRAINT":      {"remote": true}, // the error of another object
		"database disk image is malformed: SQLITE_CORRUPT":      {"durableObjectReset": true},
		"SQL is not enabled for this Durable Object class. To…": nil,
	} {
		err := classify(&jsrt.Error{Name: "Error", Message: message, Props: props})
		if e := (*SQLError)(nil); errors.As(err, &e) {
			t.Errorf("%q became %#v", message, e)
		}
	}
}

func TestASQLErrorPrintsItsExtendedCode(t *testing.T) {
	for message, want := range map[string]string{
		"UNIQUE constraint failed: t.u: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)": "UNIQUE constraint failed: t.u: SQLITE_CONSTRAINT_UNIQUE",
		"no such column: nope at offset 13: SQLITE_ERROR":                                       "no such column: nope at offset 13: SQLITE_ERROR",
	} {
		if err := classify(&jsrt.Error{Name: "Error", Message: message}); err.Error() != want {
			t.Errorf("%q prints %q", message, err)
		}
	}
}
