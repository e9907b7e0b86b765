package ledgerapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

const goodToken = "0123456789abcdef0123456789abcdef"

func TestParseTokens(t *testing.T) {
	long := strings.Repeat("a", MaxTokenSize)
	for _, c := range []struct {
		name, secret string
		tokens       int
		err          error
	}{
		{"one", "red:" + goodToken, 1, nil},
		{"commas and line ends", "red:" + goodToken + "1,red:" + goodToken + "2\nblue:" + goodToken + "3\r\n", 3, nil},
		{"space and empty entries", " red:" + goodToken + " ,\n,, blue:" + goodToken + "= ,", 2, nil},
		{"the longest", strings.Repeat("t", MaxTenantSize) + ":" + long, 1, nil},
		{"every character", "a.b_c-9:" + goodToken + "AZaz09-_.~+/==", 1, nil},
		{"nothing", "", 0, ErrNoTokens},
		{"separators", " ,\n, ", 0, ErrNoTokens},
		{"no tenant", goodToken, 0, ErrMalformedTokens},
		{"an empty tenant", ":" + goodToken, 0, ErrMalformedTokens},
		{"a tenant that is too long", strings.Repeat("t", MaxTenantSize+1) + ":" + goodToken, 0, ErrMalformedTokens},
		{"a tenant with space", "r ed:" + goodToken, 0, ErrMalformedTokens},
		{"a tenant that is not ASCII", "röt:" + goodToken, 0, ErrMalformedTokens},
		{"a tenant with a slash", "../red:" + goodToken, 0, ErrMalformedTokens},
		{"no token", "red:", 0, ErrMalformedTokens},
		{"a short token", "red:" + goodToken[1:], 0, ErrMalformedTokens},
		{"a long token", "red:" + long + "a", 0, ErrMalformedTokens},
		{"a token with space", "red:" + goodToken + " x", 0, ErrMalformedTokens},
		{"a token with a colon", "red:blue:" + goodToken, 0, ErrMalformedTokens},
		{"a token with = inside", "red:" + goodToken + "=x", 0, ErrMalformedTokens},
		{"quotes", `"red:` + goodToken + `"`, 0, ErrMalformedTokens},
		{"a token twice", "red:" + goodToken + ",red:" + goodToken, 0, ErrMalformedTokens},
		{"the same token for two tenants", "red:" + goodToken + ",blue:" + goodToken, 0, ErrMalformedTokens},
		{"a valid and an invalid entry", "red:" + goodToken + ",blue", 0, ErrMalformedTokens},
	} {
		tokens, err := ParseTokens(c.secret)
		if !errors.Is(err, c.err) || (err == nil) != (c.tokens > 0) || err == nil && len(tokens.entries) != c.tokens {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && (strings.Contains(err.Error(), goodToken[1:]) || strings.Contains(err.Error(), "red")) {
			t.Errorf("%s: error %q contains the secret", c.name, err)
		}
	}
}

func TestTokensBelongToTenants(t *testing.T) {
	tokens, err := ParseTokens("red:" + goodToken + "1,blue:" + goodToken + "2,blue:" + goodToken + "3")
	if err != nil {
		t.Fatal(err)
	}
	for authorization, want := range map[string]string{
		"Bearer " + goodToken + "1": "red", "bearer " + goodToken + "2": "blue", "BEARER " + goodToken + "3": "blue",
		"Bearer " + goodToken: "", "Bearer " + goodToken + "4": "", "Bearer  " + goodToken + "1": "", "": "", "Bearer": "",
	} {
		r := &http.Request{Header: http.Header{"Authorization": {authorization}}}
		if got, ok := tokens.authorize(r); got != want || ok != (want != "") {
			t.Errorf("%q is %q's, %v; want %q", authorization, got, ok, want)
		}
	}
}

func TestTooManyTokensAreRefused(t *testing.T) {
	var b strings.Builder
	for n := range MaxTokens + 1 {
		b.WriteString("t:" + goodToken + strings.Repeat("x", n%100) + strings.Repeat("y", n/100) + "\n")
	}
	if _, err := ParseTokens(b.String()); !errors.Is(err, ErrMalformedTokens) {
		t.Error(err)
	}
	if _, err := ParseTokens(b.String()[:strings.LastIndex(strings.TrimSpace(b.String()), "\n")]); err != nil {
		t.Error(err)
	}
}

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
