package wire

import (
	"slices"
	"testing"
)

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{1, 1, 1, 0})
	f.Add([]byte{2, 1, 1, 'r'})
	f.Add([]byte{3, 1, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := DecodeAnswer(body)
		if err == nil && !slices.Equal(EncodeAnswer(&a), body) {
			t.Fatalf("%x: %+v", body, a)
		}
	})
}
