package durablesql

import (
	"database/sql/driver"
	"strconv"
)

// column takes a value as a [durable.Cursor] has it.
type column struct{ v driver.Value }

func (c *column) Scan(v any) error            { c.v = v; return nil }
func (c *column) ScanInexact(f float64) error { c.v = InexactNumber{f}; return nil }

// InexactNumber is what a column holds whose number is beyond ±(2^53-1), up to
// ±2^63: an INTEGER that has arrived inexact, or a REAL. It scans into a
// float64, and is refused for an integer or a string. Select CAST(column AS
// TEXT) to scan an integer exactly.
type InexactNumber struct{ float float64 }

// Float64 returns the number: that of a REAL exactly, that of an INTEGER
// rounded to the nearest float64.
func (n InexactNumber) Float64() float64 { return n.float }

// String writes the number so that it is no integer's text, which is how
// database/sql scans it into a float64 but into no integer.
func (n InexactNumber) String() string { return strconv.FormatFloat(n.float, 'e', -1, 64) }
