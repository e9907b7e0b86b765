//go:build !js

package build

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFieldsAreThoseOfTheGoCommand(t *testing.T) {
	tests := []struct {
		flags string
		want  []string
	}{
		{"", nil},
		{" -a  -b=c ", []string{"-a", "-b=c"}},
		{`'-ldflags=-s -X "a=b"' -v`, []string{`-ldflags=-s -X "a=b"`, "-v"}},
		{`"-ldflags=-X 'a=b c'"`, []string{"-ldflags=-X 'a=b c'"}},
		{`'never closed`, []string{"never closed"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, fields(tt.flags)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.flags, diff)
		}
	}
}

func TestAFunctionIsOfTheLongestPackage(t *testing.T) {
	known := map[string]string{"a": "a", "a.b_c": "a.b/c", "net_http": "net/http"}
	for name, want := range map[string]string{"a.F": "a", "a.b_c.F": "a.b/c", "a.b_c.__T_.M.func1": "a.b/c", "net_http.__Client_.Do": "net/http", "other.F": "", "go_map": ""} {
		if got, _ := packageOf(name, known); got != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
}
