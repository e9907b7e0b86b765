//go:build !js

package ledgerapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"mime"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"flow.internal/capdo/internal/problem"
	"go.yaml.in/yaml/v3"
)

// node is a part of the OpenAPI document. References are resolved.
type node map[string]any

var document = func() node {
	var d node
	if err := yaml.Unmarshal(OpenAPI, &d); err != nil {
		panic(err)
	}
	return d
}()

// at follows names from a node to another. The result is nil if there is none.
func (n node) at(names ...string) node {
	for _, name := range names {
		n, _ = n[name].(node)
		if ref, ok := n["$ref"].(string); ok {
			n = document.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return n
}

func (n node) names() []string { return slices.Sorted(maps.Keys(n)) }

func list(v any) (texts []string) {
	all, _ := v.([]any)
	for _, v := range all {
		texts = append(texts, v.(string))
	}
	slices.Sort(texts)
	return texts
}

func (n node) requestSchema(path string) node {
	return n.at("paths", path, "post", "requestBody", "content", "application/json", "schema")
}

// documented calls the handler, and checks that its answers match the document.
func documented(t testing.TB, b *backend) http.Handler {
	h := NewHandler(b.API)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client has disconnected
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if err := conforms(r, body, rec); err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
	})
}

// conforms compares a response, and the request if it was answered, with the
// document.
func conforms(r *http.Request, body []byte, rec *httptest.ResponseRecorder) error {
	operation := document.at("paths", r.URL.Path, strings.ToLower(r.Method))
	if operation == nil {
		return nil // the document does not describe this path
	}
	response := operation.at("responses", fmt.Sprint(rec.Code))
	media, _, _ := mime.ParseMediaType(rec.Header().Get("Content-Type"))
	content := response.at("content", media)
	if content == nil {
		return fmt.Errorf("%d with %s is not in the document", rec.Code, media)
	}
	if media == "application/yaml" {
		return nil
	}
	if rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("X-Content-Type-Options") != "nosniff" {
		return fmt.Errorf("headers %v", rec.Header())
	}
	var p problem.Problem
	if json.Unmarshal(rec.Body.Bytes(), &p); rec.Code != http.StatusOK && !slices.Contains(list(response["x-codes"]), p.Code) {
		return fmt.Errorf("%d has the code %s", rec.Code, p.Code)
	}
	if err := content.at("schema").allow(rec.Body.Bytes()); err != nil {
		return fmt.Errorf("the response: %w", err)
	}
	if rec.Code == http.StatusOK {
		if err := document.requestSchema(r.URL.Path).allow(body); err != nil {
			return fmt.Errorf("the request: %w", err)
		}
	}
	return nil
}

// allow checks a JSON text against a schema. It supports what the document
// uses.
func (n node) allow(text []byte) error {
	var v any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err
	}
	return n.check(v)
}

func (n node) check(v any) error {
	if object, ok := v.(map[string]any); ok && n["type"] == "object" {
		for _, name := range list(n["required"]) {
			if _, ok := object[name]; !ok {
				return fmt.Errorf("%s is missing", name)
			}
		}
		for name, v := range object {
			schema := n.at("properties", name)
			if schema == nil {
				return fmt.Errorf("%s is not in the document", name)
			}
			if err := schema.check(v); err != nil {
				return fmt.Errorf("%s %w", name, err)
			}
		}
		return nil
	}
	text, isText := v.(string)
	number, isNumber := v.(json.Number)
	_, isBool := v.(bool)
	value, isInt := new(big.Int).SetString(string(number), 10)
	switch {
	case n["const"] != nil && v != n["const"], n["enum"] != nil && !slices.Contains(list(n["enum"]), text):
		return fmt.Errorf("is not one of the values in the document")
	case n["type"] == "object", n["type"] == "string" && !isText, n["type"] == "boolean" && !isBool, n["type"] == "integer" && (!isNumber || !isInt):
		return fmt.Errorf("is a %T", v)
	case n["minLength"] != nil && len(text) < n["minLength"].(int), n["maxLength"] != nil && len(text) > n["maxLength"].(int):
		return fmt.Errorf("has %d characters", len(text))
	case n["minimum"] != nil && value.Cmp(big.NewInt(int64(n["minimum"].(int)))) < 0, n["maximum"] != nil && value.Cmp(big.NewInt(int64(n["maximum"].(int)))) > 0:
		return fmt.Errorf("is %v", value)
	case n["pattern"] != nil && !regexp.MustCompile(n["pattern"].(string)).MatchString(text):
		return fmt.Errorf("is %.40q", text)
	}
	return nil
}

