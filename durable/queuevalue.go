package durable

import (
	"math"
	"strconv"
	"time"
)

// encodeMessage converts the body of a message for a content type, and returns
// its size as it is sent.
func encodeMessage(body any, contentType string) (
	value any, kind string, size int, err error,
) {
	if value, err = Encode(body); err != nil {
		return nil, "", 0, err
	}
	switch contentType {
	case "", QueueJSON:
		contentType = QueueJSON
		var refusal *valueErr
		if size, refusal = jsonSize(value); refusal != nil {
			return nil, "", 0, refusal
		}
	case QueueText:
		s, ok := value.(string)
		if !ok {
			return nil, "", 0, refused("the content type text needs a string, not " + sentType(value))
		}
		size = len(s)
	case QueueBytes:
		b, ok := value.([]byte)
		if !ok {
			return nil, "", 0, refused("the content type bytes needs a []byte, not " + sentType(value))
		}
		size = len(b)
	case QueueV8:
		size = valueSize(value)
	default:
		return nil, "", 0, refused("unknown content type " + strconv.Quote(contentType) +
			"; hint: use QueueJSON, QueueText, QueueBytes or QueueV8")
	}
	if size > MaxQueueMessageSize {
		return nil, "", 0, &LimitError{Limit: "size of a message, in bytes",
			Max: MaxQueueMessageSize, Actual: size}
	}
	return value, contentType, size, nil
}

// sentType names a value that Encode returned.
func sentType(v any) string {
	if isNumber(v) {
		return "a number"
	}
	return jsType(v)
}

// jsonSize returns how many bytes JavaScript's JSON.stringify makes of a value
// that Encode returned. It refuses a value that JSON would change.
func jsonSize(v any) (int, *valueErr) {
	switch v := v.(type) {
	case nil:
		return len("null"), nil
	case bool:
		return len(strconv.FormatBool(v)), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, notJSON("a number that is not finite")
		}
		return jsonNumberSize(v), nil
	case int64:
		if v <= maxSafeInteger && v >= -maxSafeInteger {
			return len(strconv.FormatInt(v, 10)), nil
		}
	case string:
		return jsonTextSize(v), nil
	case []any:
		size := len("[]") + max(0, len(v)-1)
		for i, e := range v {
			n, err := jsonSize(e)
			if err != nil {
				return 0, err.at(indexStep(i))
			}
			size += n
		}
		return size, nil
	case map[string]any:
		size := len("{}") + max(0, len(v)-1)
		for k, e := range v {
			n, err := jsonSize(e)
			if err != nil {
				return 0, err.at(keyStep)
			}
			size += jsonTextSize(k) + len(":") + n
		}
		return size, nil
	case time.Time:
		return 0, notJSON("a Date")
	}
	return 0, notJSON(jsType(v))
}

func notJSON(what string) *valueErr {
	return refused("JSON would change " + what +
		"; hint: convert it to text, or use the content type QueueV8")
}

// jsonNumberSize returns the length of JavaScript's text for a number: the
// shortest digits, with an exponent below 1e-6 and from 1e21 on.
func jsonNumberSize(f float64) int {
	if abs := math.Abs(f); abs == 0 || 1e-6 <= abs && abs < 1e21 {
		return len(strconv.FormatFloat(f+0, 'f', -1, 64))
	}
	text := strconv.FormatFloat(f, 'e', -1, 64)
	if n := len(text); text[n-2] == '0' && (text[n-3] == '-' || text[n-3] == '+') {
		return n - 1 // e-7, where Go has e-07
	}
	return len(text)
}

// jsonTextSize returns the length of a JSON string, with its quotes.
func jsonTextSize(s string) int {
	n := len(`""`) + len(s)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '\b' || c == '\f' || c == '\n' || c == '\r' || c == '\t':
			n++
		case c < ' ':
			n += len(`\u0000`) - 1
		}
	}
	return n
}
