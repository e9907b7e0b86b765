//go:build !js

package main

import "math"

// histogram counts durations, in seconds, in steps of 1%, from 10 µs. Shorter
// ones count as none.
type histogram struct {
	steps [1800]int
	n     int
	sum   float64
}

const (
	shortest = 10e-6
	step     = 1.01
)

var logStep = math.Log(step)

func (h *histogram) add(seconds float64) {
	h.n++
	h.sum += seconds
	i := 0
	if seconds >= shortest {
		i = min(1+int(math.Log(seconds/shortest)/logStep), len(h.steps)-1)
	}
	h.steps[i]++
}

// at returns the duration that a part of all do not exceed.
func (h *histogram) at(part float64) float64 {
	rank := int(math.Ceil(part * float64(h.n)))
	for i, n := range h.steps {
		if rank -= n; rank <= 0 {
			if i == 0 {
				return 0
			}
			return shortest * math.Pow(step, float64(i)-0.5)
		}
	}
	return math.Inf(1)
}

func (h *histogram) mean() float64 { return h.sum / float64(max(h.n, 1)) }
