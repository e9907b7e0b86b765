//go:build !js

package reservation

import (
	"encoding/hex"
	"testing"
)

// Records outlive the program, so a token stands for the same owner for good:
// FNV-1a of 128 bits.
func TestAnOwnerStandsForItsToken(t *testing.T) {
	for token, want := range map[string]string{
		"a": "d228cb696f1a8caf78912b704e4a8964",
	} {
		if got := OwnerOf(token); hex.EncodeToString(got[:]) != want {
			t.Errorf("%q: %x", token, got)
		}
	}
	if one, other := OwnerOf(""), OwnerOf(""); one == other {
		t.Error("two empty tokens have one owner")
	}
}