func TestDocumentedRoutesAndFields(t *testing.T) {
	paths := append(slices.Collect(maps.Keys(operations)), openAPIPath)
	slices.Sort(paths)
	if got := document.at("paths").names(); !slices.Equal(got, paths) {
		t.Errorf("paths %v, want %v", got, paths)
	}
	kinds := map[fieldKind]string{kindBytes: "string base64", kindText: "string <nil>", kindInt64: "string <nil>", kindMillis: "integer <nil>"}
	for path, op := range operations {
		schema := document.requestSchema(path)
		var names, required []string
		for _, f := range op.fields {
			names = append(names, f.name)
			if !f.optional {
				required = append(required, f.name)
			}
			property := schema.at("properties", f.name)
			if got := fmt.Sprint(property["type"], " ", property["contentEncoding"]); got != kinds[f.kind] {
				t.Errorf("%s: %s is %s, want %s", path, f.name, got, kinds[f.kind])
			}
		}
		slices.Sort(names)
		slices.Sort(required)
		if got := schema.at("properties").names(); !slices.Equal(got, names) || !slices.Equal(list(schema["required"]), required) || schema["additionalProperties"] != false {
			t.Errorf("%s: fields %v, required %v; want %v, %v", path, got, list(schema["required"]), names, required)
		}
		if methods := document.at("paths", path).names(); !slices.Equal(methods, []string{"post"}) {
			t.Errorf("%s: methods %v", path, methods)
		}
	}
}

func TestDocumentedResponseFields(t *testing.T) {
	for name, v := range map[string]any{"Claim": claimAnswer{}, "Entry": seqAnswer{}, "Put": putAnswer{}, "Done": doneAnswer{}, "Problem": problem.Problem{}} {
		var names, required []string
		for f := range reflect.TypeOf(v).Fields() {
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if tag == "-" {
				continue
			}
			names = append(names, tag)
			if !strings.Contains(options, "omit") {
				required = append(required, tag)
			}
		}
		slices.Sort(names)
		slices.Sort(required)
		schema := document.at("components", "schemas", name)
		if got := schema.at("properties").names(); !slices.Equal(got, names) || !slices.Equal(list(schema["required"]), required) {
			t.Errorf("%s: fields %v, required %v; want %v, %v", name, got, list(schema["required"]), names, required)
		}
	}
}

func TestDocumentedCodes(t *testing.T) {
	var codes []string
	want := map[string]int{}
	for _, p := range apiProblems {
		codes = append(codes, p.code)
		want[p.code] = p.status
	}
	slices.Sort(codes)
	if got := list(document.at("components", "schemas", "Problem", "properties", "code")["enum"]); !slices.Equal(got, codes) {
		t.Errorf("codes %v, want %v", got, codes)
	}
	got := map[string]int{}
	for path := range operations {
		responses := document.at("paths", path, "post", "responses")
		for status := range responses {
			for _, code := range list(responses.at(status)["x-codes"]) {
				var n int
				fmt.Sscan(status, &n)
				got[code] = n
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("statuses of codes: %v, want %v", got, want)
	}
}

func TestDocumentIsServedToAnyone(t *testing.T) {
	b := newBackend()
	b.Tokens = func(*http.Request) (*Tokens, error) { return nil, ErrNoTokens }
	resp, err := http.Get(serve(t, documented(t, b)) + "/v1/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || !bytes.Equal(got, OpenAPI) {
		t.Errorf("%d, %d bytes, %v", resp.StatusCode, len(got), err)
	}
}
