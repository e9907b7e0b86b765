package loadtest

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Keys gives each request a key: a new one, or that of an earlier request.
type Keys struct {
	// Template makes a key: {n} is its number, {run} is Run.
	Template string
	Run      string
	// Duplicates is the share of the requests that repeat an earlier key, from
	// 0 to below 1.
	Duplicates float64
}

// Of returns the key of the request with a serial number, always the same one.
func (k Keys) Of(serial int64) string {
	repeated := k.repeated(serial)
	n := serial - repeated // how many keys there are before it
	if k.repeated(serial+1) > repeated && n > 0 {
		n = rand.New(rand.NewPCG(uint64(serial), 0)).Int64N(n)
	}
	return strings.NewReplacer("{n}", strconv.FormatInt(n, 10), "{run}", k.Run).Replace(k.Template)
}

// repeated is how many of the first requests repeat a key.
func (k Keys) repeated(requests int64) int64 {
	return int64(math.Floor(float64(requests) * k.Duplicates))
}
