package sha256

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

func TestSumIsThatOfTheStandardLibrary(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	for size := range 300 {
		data := make([]byte, size)
		r.Read(data)
		if got, want := Sum(data), sha256.Sum256(data); got != want {
			t.Fatalf("%d bytes: %x, want %x", size, got, want)
		}
	}
}
