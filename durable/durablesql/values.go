package durablesql

import (
	"database/sql/driver"
	"strconv"
)

// column takes a value as a [durable.Cursor] has it.
type column struct{ v driver.Value }

func (c *column) Scan(v any) error            { c.v = v; return nil }
func (c *column) ScanInexact(f float64) error { c.v = InexactNumber{f}; return nil }

// InexactNumber is a column's number beyond ±(2^53-1), up to ±2^63: an INTEGER
// that lost precision, or a REAL. It scans into a float64, but not into an
// integer or a string. To scan an integer exactly, select CAST(column AS TEXT).
type InexactNumber struct{ float float64 }

// Float64 returns the number. A REAL is exact; an INTEGER is rounded to the
// nearest float64.
func (n InexactNumber) Float64() float64 { return n.float }

// String formats the number in a form that is not an integer's. So database/sql
// scans it into a float64, but not into an integer.
func (n InexactNumber) String() string { return strconv.FormatFloat(n.float, 'e', -1, 64) }
