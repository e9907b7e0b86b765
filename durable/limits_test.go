package durable

import (
	"errors"
	"testing"

	"flow.internal/capdo/internal/jsrt"
)

func TestErrorAmongValuesIsRefused(t *testing.T) {
	failure := &jsrt.Error{Name: "Error", Message: "stored"}
	for _, v := range []any{failure, []any{1.0, failure}, map[string]any{"a": []any{failure}}} {
		var got any
		if err := Decode(v, &got); !errors.Is(err, ErrValue) {
			t.Errorf("%#v became %#v, %v", v, got, err)
		}
	}
}
