// Package jsontext finds JSON text that encoding/json would change.
// encoding/json replaces bytes that are not UTF-8, and escapes that are half of
// a surrogate pair, by U+FFFD. Two different keys could then become one.
package jsontext

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Valid reports whether text is one JSON value in which all text is valid
// Unicode.
func Valid(text []byte) bool { return json.Valid(text) && IsUnicode(text) }

// IsUnicode reports whether valid JSON is UTF-8 and has no escape that is half
// of a surrogate pair.
func IsUnicode(text []byte) bool { return utf8.Valid(text) && !hasLoneSurrogate(text) }

func hasLoneSurrogate(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return false
		}
		if text = text[i+1:]; text[0] != 'u' {
			text = text[1:]
			continue
		}
		r := hexRune(text[1:5])
		if text = text[5:]; !utf16.IsSurrogate(r) {
			continue
		}
		if !bytes.HasPrefix(text, []byte(`\u`)) ||
			utf16.DecodeRune(r, hexRune(text[2:6])) == utf8.RuneError {
			return true
		}
		text = text[6:]
	}
}

func hexRune(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits), 16, 16)
	return rune(n)
}
