package durable

import (
	"strings"

	"flow.internal/capdo/durable/internal/sqltext"
)

// workerd binds every JavaScript number as REAL, so an integer parameter needs
// a cast. The plus keeps the result without affinity, as a parameter is: t =
// CAST(? AS INTEGER) would compare a TEXT column t as numbers, without its
// index.
const castBefore, castAfter = "+CAST(", " AS INTEGER)"

// castIntegers returns the query with a cast around the parameters whose
// argument is an integer.
func castIntegers(query string, isInteger []bool) string {
	var b strings.Builder
	done := 0
	sqltext.EachParameter(query, func(number, start, end int) {
		if number > len(isInteger) || !isInteger[number-1] {
			return
		}
		if b.Len() == 0 {
			b.Grow(len(query) + len(isInteger)*len(castBefore+castAfter))
		}
		b.WriteString(query[done:start])
		b.WriteString(castBefore)
		b.WriteString(query[start:end])
		b.WriteString(castAfter)
		done = end
	})
	if done == 0 {
		return query
	}
	b.WriteString(query[done:])
	return b.String()
}

// uncastOffset converts an offset in castIntegers' result to one in query.
func uncastOffset(query string, isInteger []bool, offset int) int {
	sqltext.EachParameter(query, func(number, start, end int) {
		if number > len(isInteger) || !isInteger[number-1] || offset <= start {
			return
		}
		offset = max(start, offset-len(castBefore))
		if offset >= end {
			offset = max(end, offset-len(castAfter))
		}
	})
	return offset
}
