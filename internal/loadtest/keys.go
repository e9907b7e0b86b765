package loadtest

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Keys gives each request a key, either a new one or the key of an earlier
// request.
type Keys struct {
	// Template makes a key: {n} becomes its number, {run} becomes Run.
	Template string
	Run      string
	// Duplicates is the share of requests that repeat an earlier key. It is at
	// least 0 and below 1.
	Duplicates float64
}

// Of returns the key of the request with that serial number. It is always the
// same.
func (k Keys) Of(serial int64) string {
	repeated := k.repeated(serial)
	n := serial - repeated // the number of keys before it
	if k.repeated(serial+1) > repeated && n > 0 {
		n = rand.New(rand.NewPCG(uint64(serial), 0)).Int64N(n)
	}
	return strings.NewReplacer("{n}", strconv.FormatInt(n, 10), "{run}", k.Run).Replace(k.Template)
}

// repeated returns how many of the first requests repeat a key.
func (k Keys) repeated(requests int64) int64 {
	return int64(math.Floor(float64(requests) * k.Duplicates))
}
