package durable

import (
	"iter"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// All iterates over the remaining rows: structs as by [Cursor.ScanStruct], or
// the values of a single column, as by [Cursor.Scan]. If it fails, the last
// iteration has the error and a zero T. All closes the cursor when the
// iteration ends, even if the loop stops early.
func All[T any](c *Cursor) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		defer c.Close()
		for c.Next() {
			v, err := scanRow[T](c)
			if !yield(v, err) || err != nil {
				return
			}
		}
		if err := c.Err(); err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

// One returns the only remaining row, as [All] would, and closes the cursor. It
// fails with [ErrNoRows] or [ErrManyRows] if there is not exactly one.
func One[T any](c *Cursor) (T, error) {
	defer c.Close()
	var zero T
	if !c.Next() {
		if err := c.Err(); err != nil {
			return zero, err
		}
		return zero, ErrNoRows
	}
	v, err := scanRow[T](c)
	if err != nil {
		return zero, err
	}
	if c.Next() {
		return zero, ErrManyRows
	}
	if err := c.Err(); err != nil {
		return zero, err
	}
	return v, nil
}

func scanRow[T any](c *Cursor) (v T, err error) {
	d := reflect.ValueOf(&v).Elem()
	if isRecord(d) {
		err = c.scanStruct(d)
	} else if err = c.checkRow(1); err == nil {
		if err = scan(d.Addr().Interface(), c.row[0]); err != nil {
			err = c.columnError(0, err)
		}
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

// isRecord reports whether a struct is a row, not a value.
func isRecord(d reflect.Value) bool {
	if d.Kind() != reflect.Struct || d.Type() == reflect.TypeFor[time.Time]() {
		return false
	}
	_, isScanner := d.Addr().Interface().(interface{ Scan(any) error })
	return !isScanner
}

// ScanStruct copies the current row into the struct that dest points to. A
// column goes into the field with the tag sql:"column", or else into the field
// of that name in any case. Fields of embedded structs count. A field can have
// any type that [Cursor.Scan] takes, or a type named after one. A field without
// a column keeps its value. ScanStruct refuses a column without a field and two
// columns of one name, with [ErrValue].
func (c *Cursor) ScanStruct(dest any) error {
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() || p.Elem().Kind() != reflect.Struct {
		panic("durable: ScanStruct needs a pointer to a struct")
	}
	return c.scanStruct(p.Elem())
}

func (c *Cursor) scanStruct(d reflect.Value) error {
	if c.row == nil {
		return errNoRow
	}
	fields, err := c.fieldsOf(d.Type())
	if err != nil {
		return err
	}
	for i, index := range fields {
		field, err := d.FieldByIndexErr(index)
		if err == nil {
			err = scan(field.Addr().Interface(), c.row[i])
		}
		if err != nil {
			return c.columnError(i, err)
		}
	}
	return nil
}

// sqlFields has the fields for a query's columns.
type sqlFields struct {
	t     reflect.Type
	index [][]int
}

func (c *Cursor) fieldsOf(t reflect.Type) ([][]int, error) {
	if f, ok := c.fields.(*sqlFields); ok && f.t == t {
		return f.index, nil
	}
	f := &sqlFields{t, make([][]int, len(c.columns))}
	taken := map[string]bool{}
	for i, column := range c.columns {
		field, ok := fieldOf(t, column)
		if !ok {
			return nil, refusal("durable: " + t.String() + " has no field for column " +
				strconv.Quote(column))
		}
		if taken[field.Name] {
			return nil, refusal("durable: two columns match field " + field.Name + " of " +
				t.String() + "; hint: give them different names with AS")
		}
		taken[field.Name] = true
		f.index[i] = field.Index
	}
	c.fields = f
	return f.index, nil
}

// fieldOf returns the field that a column belongs to.
func fieldOf(t reflect.Type, column string) (named reflect.StructField, ok bool) {
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("sql")
		switch {
		case !f.IsExported() || tag == "-" || f.Anonymous && tag == "":
		case tag != "":
			if strings.EqualFold(tag, column) {
				return f, true
			}
		case f.Name == column, strings.EqualFold(f.Name, column) && !ok:
			named, ok = f, true
		}
	}
	return named, ok
}
