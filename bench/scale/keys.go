//go:build !js

package main

import (
	"math"
	"math/rand/v2"
	"sort"
	"strconv"
)

// bucketHash is that of dodedupe.Buckets; a test compares what it gives with
// the names that dodedupe pins.
func bucketHash(key []byte) uint32 {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return uint32(h) ^ uint32(h>>32)
}

// bucketOf returns the bucket of the key with a serial number.
func bucketOf(key int32, buckets int) int32 {
	var b [24]byte
	text := strconv.AppendInt(append(b[:0], "order-"...), int64(key), 10)
	return int32(bucketHash(text) % uint32(buckets))
}

// zipf draws keys, of which the first is the most popular: the k-th is drawn
// k^s times less often.
type zipf struct{ below []float64 }

func newZipf(keys int, s float64) *zipf {
	z := &zipf{make([]float64, keys)}
	sum := 0.0
	for i := range z.below {
		sum += math.Pow(float64(i+1), -s)
		z.below[i] = sum
	}
	for i := range z.below {
		z.below[i] /= sum
	}
	return z
}

func (z *zipf) draw(r *rand.Rand) int32 {
	return int32(min(sort.SearchFloat64s(z.below, r.Float64()), len(z.below)-1))
}

// share is that of a key among what is drawn.
func (z *zipf) share(key int) float64 {
	if key == 0 {
		return z.below[0]
	}
	return z.below[key] - z.below[key-1]
}

// fullest returns the number of keys in the fullest of n buckets. Up to a few
// million keys are hashed. Of more, each bucket's number is drawn, normal with
// the mean and variance that a good hash gives.
func fullest(keys float64, buckets int, r *rand.Rand) float64 {
	if keys <= 2e6 {
		return hashed(int(keys), buckets)
	}
	return drawn(keys, buckets, r)
}

func hashed(keys, buckets int) float64 {
	counts := make([]int, buckets)
	most := 0
	for k := range keys {
		b := bucketOf(int32(k), buckets)
		counts[b]++
		most = max(most, counts[b])
	}
	return float64(most)
}

func drawn(keys float64, buckets int, r *rand.Rand) float64 {
	p := 1 / float64(buckets)
	mean, deviation := keys*p, math.Sqrt(keys*p*(1-p))
	most := 0.0
	for range buckets {
		most = max(most, mean+deviation*r.NormFloat64())
	}
	return math.Round(most)
}
