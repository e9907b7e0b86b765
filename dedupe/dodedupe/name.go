package dodedupe

import "encoding/base64"

// objectName names the object that keeps a key's record:
//
//	capdo.dedupe.v1:<base64url of the scope>:<base64url of the key>
//
// in unpadded base64url (RFC 4648, section 5), which has no colon, so that no two pairs of scope and key share a name. A name of another
// form would be another object: changing this forgets every live record.
func objectName(scope string, key []byte) string {
	b := []byte("capdo.dedupe.v1:")
	b = base64.RawURLEncoding.AppendEncode(b, []byte(scope))
	b = append(b, ':')
	b = base64.RawURLEncoding.AppendEncode(b, key)
	return string(b)
}
