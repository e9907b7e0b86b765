package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/jsontext"
)

// Limits of bodies: a value of the largest size as base64 in JSON, and a key.
const (
	maxBody    = 4 << 20
	maxKeyBody = 32 << 10
)

// failure is the answer to a request that failed.
type failure struct {
	Error string `json:"error"`
	Code  string `json:"code"`
	Name  string `json:"name,omitempty"`  // the name of the Go error, or SQLite's code
	Field string `json:"field,omitempty"` // the wrong part of the request, if any
}

// inputError reports a wrong part of a request.
type inputError struct{ field, problem string }

func (e *inputError) Error() string { return e.field + ": " + e.problem }

// bodyError reports a body that cannot be used.
type bodyError struct {
	status        int
	code, problem string
}

func (e *bodyError) Error() string { return e.problem }

// inputs are dedupe's errors about a part of a request.
var inputs = []struct {
	err               error
	name, code, field string
}{
	{dedupe.ErrKeyEmpty, "ErrKeyEmpty", "key_empty", "key"},
	{dedupe.ErrKeyTooLarge, "ErrKeyTooLarge", "key_too_large", "key"},
	{dedupe.ErrInvalidTTL, "ErrInvalidTTL", "invalid_ttl", "ttl_seconds"},
	{dedupe.ErrFingerprintTooLarge, "ErrFingerprintTooLarge", "hash_too_large", "hash"},
}

// kinds are the other errors that have a code of their own, the most specific
// ones first.
var kinds = []struct {
	err    error
	name   string
	code   string
	status int
}{
	{dedupe.ErrMismatch, "ErrMismatch", "mismatch", http.StatusConflict},
	{durable.ErrNoBinding, "ErrNoBinding", "no_binding", http.StatusInternalServerError},
	{durable.ErrInvalidID, "ErrInvalidID", "invalid_id", http.StatusBadRequest},
	{durable.ErrJurisdiction, "ErrJurisdiction", "no_jurisdiction", http.StatusNotImplemented},
	{durable.ErrNoSQL, "ErrNoSQL", "no_sql", http.StatusBadRequest},
	{durable.ErrConstraint, "ErrConstraint", "constraint", http.StatusConflict},
	{durable.ErrLimit, "ErrLimit", "limit_exceeded", http.StatusRequestEntityTooLarge},
	{durable.ErrValue, "ErrValue", "invalid_value", http.StatusBadRequest},
	{durable.ErrOverloaded, "ErrOverloaded", "overloaded", http.StatusServiceUnavailable},
	{dedupe.ErrOverloaded, "ErrOverloaded", "overloaded", http.StatusServiceUnavailable},
	{dedupe.ErrUnknownOutcome, "ErrUnknownOutcome", "outcome_unknown",
		http.StatusServiceUnavailable},
	{durable.ErrObjectReset, "ErrObjectReset", "object_reset", http.StatusServiceUnavailable},
	{durable.ErrDisconnected, "ErrDisconnected", "disconnected", http.StatusServiceUnavailable},
}

// describe returns the status and the answer for an error.
func describe(err error) (status int, f failure) {
	f = failure{Error: err.Error(), Code: "internal"}
	var input *inputError
	var body *bodyError
	var sql *durable.SQLError
	switch {
	case errors.As(err, &input):
		f.Code, f.Field = "invalid_input", input.field
		return http.StatusBadRequest, f
	case errors.As(err, &body):
		f.Code = body.code
		return body.status, f
	}
	status = http.StatusInternalServerError
	for _, k := range inputs {
		if errors.Is(err, k.err) {
			f.Code, f.Name, f.Field = k.code, k.name, k.field
			return http.StatusBadRequest, f
		}
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			status, f.Code, f.Name = k.status, k.code, k.name
			break
		}
	}
	if errors.As(err, &sql) {
		f.Name = sql.Extended
		if status == http.StatusInternalServerError {
			status, f.Code = http.StatusBadRequest, "sql_error"
		}
	}
	return status, f
}

// fail answers with an error: 4xx for a caller's mistake, 5xx for any other
// error.
func fail(w http.ResponseWriter, err error) {
	status, f := describe(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1") // it may be available soon
	}
	if status >= http.StatusInternalServerError {
		// these errors contain neither keys nor values
		slog.Error("the harness failed", "code", f.Code, "err", err)
	}
	reply(w, status, f)
}

// answer makes a handler of a function that returns the answer.
func answer(of func(http.ResponseWriter, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := of(w, r)
		if err != nil {
			fail(w, err)
			return
		}
		reply(w, http.StatusOK, v)
	}
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder(w).Encode(v)
}

// encoder writes JSON without HTML escapes.
func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

var success = map[string]bool{"success": true}

// readBody reads JSON of at most limit bytes. If a field is wrong, the error
// names it.
func readBody[T any](w http.ResponseWriter, r *http.Request, limit int64) (body T, err error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	switch {
	case err != nil:
	case json.Valid(text) && !jsontext.IsUnicode(text): // otherwise two keys could become the same
		err = errors.New("a string in it is not Unicode")
	default:
		err = d.Decode(&body)
	}
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return body, nil
		}
		err = errors.New("something follows the JSON")
	}
	var tooLarge *http.MaxBytesError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &tooLarge):
		return body, &bodyError{http.StatusRequestEntityTooLarge, "body_too_large",
			"the body is larger than " + strconv.FormatInt(limit, 10) + " bytes"}
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return body, &inputError{mismatch.Field, "cannot be a JSON " + mismatch.Value}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return body, &inputError{strings.Trim(name, `"`), "there is no such field"}
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	return body, &bodyError{http.StatusBadRequest, "invalid_json",
		"the body is not the expected JSON: " + err.Error()}
}
