package wire

import (
	"encoding/binary"
	"math"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
)

// Methods of an object that keeps the reservation of one key. A message has,
// after its version,
//
//	putIfAbsent   owner (16 bytes), TTL in ms (uvarint)
//	lookKey       nothing
//	forgetKey     the record, as lookKey returned it
//
// and the replies have
//
//	putIfAbsent   0 or 1: inserted
//	lookKey       0, or 1 and the record as it is stored
//	forgetKey     nothing
const (
	MethodPut       = "putIfAbsent"
	MethodLookKey   = "lookKey"
	MethodForgetKey = "forgetKey"
)

// EncodePut returns the message of putIfAbsent.
func EncodePut(o reservation.Owner, ttl int64) []byte {
	b := append([]byte{messageVersion}, o[:]...)
	return binary.AppendUvarint(b, uint64(ttl))
}

// DecodePut reads the message of putIfAbsent.
func DecodePut(msg []byte) (o reservation.Owner, ttl int64, err error) {
	b, err := content(msg)
	if err != nil {
		return o, 0, effect.None(err)
	}
	n := copy(o[:], b)
	ms, size := binary.Uvarint(b[n:])
	if size <= 0 || n+size != len(b) || ms > math.MaxInt64 {
		return reservation.Owner{}, 0, effect.None(codec.ErrMalformed)
	}
	return o, int64(ms), nil
}

// EncodeLook returns the message of lookKey.
func EncodeLook() []byte { return []byte{messageVersion} }

// EncodeForget returns the message of forgetKey.
func EncodeForget(seen []byte) []byte { return append([]byte{messageVersion}, seen...) }

// Content returns the message of lookKey or forgetKey without its version.
func Content(msg []byte) ([]byte, error) {
	b, err := content(msg)
	if err != nil {
		return nil, effect.None(err)
	}
	return b, nil
}

// EncodeBool returns a boolean, to which more may be appended.
func EncodeBool(v bool) []byte {
	if v {
		return []byte{1}
	}
	return []byte{0}
}

// CutBool splits off the leading boolean.
func CutBool(b []byte) (v bool, rest []byte, err error) {
	if len(b) == 0 || b[0] > 1 {
		return false, nil, codec.ErrMalformed
	}
	return b[0] == 1, b[1:], nil
}
