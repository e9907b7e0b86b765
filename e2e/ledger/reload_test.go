//go:build !js

package ledger

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/dev"
)

// copyOf copies the example into a folder of its own in the module, with the
// given variables, and with or without the config's build command.
func copyOf(t *testing.T, vars string, builds bool) string {
	t.Helper()
	const example = "../../examples/ledger"
	dir, err := os.MkdirTemp("../../examples", "copy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{"main.go", "wrangler.jsonc"} {
		b, err := os.ReadFile(filepath.Join(example, name))
		if !builds {
			b = regexp.MustCompile(`(?m)^ *"build":.*$`).ReplaceAll(b, nil)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, ".dev.vars"), vars)
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Without a restart of capdo dev, a token that is removed from .dev.vars is no
// longer accepted, and an added token is.
func TestTokensAreThoseOfTheFile(t *testing.T) {
	for name, builds := range map[string]bool{"wrangler reads the config": false, "wrangler reads a copy of the config": true} {
		t.Run(name, func(t *testing.T) { testTokens(t, builds) })
	}
}

func testTokens(t *testing.T, builds bool) {
	secret := func(tenants ...int64) string {
		var entries []string
		for _, n := range tenants {
			entries = append(entries, "t:"+tokenOf(n))
		}
		return "LEDGER_TOKENS=\"" + strings.Join(entries, ",") + "\"\n"
	}
	dir := copyOf(t, secret(1, 2), builds)
	s := dev.Start(t, dir, "/v1/openapi.yaml")
	status := func(token string) int {
		r, err := http.NewRequest("POST", s.URL+"/v1/claims", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		resp, err := httpClient.Do(r)
		if err != nil {
			return 0 // the server reloads
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	until := func(token string, want int) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			got := status(token)
			if got == want {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("the answer to a token is %d, want %d", got, want)
			}
		}
	}
	const letIn, refused = 400, 401 // an accepted token gets 400, because the body is not a claim
	until(tokenOf(1), letIn)
	until(tokenOf(3), refused)
	write(t, filepath.Join(dir, ".dev.vars"), secret(2, 3))
	until(tokenOf(1), refused)
	until(tokenOf(2), letIn)
	until(tokenOf(3), letIn)
	if err := os.Remove(filepath.Join(dir, ".dev.vars")); err != nil {
		t.Fatal(err)
	}
	until(tokenOf(2), http.StatusServiceUnavailable) // there are no tokens
}
