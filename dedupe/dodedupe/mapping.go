package dodedupe

import (
	"errors"
	"strconv"
)

// MaxBuckets is the largest number of buckets of a [Ledger].
const MaxBuckets = 1 << 16

// ErrBuckets: the number of buckets is not from 1 to [MaxBuckets].
var ErrBuckets = errors.New("the number of buckets is not from 1 to 65536")

// Mapping says which object keeps a key. The zero value is PerKey.
type Mapping struct{ buckets, invalid int }

// PerKey gives each key an object of its own.
func PerKey() Mapping { return Mapping{} }

// Buckets spreads the keys over n objects, from 1 to [MaxBuckets]. Each has one
// database and one alarm, however many keys it has, and takes about 1,000
// requests per second. Another n is another ledger, which starts empty: keys
// are not moved.
func Buckets(n int) Mapping {
	if n < 1 || n > MaxBuckets {
		return Mapping{invalid: 1}
	}
	return Mapping{buckets: n}
}

// String returns "per key", or "8 buckets".
func (m Mapping) String() string {
	if m.buckets == 0 {
		return "per key"
	}
	return strconv.Itoa(m.buckets) + " buckets"
}

// locate returns the object that keeps a key, and the key within that object:
//
//	capdo.<kind>.v1:<base64url of the scope>:<base64url of the key>       "", per key
//	capdo.<kind>.v1:<base64url of the scope>:<bucket>/<buckets>           the key
//
// The bucket is the key's 64-bit FNV-1a hash, its halves combined by exclusive
// or, modulo the number of buckets.
func (m Mapping) locate(kind, scope string, key []byte) (object, innerKey string) {
	if m.buckets == 0 {
		return objectName(kind, scope, key), ""
	}
	bucket := int(bucketHash(key) % uint32(m.buckets))
	object = objectPrefix(kind, scope) + strconv.Itoa(bucket) + "/" + strconv.Itoa(m.buckets)
	return object, string(key)
}

func bucketHash(key []byte) uint32 {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return uint32(h) ^ uint32(h>>32)
}
