// Package reservation has a store's record of one key, and the steps of an
// object on it. A Worker with only a store links no other package of the
// implementation below package dodedupe.
package reservation

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
)

// Owner is the token of one call; its repetition has the same token.
type Owner [16]byte

// NewOwner returns a random token.
func NewOwner() (o Owner) {
	binary.LittleEndian.PutUint64(o[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(o[8:], rand.Uint64())
	return o
}

// OwnerOf returns the token that stands for a caller's, which has any size. The
// hash is not a cryptographic one: whoever knows an owner can repeat its call
// anyway, and two random ones do not meet.
func OwnerOf(token string) (o Owner) {
	if token == "" {
		return NewOwner()
	}
	h := fnv.New128a()
	h.Write([]byte(token))
	h.Sum(o[:0])
	return o
}

// Record is the reservation of a key.
type Record struct {
	Owner            Owner
	Claimed, Expires int64 // Unix time in ms, by the object's clock
}

// Live reports whether the record has not expired.
func (r Record) Live(now int64) bool { return now < r.Expires }

const (
	recordVersion = 1
	// Version, owner, claimed, expires; big-endian.
	recordSize = 1 + 16 + 8 + 8
)

// Encode returns the record as it is stored.
func (r Record) Encode() []byte {
	b := make([]byte, 0, recordSize)
	b = append(b, recordVersion)
	b = append(b, r.Owner[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Claimed))
	return binary.BigEndian.AppendUint64(b, uint64(r.Expires))
}

// Decode fails with [codec.ErrVersion] or [codec.ErrCorrupt].
func Decode(b []byte) (r Record, err error) {
	if len(b) > 0 && b[0] > recordVersion {
		return r, codec.ErrVersion
	}
	if len(b) != recordSize || b[0] != recordVersion {
		return r, codec.ErrCorrupt
	}
	copy(r.Owner[:], b[1:])
	claimed, expires := binary.BigEndian.Uint64(b[17:]), binary.BigEndian.Uint64(b[25:])
	if claimed > uint64(codec.MaxNow) || expires > math.MaxInt64 {
		return Record{}, codec.ErrCorrupt
	}
	r.Claimed, r.Expires = int64(claimed), int64(expires)
	if ttl := r.Expires - r.Claimed; ttl < 1 || ttl > codec.MaxTTL {
		return Record{}, codec.ErrCorrupt
	}
	return r, nil
}
