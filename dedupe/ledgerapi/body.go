package ledgerapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/inflight"
	"flow.internal/capdo/internal/budget"
	"flow.internal/capdo/internal/jsontext"
)

// apiField is a member of a request's JSON object.
type apiField struct {
	name     string
	kind     fieldKind
	optional bool
}

type fieldKind int

const (
	kindBytes  fieldKind = iota // base64, padded
	kindText                    // as it is
	kindInt64                   // decimal text
	kindMillis                  // a number of ms
)

func bytesOf(name string) apiField  { return apiField{name: name, kind: kindBytes} }
func textOf(name string) apiField   { return apiField{name: name, kind: kindText} }
func int64Of(name string) apiField  { return apiField{name: name, kind: kindInt64} }
func millisOf(name string) apiField { return apiField{name: name, kind: kindMillis} }

func optional(f apiField) apiField {
	f.optional = true
	return f
}

// apiValues are the values of a body's fields.
type apiValues struct {
	bytes  map[string][]byte
	text   map[string]string
	number map[string]int64
}

// duration returns a number of ms as a Duration. A number that does not fit
// becomes a Duration that is beyond every limit.
func (v *apiValues) duration(name string) time.Duration {
	ms := v.number[name]
	switch limit := int64(math.MaxInt64 / time.Millisecond); {
	case ms > limit:
		return math.MaxInt64
	case ms < -limit:
		return math.MinInt64
	}
	return time.Duration(ms) * time.Millisecond
}

// Sizes of bodies, in bytes.
const (
	maxBody       = 16 << 10 // two of the largest keys, and all else
	maxResultBody = maxBody + (dedupe.MaxResultSize+2)/3*4
)

// limit returns the size of the largest body, in bytes.
func (op *operation) limit() int64 {
	for _, f := range op.fields {
		if f.name == "result" {
			return maxResultBody
		}
	}
	return maxBody
}

// read reads and checks a request's body.
func (op *operation) read(
	w http.ResponseWriter, r *http.Request, share *budget.Share,
) (apiValues, error) {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return apiValues{}, malformed("the URL has a query",
			"send everything in the body: URLs are logged")
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, hasCharset := params["charset"]
	if err != nil || media != "application/json" ||
		hasCharset && !strings.EqualFold(charset,
			"utf-8") || r.Header.Get("Content-Encoding") != "" {
		return apiValues{}, refusal{code: "unsupported_media_type"}
	}
	if r.ContentLength > op.limit() {
		return apiValues{}, refusal{code: "request_too_large"}
	}
	body, err := inflight.ReadAll(w, r, op.limit(), share)
	var large *http.MaxBytesError
	switch {
	case err == inflight.ErrNoRoom:
		return apiValues{}, dedupe.ErrOverloaded
	case errors.As(err, &large):
		return apiValues{}, refusal{code: "request_too_large"}
	case err != nil:
		return apiValues{}, malformed("the body did not arrive in full", "send it again")
	}
	return decodeBody(body, op.fields)
}

// decodeBody decodes a JSON object that has exactly these fields, each once. It
// is stricter than package json, which accepts duplicates and names in another
// case. No value is an array or an object, so nothing can be nested.
func decodeBody(body []byte, fields []apiField) (apiValues, error) {
	v := apiValues{map[string][]byte{}, map[string]string{}, map[string]int64{}}
	if json.Valid(body) && !jsontext.IsUnicode(body) {
		return v, malformed("a string in the body is not Unicode",
			"send UTF-8, without escapes of half a surrogate pair")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return v, notJSON()
	}
	seen := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return v, notJSON()
		}
		f, ok := fieldNamed(fields, name)
		if !ok {
			return v, malformed("the body has an unknown field",
				"the fields of this request are "+fieldNames(fields))
		}
		if seen[f.name] {
			return v, malformed(f.name+" occurs twice", "")
		}
		seen[f.name] = true
		value, err := d.Token()
		if err != nil {
			return v, notJSON()
		}
		if err := v.set(f, value); err != nil {
			return v, err
		}
	}
	if _, err := d.Token(); err != nil {
		return v, notJSON()
	}
	if _, err := d.Token(); err != io.EOF {
		return v, notJSON()
	}
	for _, f := range fields {
		if !f.optional && !seen[f.name] {
			return v, malformed(f.name+" is missing",
				"the fields of this request are "+fieldNames(fields))
		}
	}
	return v, nil
}

func notJSON() error { return malformed("the body is not one JSON object", "") }

func fieldNamed(fields []apiField, name json.Token) (apiField, bool) {
	for _, f := range fields {
		if name == f.name {
			return f, true
		}
	}
	return apiField{}, false
}

func fieldNames(fields []apiField) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return strings.Join(names, ", ")
}

// set sets a field's value, if it has the field's kind.
func (v *apiValues) set(f apiField, value json.Token) error {
	text, isText := value.(string)
	var err error
	switch f.kind {
	case kindBytes:
		if !isText {
			return malformed(f.name+" is not a string", "send it in base64")
		}
		if v.bytes[f.name], err = decodeBase64(text); err != nil {
			return malformed(f.name+" is not base64",
				"send it in the standard alphabet (RFC 4648, section 4), with padding")
		}
	case kindText:
		if !isText {
			return malformed(f.name+" is not a string", "")
		}
		v.text[f.name] = text
	case kindInt64:
		n, err := strconv.ParseInt(text, 10, 64)
		if !isText || err != nil || strconv.FormatInt(n, 10) != text {
			return malformed(f.name+" is not a 64-bit integer in decimal digits, as a string",
				"send the value that you received")
		}
		v.number[f.name] = n
	case kindMillis:
		n, isNumber := value.(json.Number)
		if v.number[f.name], err = strconv.ParseInt(string(n), 10, 64); !isNumber || err != nil {
			return malformed(f.name+" is not an integer",
				"it is a number of ms, without fraction or exponent")
		}
	}
	return nil
}

// decodeBase64 accepts only the canonical encoding of bytes: no line ends, no
// spare bits.
func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("a line end")
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}
