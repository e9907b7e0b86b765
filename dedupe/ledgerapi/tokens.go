package ledgerapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

// Limits of the tokens that [ParseTokens] reads.
const (
	// MinTokenSize is the length of the shortest token, in characters.
	MinTokenSize = 32
	// MaxTokenSize is the length of the longest token, in characters.
	MaxTokenSize = 512
	// MaxTenantSize is the length of the longest name of a tenant, in
	// characters.
	MaxTenantSize = 64
	// MaxTokens is the largest number of tokens.
	MaxTokens = 1000
)

// Errors about tokens.
var (
	// ErrNoTokens: there is no token, so nobody has access.
	ErrNoTokens = errors.New("the ledger has no tokens")
	// ErrMalformedTokens: the text is not a list of tokens.
	ErrMalformedTokens = errors.New("the list of tokens is malformed")
	// ErrUnauthorized: the server does not accept the client's token. The
	// call had no effect.
	ErrUnauthorized = errors.New("the token is not accepted")
)

// Tokens are the bearer tokens that give access to an API ([NewHandler]), each
// for one tenant.
type Tokens struct{ entries []tokenEntry }

type tokenEntry struct {
	hash   [sha256.Size]byte
	tenant string
}

// ParseTokens parses tokens from a secret: entries "tenant:token", separated by
// commas or line ends, with optional space around them. A tenant may have
// several tokens, so that they can be changed without an interruption: add the
// new one, move the clients, remove the old one.
//
// A tenant's name has 1 to [MaxTenantSize] letters, digits, and characters of
// "-_.". A token has [MinTokenSize] to [MaxTokenSize] of those and of "~+/",
// and may end in "=". No token may occur twice. ParseTokens fails with
// [ErrNoTokens] if there is no entry, and with [ErrMalformedTokens] for a wrong
// entry. The error's text gives the number of the wrong entry and the reason,
// but no part of the entry.
//
// A Worker calls ParseTokens for each request, because the secret is in the
// request's environment. ParseTokens caches the result for the last secret.
func ParseTokens(secret string) (*Tokens, error) {
	// Both texts are the server's own, so their comparison tells a client
	// nothing.
	if last := lastTokens.Load(); last != nil && last.secret == secret {
		return last.tokens, nil
	}
	tokens, err := parseTokens(secret)
	if err != nil {
		return nil, err
	}
	lastTokens.Store(&parsedTokens{secret, tokens})
	return tokens, nil
}

// parsedTokens are the tokens of a secret. Nothing changes them.
type parsedTokens struct {
	secret string
	tokens *Tokens
}

var lastTokens atomic.Pointer[parsedTokens]

func parseTokens(secret string) (*Tokens, error) {
	t := &Tokens{}
	seen := map[[sha256.Size]byte]bool{}
	for entry := range strings.FieldsFuncSeq(secret,
		func(r rune) bool { return r == ',' || r == '\n' }) {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		n := len(t.entries) + 1
		tenant, token, _ := strings.Cut(entry, ":")
		hash := sha256.Sum256([]byte(token))
		wrong := ""
		switch {
		case n > MaxTokens:
			wrong = fmt.Sprintf("exceeds the limit of %d tokens", MaxTokens)
		case !isTenant(tenant):
			wrong = fmt.Sprintf(`does not begin with a tenant's name, 1 to %d letters, digits or "-_.", and a colon`, MaxTenantSize)
		case !isToken(token):
			wrong = fmt.Sprintf(`does not end in a token, %d to %d letters, digits or "-_.~+/"`,
				MinTokenSize, MaxTokenSize)
		case seen[hash]:
			wrong = "has the token of another entry"
		}
		if wrong != "" {
			const hint = "write tenant:token, separated by commas; make a token with: " +
				"openssl rand -hex 32"
			return nil, fmt.Errorf("%w: entry %d %s\nhint: %s", ErrMalformedTokens, n, wrong, hint)
		}
		seen[hash] = true
		t.entries = append(t.entries, tokenEntry{hash, tenant})
	}
	if len(t.entries) == 0 {
		return nil, ErrNoTokens
	}
	return t, nil
}

func isTenant(s string) bool {
	return s != "" && len(s) <= MaxTenantSize &&
		strings.IndexFunc(s, func(r rune) bool { return !isNameRune(r) }) < 0
}

// isToken reports whether s is a b64token of RFC 6750 with an allowed length.
func isToken(s string) bool {
	if len(s) < MinTokenSize || len(s) > MaxTokenSize {
		return false
	}
	return strings.IndexFunc(strings.TrimRight(s, "="),
		func(r rune) bool { return !isNameRune(r) && !strings.ContainsRune("~+/", r) }) < 0
}

func isNameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' ||
		strings.ContainsRune("-_.", r)
}

// tenant returns the tenant of a token. It compares every entry, so its time
// does not depend on the token.
func (t *Tokens) tenant(token string) (tenant string, ok bool) {
	hash := sha256.Sum256([]byte(token))
	found := -1
	for i := range t.entries {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:],
			t.entries[i].hash[:]), i, found)
	}
	if found < 0 {
		return "", false
	}
	return t.entries[found].tenant, true
}

// authorize returns the tenant that a request's token belongs to.
func (t *Tokens) authorize(r *http.Request) (tenant string, ok bool) {
	given := r.Header.Values("Authorization")
	if len(given) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(given[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || !isToken(token) {
		return "", false
	}
	return t.tenant(token)
}
