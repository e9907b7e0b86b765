package durable

import (
	"strings"
	"testing"

	"flow.internal/capdo/durable/internal/sqltext"
)

func TestCastIntegers(t *testing.T) {
	const cast = "+CAST(? AS INTEGER)"
	for _, c := range []struct{ name, query, integers, want string }{
		{"no integers", "select ?, ?", "..", "select ?, ?"},
		{"no arguments", "select ?", "", "select ?"},
		{"one", "select ?", "i", "select " + cast},
		{"only integers are cast", "values (?, ?, ?)", "i.i", "values (" + cast + ", ?, " + cast + ")"},
		{"side by side", "?AND?", "ii", cast + "AND" + cast},
		{"numbered", "select ?2, ?1, ?2", ".i", "select +CAST(?2 AS INTEGER), ?1, +CAST(?2 AS INTEGER)"},
		{"one more than the highest number", "select ?2, ?", ".." + "i", "select ?2, " + cast},
		{"leading zeros", "select ?01", "i", "select +CAST(?01 AS INTEGER)"},
		{"an invalid number", "select ?0, ?99999, ?", "i", "select ?0, ?99999, " + cast},
		{"names have numbers in order of their first use", "select :a, @b, $c, :a, ?", "i..i", "select +CAST(:a AS INTEGER), @b, $c, +CAST(:a AS INTEGER), " + cast},
		{"the sign belongs to the name", "select :a, @a, $a", ".i.", "select :a, +CAST(@a AS INTEGER), $a"},
		{"a name with colons and an index", "select $a::b(c d), $x::y(1) , ?", ".ii", "select $a::b(c d), +CAST($x::y(1) AS INTEGER) , " + cast},
		{"signs without a name", "select : , @ , $ , ?", "i", "select : , @ , $ , " + cast},
		{"in a string", "select '?', 'it''s ?', ?", "i", "select '?', 'it''s ?', " + cast},
		{"in names", "select \"?\"\"?\", `?`, [?], a$b, ?", "i", "select \"?\"\"?\", `?`, [?], a$b, " + cast},
		{"quotes within other quotes", `select '"', "'", ?, '`, "i", `select '"', "'", ` + cast + `, '`},
		{"in comments", "select /* ? ' */ ? -- ? '\n, ? -- ?", "ii", "select /* ? ' */ " + cast + " -- ? '\n, " + cast + " -- ?"},
		{"a comment is not nested", "select /* /* ? */ ? */", "i", "select /* /* ? */ " + cast + " */"},
		{"an operator that looks like a comment", "select 1 - -?, 4/?", "ii", "select 1 - -" + cast + ", 4/" + cast},
		{"JSON operators", "select x -> ?, y ->> ?", "ii", "select x -> " + cast + ", y ->> " + cast},
		{"a string that does not end", "select ?, '?", "ii", "select " + cast + ", '?"},
		{"a comment that does not end", "select ? /* ?", "ii", "select " + cast + " /* ?"},
		{"numbers start again in each statement", "select ?; select ?, :a; select :a", "i", "select " + cast + "; select " + cast + ", :a; select +CAST(:a AS INTEGER)"},
		{"other alphabets", "select ä, :é, ?", ".i", "select ä, :é, " + cast},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := castIntegers(c.query, integers(c.integers)); got != c.want {
				t.Errorf("%s\nbecame %s\nwant   %s", c.query, got, c.want)
			}
		})
	}
}

// integers converts a text to flags: i means that the argument is an integer.
func integers(s string) []bool {
	var list []bool
	for _, c := range s {
		list = append(list, c == 'i')
	}
	return list
}

func TestUncastOffset(t *testing.T) {
	query, isInteger := "select ?1, a, ?, b, ?1 from c", []bool{true, false}
	text := castIntegers(query, isInteger)
	for _, token := range []string{"select", "?1", "a,", "?,", "b", "from", "c"} {
		want := strings.Index(query, token)
		at := strings.Index(text, token)
		if token == "c" {
			want, at = len(query)-1, len(text)-1
		}
		if got := uncastOffset(query, isInteger, at); got != want {
			t.Errorf("%q: %d became %d, want %d", token, at, got, want)
		}
	}
}

func FuzzCastIntegers(f *testing.F) {
	for _, s := range []string{"", "select ?, ?2, :a, '?''', \"?\", `?`, [?] -- ?\n /* ? */; select $a::b(c)", "?99999999999999999999", "$(", "/*", "--", "'", "[", "?;?", "$a(\x00"} {
		f.Add(s, uint8(0b10110))
	}
	f.Fuzz(func(t *testing.T, query string, mask uint8) {
		if got := castIntegers(query, make([]bool, 8)); got != query {
			t.Fatalf("without integers %q became %q", query, got)
		}
		isInteger := make([]bool, 8)
		for i := range isInteger {
			isInteger[i] = mask&(1<<i) != 0
		}
		got := castIntegers(query, isInteger)
		if mask == 0 && got != query {
			t.Fatalf("without integers %q became %q", query, got)
		}
		if got != castIntegers(query, isInteger) {
			t.Fatal("the text is not stable")
		}
		back, end := uncast(t, query, got, isInteger), 0
		if back != query {
			t.Fatalf("%q became %q", query, got)
		}
		for at := range min(len(got), 200) { // offsets never decrease, and stay inside the text
			o := uncastOffset(query, isInteger, at)
			if o < end || o > len(query) {
				t.Fatalf("%q: %d is %d in the query, after %d", got, at, o, end)
			}
			end = o
		}
	})
}

// uncast removes the casts from text, at the parameters of the query.
func uncast(t *testing.T, query, text string, isInteger []bool) string {
	var b strings.Builder
	done := 0
	sqltext.EachParameter(query, func(number, start, end int) {
		if start < done || end <= start || end > len(query) {
			t.Fatalf("parameter at %d:%d after %d", start, end, done)
		}
		b.WriteString(text[:start-done])
		text = text[start-done:]
		if number <= len(isInteger) && isInteger[number-1] {
			if !strings.HasPrefix(text, castBefore) {
				t.Fatalf("no cast before %q", text)
			}
			text = text[len(castBefore):]
			b.WriteString(text[:end-start])
			text = strings.TrimPrefix(text[end-start:], castAfter)
		} else {
			b.WriteString(text[:end-start])
			text = text[end-start:]
		}
		done = end
	})
	return b.String() + text
}
