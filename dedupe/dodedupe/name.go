package dodedupe

import (
	"encoding/base64"
	"strings"
)

// Kinds of objects, in their names.
const (
	kindStore    = "dedupe"
	kindLedger   = "ledger"
	kindSequence = "sequence"
)

// objectName names the object that keeps a key's record:
//
//	capdo.<kind>.v1:<base64url of the scope>:<base64url of the key>
//
// The base64url is unpadded (RFC 4648, section 5) and has no colon, so no two
// pairs of scope and key share a name. Do not change the form: another name is
// another object, so every live record would be lost.
func objectName(kind, scope string, key []byte) string {
	var short [256]byte // on the stack
	return string(base64.RawURLEncoding.AppendEncode(appendPrefix(short[:0], kind, scope), key))
}

func objectPrefix(kind, scope string) string {
	var short [256]byte
	return string(appendPrefix(short[:0], kind, scope))
}

func appendPrefix(b []byte, kind, scope string) []byte {
	b = append(append(append(b, "capdo."...), kind...), ".v1:"...)
	return append(base64.RawURLEncoding.AppendEncode(b, []byte(scope)), ':')
}

// parseObjectName returns the scope of an object and its key. The key is nil if
// the object keeps many, or if the name has another form.
func parseObjectName(name string) (scope string, key []byte) {
	scope, ok := objectScope(name)
	if !ok {
		return "", nil
	}
	key, err := base64.RawURLEncoding.DecodeString(name[strings.LastIndexByte(name, ':')+1:])
	if err != nil { // a bucket
		return scope, nil
	}
	return scope, key
}

// objectScope returns the scope of an object, if its name is of that form.
func objectScope(name string) (scope string, ok bool) {
	parts := strings.Split(name, ":")
	if len(parts) != 3 {
		return "", false
	}
	s, err := base64.RawURLEncoding.DecodeString(parts[1])
	return string(s), err == nil
}
