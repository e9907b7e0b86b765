package flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxFlowSize is the size of the largest JSON form of a flow, in bytes.
const MaxFlowSize = 1 << 20

// Parse parses a flow's JSON form. It refuses everything else: unknown names,
// names in another case, duplicate names, text after the flow, more than
// [MaxFlowSize] bytes. It does not validate the flow. encoding/json writes the
// form that Parse reads.
func Parse(text []byte) (*Flow, error) {
	if len(text) > MaxFlowSize {
		return nil, fmt.Errorf("flow: the JSON form has %d bytes"+
			"\nhint: %d are allowed", len(text), MaxFlowSize)
	}
	if err := checkNames(json.NewDecoder(bytes.NewReader(text))); err != nil {
		return nil, fmt.Errorf("flow: the JSON form: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var f *Flow
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("flow: the JSON form: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("flow: the JSON form: something follows the flow")
	}
	if f == nil {
		return nil, errors.New("flow: the JSON form: null is not a flow")
	}
	return f, nil
}

// checkNames refuses names that encoding/json accepts in one value: duplicate
// names in an object, and names that differ from a field's only in case.
func checkNames(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			name := token.(string)
			if !isFieldName(name) {
				return fmt.Errorf("unknown field %q", name)
			}
			if seen[name] {
				return fmt.Errorf("field %q comes twice", name)
			}
			seen[name] = true
		}
		if err := checkNames(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func isFieldName(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return true
}
