package jsontext

import "testing"

func TestValid(t *testing.T) {
	for text, want := range map[string]bool{
		`{"key":"a"}`:                   true,
		`"\ud83d\ude00 \u00e9 \\ud800"`: true,
		`"\ud800"`:                      false,
		`"\udfff"`:                      false,
		`"\ud800\u0041"`:                false,
		`"\ud800x"`:                     false,
		"\"\xff\"":                      false,
		`{"key":`:                       false,
		`1 2`:                           false,
		``:                              false,
	} {
		if got := Valid([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
