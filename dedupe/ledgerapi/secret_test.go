package ledgerapi

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// manyTokens returns a secret with the maximum number of tokens.
func manyTokens(version string) string {
	var b strings.Builder
	for n := range MaxTokens {
		fmt.Fprintf(&b, "tenant-%d:%s-%060d\n", n, version, n)
	}
	return b.String()
}

func requestOf(version string, n int) *http.Request {
	return &http.Request{Header: http.Header{"Authorization": {fmt.Sprintf("Bearer %s-%060d", version, n)}}}
}

// Each request parses the secret's text and looks up its token.
func BenchmarkTokensOfARequest(b *testing.B) {
	secret, r := manyTokens("v"), requestOf("v", 500)
	for b.Loop() {
		t, err := ParseTokens(strings.Clone(secret))
		if err != nil {
			b.Fatal(err)
		}
		if tenant, ok := t.authorize(r); !ok || tenant != "tenant-500" {
			b.Fatal(tenant)
		}
	}
}

// A changed secret is parsed again. Tokens of another secret are never
// accepted, even if requests of two deployments with two secrets alternate.
func TestTokensAreThoseOfTheSecretThatIsGiven(t *testing.T) {
	secrets := map[string]string{"a": manyTokens("a"), "b": manyTokens("b")}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				for version, secret := range secrets {
					tokens, err := ParseTokens(strings.Clone(secret))
					if err != nil {
						t.Error(err)
						return
					}
					for other := range secrets {
						if _, ok := tokens.authorize(requestOf(other, 7)); ok != (other == version) {
							t.Errorf("a token of %s with the secret %s: %v", other, version, ok)
						}
					}
				}
			}
		})
	}
	wg.Wait()
	shorter, _, _ := strings.Cut(secrets["a"], "\n")
	if tokens, err := ParseTokens(shorter); err != nil || len(tokens.entries) != 1 {
		t.Errorf("%v, %v", tokens, err)
	}
	if _, err := ParseTokens(secrets["a"] + "x"); err == nil {
		t.Error("a secret with an error at its end is accepted")
	}
	if _, err := ParseTokens(""); err == nil {
		t.Error("no secret is accepted")
	}
}
