package dedupehttp

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"flow.internal/capdo/dedupe"
)

func TestKeysAreStructuredFieldStringsOrBare(t *testing.T) {
	long := strings.Repeat("k", MaxIdempotencyKey)
	for _, c := range []struct{ name, value, want string }{
		{"a UUID, quoted", `"8e03978e-40d5-43e8-bc93-6894a57f9324"`, "8e03978e-40d5-43e8-bc93-6894a57f9324"},
		{"a UUID, bare", "8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"},
		{"spaces around a bare key", " \tabc ", "abc"},
		{"spaces around a quoted key", ` "abc" `, "abc"},
		{"spaces in a quoted key", `" a b "`, " a b "},
		{"escapes", `"a\"b\\c"`, `a"b\c`},
		{"separators in a quoted key", `"a,b;c=d"`, "a,b;c=d"},
		{"punctuation in a bare key", "a:b/c+d=e_~!'()*", "a:b/c+d=e_~!'()*"},
		{"the longest quoted key", `"` + long + `"`, long},
		{"the longest bare key", long, long},
		{"the longest key of escapes", `"` + strings.Repeat(`\"`, MaxIdempotencyKey) + `"`, strings.Repeat(`"`, MaxIdempotencyKey)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, problem := parseKey([]string{c.value}); got != c.want || problem != nil {
				t.Errorf("%q, %+v; want %q", got, problem, c.want)
			}
		})
	}
}

func TestInvalidKeysAreRefused(t *testing.T) {
	const invalid, tooLong = "idempotency_key_invalid", "idempotency_key_too_long"
	long := strings.Repeat("k", MaxIdempotencyKey+1)
	for _, c := range []struct {
		name, code string
		values     []string
	}{
		{"no header", "idempotency_key_missing", nil},
		{"two headers", invalid, []string{"a", "b"}},
		{"two equal headers", invalid, []string{"a", "a"}},
		{"two joined headers", invalid, []string{"a, b"}},
		{"two headers joined without a space", invalid, []string{"a,b"}},
		{"two joined quoted keys", invalid, []string{`"a", "b"`}},
		{"nothing", invalid, []string{""}},
		{"spaces", invalid, []string{"  "}},
		{"empty quotes", invalid, []string{`""`}},
		{"no closing quote", invalid, []string{`"abc`}},
		{"only a quote", invalid, []string{`"`}},
		{"no opening quote", invalid, []string{`abc"`}},
		{"text after the string", invalid, []string{`"abc"d`}},
		{"a parameter", invalid, []string{`"abc";v=1`}},
		{"a parameter of a bare key", invalid, []string{`abc;v=1`}},
		{"an escape of another character", invalid, []string{`"a\bc"`}},
		{"an escape of nothing", invalid, []string{`"abc\`}},
		{"an escaped closing quote", invalid, []string{`"abc\"`}},
		{"a backslash in a bare key", invalid, []string{`a\c`}},
		{"a space in a bare key", invalid, []string{"a c"}},
		{"a control character", invalid, []string{"a\x01c"}},
		{"a control character, quoted", invalid, []string{"\"a\x1fc\""}},
		{"a line end, quoted", invalid, []string{"\"a\nc\""}},
		{"DEL", invalid, []string{"a\x7fc"}},
		{"DEL, quoted", invalid, []string{"\"a\x7fc\""}},
		{"other than ASCII", invalid, []string{"sch\u00fcssel"}},
		{"not ASCII, quoted", invalid, []string{"\"sch\u00fcssel\""}},
		{"256 bytes", tooLong, []string{long}},
		{"256 bytes, quoted", tooLong, []string{`"` + long + `"`}},
		{"a megabyte", tooLong, []string{`"` + strings.Repeat("k", 1<<20) + `"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			key, problem := parseKey(c.values)
			if key != "" || problem == nil || problem.Code != c.code || problem.Status != http.StatusBadRequest {
				t.Errorf("%q, %+v; want %s", key, problem, c.code)
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"", "abc", `"abc"`, `"a\"b\\"`, `"a", "b"`, `"a";b`, "\x00", `"` + strings.Repeat("k", 256) + `"`} {
		f.Add(s)
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	f.Fuzz(func(t *testing.T, value string) {
		key, problem := parseKey([]string{value})
		if problem != nil {
			if key != "" || problem.Status != http.StatusBadRequest {
				t.Errorf("%q, %+v", key, problem)
			}
			return
		}
		if key == "" || len(key) > MaxIdempotencyKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("the key is %q", key)
		}
		if again, problem := parseKey([]string{`"` + quote.Replace(key) + `"`}); again != key || problem != nil {
			t.Errorf("%q quoted is %q, %+v", key, again, problem)
		}
		if isBare(key) {
			if again, problem := parseKey([]string{key}); again != key || problem != nil {
				t.Errorf("%q bare is %q, %+v", key, again, problem)
			}
		}
	})
}

func TestScopesAndKeysDoNotMeetInTheLedger(t *testing.T) {
	long := strings.Repeat("s", dedupe.MaxKeySize)
	seen := map[string]bool{}
	pairs := [][2]string{
		{"a", "bc"}, {"ab", "c"}, {"", "abc"}, {"abc", ""}, {"a\x00", "bc"}, {"a:b", "c"}, {"a", "b:c"}, {"\x01", "a"}, {"\x01a", ""}, {"", "\x01a"},
		{long, "k"}, {long + "k", ""}, {long[1:], "sk"}, {long, "K"}, {strings.Repeat("s", 127), "k"}, {strings.Repeat("s", 128), "k"},
	}
	for _, p := range pairs {
		k := string(ledgerKey(p[0], p[1]))
		if err := dedupe.CheckKey([]byte(k)); err != nil || seen[k] {
			t.Errorf("scope of %d bytes, key of %d: %v, seen %v", len(p[0]), len(p[1]), err, seen[k])
		}
		seen[k] = true
		if k == string(ledgerKey("x"+p[0], p[1])) {
			t.Error("another scope has the same key")
		}
	}
	// An attacker cannot choose a scope and key that produce the hash of
	// another pair: hashed keys begin with another byte.
	if k := ledgerKey(long, "k"); k[0] != keyHashed || len(k) != 33 {
		t.Errorf("%d bytes, of kind %d", len(k), k[0])
	}
	fits := dedupe.MaxKeySize - 1 - 2 - MaxIdempotencyKey
	if k := ledgerKey(long[:fits], long[:MaxIdempotencyKey]); k[0] != keyWhole || len(k) != dedupe.MaxKeySize {
		t.Errorf("%d bytes, of kind %d", len(k), k[0])
	}
	if k := ledgerKey(long[:fits+1], long[:MaxIdempotencyKey]); k[0] != keyHashed {
		t.Errorf("%d bytes, of kind %d", len(k), k[0])
	}
}

// Keys that are stored in ledgers must still be found.
func TestKeysInTheLedgerStayWhatTheyAre(t *testing.T) {
	if got := ledgerKey("tenant", "abc"); string(got) != "\x01\x06tenantabc" {
		t.Errorf("%q", got)
	}
	if got := hex.EncodeToString(ledgerKey(strings.Repeat("t", 2048), "abc")); got != "02839e6c42e62e84809fcdb0b7b377865a2b049c35dc06b1c5678ea7557218f71b" {
		t.Error(got)
	}
	r, err := http.NewRequest("POST", "http://host/a%2fb?c=d", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/plain")
	if got := hex.EncodeToString(fingerprint(r, []byte("body"))); got != "67aefcc76ace4b75598dcb7c94cb32352a3bd5c81233efefb5310150389d6979" {
		t.Error(got)
	}
}
