package dodedupe

import (
	"encoding/binary"
	"math"
	"time"

	"flow.internal/capdo/dedupe"
)

// owner is the token of one PutIfAbsent call; its repetition carries the same.
type owner [16]byte

// record is a claim on a key.
type record struct {
	owner            owner
	claimed, expires int64 // Unix time in ms, by the object's clock
}

// live reports whether the record still counts.
func (r record) live(now int64) bool { return now < r.expires }

const (
	recordVersion = 1
	recordSize    = 1 + 16 + 8 + 8 // version, owner, claimed, expires; big-endian

	maxTTL = int64(dedupe.MaxTTL / time.Millisecond)
	// maxNow keeps every expiry within what a JavaScript Date, hence an alarm, can hold: 8.64e15 ms.
	maxNow = 8_640_000_000_000_000 - maxTTL
)

func (r record) encode() []byte {
	b := make([]byte, 0, recordSize)
	b = append(b, recordVersion)
	b = append(b, r.owner[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.claimed))
	return binary.BigEndian.AppendUint64(b, uint64(r.expires))
}

// decodeRecord fails with ErrVersion or ErrCorrupt.
func decodeRecord(b []byte) (r record, err error) {
	if len(b) > 0 && b[0] > recordVersion {
		return r, ErrVersion
	}
	if len(b) != recordSize || b[0] != recordVersion {
		return r, ErrCorrupt
	}
	copy(r.owner[:], b[1:])
	claimed, expires := binary.BigEndian.Uint64(b[17:]), binary.BigEndian.Uint64(b[25:])
	if claimed > uint64(maxNow) || expires > math.MaxInt64 {
		return record{}, ErrCorrupt
	}
	r.claimed, r.expires = int64(claimed), int64(expires)
	if ttl := r.expires - r.claimed; ttl < 1 || ttl > maxTTL {
		return record{}, ErrCorrupt
	}
	return r, nil
}
