// Package flowseal encrypts what flows store: inputs for recovery (flow's
// Recovery) and outputs of nodes that run exactly once. Keys can be replaced
// while runs are under way.
//
//	keys, err := flowseal.ParseKeys(secret)
//	bindings.Add(flow.Keys, keys, err) // a flow.Sealer
//
// # Limits
//
// AES-256-GCM with random nonces: a key is good for 2³² texts (NIST SP
// 800-38D), which are the inputs and outputs together. Replace it before that.
// The size of a text, and when it was stored, are not hidden.
package flowseal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Errors to test for with [errors.Is].
var (
	// ErrUnknownKey: the text was sealed with a key that is no longer
	// there.
	ErrUnknownKey = errors.New("flowseal: the text was sealed with " +
		"an unknown key\nhint: when you replace a key, keep the old key " +
		"after the new one, for as long as runs are remembered")
	// ErrOpen: the text was changed, was sealed with another about, or was
	// sealed with another key of the same id.
	ErrOpen = errors.New("flowseal: the text cannot be opened")
)

// KeySize is the size of a key, in bytes.
const KeySize = 32

// Keys seal with the first key, and open with any of them.
type Keys struct{ keys []key }

type key struct {
	id     string
	aead   cipher.AEAD
	digest []byte
}

// ParseKeys reads keys, "id:key,id:key": an id of 1 to 32 letters, digits, - or
// _, and 32 bytes in base64, such as `openssl rand -base64 32` prints. The
// first key seals. To replace it, put another one before it. Remove the old key
// when nothing that it sealed is stored any more: after the TTL of flow's
// Recovery, and after the longest TTL of a node and another tenth of it. Errors
// do not contain the text.
func ParseKeys(text string) (*Keys, error) {
	var k Keys
	for n, part := range strings.Split(strings.TrimSpace(text), ",") {
		id, encoded, ok := strings.Cut(strings.TrimSpace(part), ":")
		secret, err := base64.StdEncoding.DecodeString(encoded)
		switch {
		case !ok || !isID(id):
			return nil, keyError(n, "has no id of 1 to 32 letters, digits, - or _", "write id:key")
		case err != nil || len(secret) != KeySize:
			return nil, keyError(n, "is not 32 bytes in base64",
				"make one with openssl rand -base64 32")
		}
		for _, other := range k.keys {
			if other.id == id {
				return nil, keyError(n, "has the id of another key", "give each key its own id")
			}
		}
		made, err := newKey(id, secret)
		if err != nil {
			return nil, err
		}
		k.keys = append(k.keys, made)
	}
	return &k, nil
}

func keyError(n int, what, hint string) error {
	return fmt.Errorf("flowseal: key %d %s\nhint: %s", n+1, what, hint)
}

func isID(id string) bool {
	for _, c := range id {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '-' || c == '_') {
			return false
		}
	}
	return 0 < len(id) && len(id) <= 32
}

func newKey(id string, secret []byte) (k key, err error) {
	sealing, err := hkdf.Key(sha256.New, secret, nil, "capdo flow seal v1", KeySize)
	if err != nil {
		return key{}, err
	}
	digest, err := hkdf.Key(sha256.New, secret, nil, "capdo flow digest v1", KeySize)
	if err != nil {
		return key{}, err
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return key{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return key{id, aead, digest}, err
}

// version is the first byte of a sealed text. The length of the key's id, the
// id, and the cipher's output follow.
const version = 1

// Seal encrypts a text with the first key. Open needs the same about.
func (k *Keys) Seal(text, about []byte) ([]byte, error) {
	if k == nil || len(k.keys) == 0 {
		return nil, ErrUnknownKey
	}
	first := &k.keys[0]
	header := append([]byte{version, byte(len(first.id))}, first.id...)
	return first.aead.Seal(header, nil, text, additional(header, about)), nil
}

// additional returns the data that is authenticated besides the text.
func additional(header, about []byte) []byte {
	return append(append([]byte{}, header...), about...)
}

// Open decrypts a text that Seal has encrypted. It fails with [ErrUnknownKey]
// and [ErrOpen].
func (k *Keys) Open(sealed, about []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != version || len(sealed) < 2+int(sealed[1]) {
		return nil, ErrOpen
	}
	header, rest := sealed[:2+int(sealed[1])], sealed[2+int(sealed[1]):]
	for i := range k.keys {
		if k.keys[i].id != string(header[2:]) {
			continue
		}
		text, err := k.keys[i].aead.Open(nil, nil, rest, additional(header, about))
		if err != nil {
			return nil, ErrOpen
		}
		return text, nil
	}
	return nil, ErrUnknownKey
}

// Digest returns a text's HMAC with the first key.
func (k *Keys) Digest(text []byte) []byte {
	mac := hmac.New(sha256.New, k.keys[0].digest)
	mac.Write(text)
	return mac.Sum(nil)
}
