package flow

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"flow.internal/capdo/internal/jsontext"
)

// canonical returns JSON in a canonical form: names sorted and each once, no
// white space, numbers as RFC 8785 writes them. It fails for text that is not
// JSON, is not UTF-8, or has half of a surrogate pair. The decoder would
// replace the last two by U+FFFD, so that different values would become equal.
func canonical(text []byte) (json.RawMessage, error) {
	value, err := decode(text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

// decode decodes one JSON value, which nothing may follow.
func decode(text []byte) (any, error) {
	if !jsontext.Valid(text) {
		return nil, errNotJSON
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	return canonicalNumbers(value)
}

// canonicalNumbers replaces the numbers in a decoded value.
func canonicalNumbers(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case json.Number:
		return canonicalNumber(string(v))
	case []any:
		for i := range v {
			if v[i], err = canonicalNumbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = canonicalNumbers(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

// canonicalNumber writes a JSON number as ECMAScript does, which is RFC 8785's
// form. It works on the decimal digits, not on a float64, so that different
// numbers stay different: 9007199254740993 is unchanged.
func canonicalNumber(text string) (json.Number, error) {
	rest, negative := strings.CutPrefix(text, "-")
	mantissa, exponent, _ := strings.Cut(strings.ToLower(rest), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0", nil
	}
	// Digits before the decimal point.
	point := len(whole) - (len(whole) + len(fraction) - len(digits))
	digits = strings.TrimRight(digits, "0")
	if exponent != "" {
		e, err := strconv.ParseInt(exponent, 10, 32)
		if err != nil {
			return "", errNotJSON // no program computes with such a number
		}
		point += int(e)
	}
	s := placePoint(digits, point)
	if negative {
		s = "-" + s
	}
	return json.Number(s), nil
}

// placePoint writes 0.digits × 10^point (ECMA-262, Number::toString).
func placePoint(digits string, point int) string {
	n := len(digits)
	switch {
	case n <= point && point <= 21:
		return digits + strings.Repeat("0", point-n)
	case 0 < point && point <= 21:
		return digits[:point] + "." + digits[point:]
	case -6 < point && point <= 0:
		return "0." + strings.Repeat("0", -point) + digits
	}
	sign := "+"
	if point < 1 {
		sign = "-"
	}
	if n > 1 {
		digits = digits[:1] + "." + digits[1:]
	}
	return digits + "e" + sign + strconv.Itoa(max(point-1, 1-point))
}
