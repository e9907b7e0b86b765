//go:build !js

package main

import (
	"fmt"
	"strconv"
)

// axis is one thing that grows while everything else stays as it is. It has a
// workerd process of its own.
type axis struct {
	name, title, label string
	bars               bool // its values have no order
	points             []*point
}

// point is an operation where an axis has a value.
type point struct {
	// taken, new, or work: claim and completion of a new key; own is work with
	// an object per key
	op       string
	title    string
	x        string
	buckets  int    // 0: an object per key
	scope    string // points of the same scope share their keys
	keys     int    // that exist
	filled   bool   // they were not claimed, but written by fill
	asleep   bool   // their objects have been evicted
	fresh    bool   // each new key is the first of its bucket
	size     int    // of results, in bytes
	callers  int
	requests int // in one measurement
}

func (p *point) id(a *axis) string { return a.name + "/" + p.op + "/" + p.x }

func count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// growthAxes are those of GROWTH.md. With quick they end where preparing takes
// long.
func growthAxes(quick bool) []*axis {
	return []*axis{objectsAxis(quick), keysAxis(quick), sizesAxis(), callersAxis(), mappingAxis()}
}

func objectsAxis(quick bool) *axis {
	a := &axis{name: "objects", title: "Number of objects", label: "objects"}
	for _, n := range []int{1, 100, 1000, 10_000} {
		if quick && n > 1000 {
			break
		}
		a.points = append(a.points, &point{op: "taken", title: "claim of a taken key", x: count(n),
			scope: "objects", keys: n, asleep: n > 1000, callers: 16, requests: 800})
	}
	return a
}

func keysAxis(quick bool) *axis {
	a := &axis{name: "keys", title: "Keys in a bucket", label: "keys"}
	for _, n := range []int{1000, 10_000, 100_000, 1_000_000} {
		if quick && n > 100_000 {
			break
		}
		base := point{x: count(n), buckets: 1, scope: "keys" + strconv.Itoa(n), keys: n,
			filled: true, callers: 16, requests: 600}
		a.add(base, "taken", "claim of a taken key")
		a.add(base, "new", "claim of a new key")
	}
	return a
}

func (a *axis) add(base point, op, title string) {
	base.op, base.title = op, title
	a.points = append(a.points, &base)
}

func sizesAxis() *axis {
	a := &axis{name: "sizes", title: "Size of a record", label: "bytes of the result"}
	for _, s := range []struct {
		x              string
		size, requests int
	}{{"0", 0, 300}, {"1 KiB", 1 << 10, 300}, {"64 KiB", 64 << 10, 150}, {"1 MiB", 1 << 20, 40}} {
		base := point{x: s.x, buckets: 1, scope: "sizes" + strconv.Itoa(s.size), keys: 1,
			size: s.size, callers: 4, requests: s.requests}
		a.add(base, "taken", "claim of a completed key, in one bucket")
		a.add(base, "work", "claim and completion of a new key, in one bucket")
		a.add(base, "new", "claim of another new key in that bucket")
		base.buckets = 0
		a.add(base, "own", "claim and completion of a new key, per key")
	}
	return a
}

func callersAxis() *axis {
	a := &axis{name: "callers", title: "Callers", label: "callers"}
	for _, n := range []int{1, 4, 16, 64, 256} {
		base := point{x: strconv.Itoa(n), scope: "callers", keys: 32, callers: n, requests: 800}
		a.add(base, "taken", "claim of a taken key, per key")
		base.buckets, base.requests = 16, 500
		a.add(base, "new", "claim of a new key, in 16 buckets")
	}
	return a
}

func mappingAxis() *axis {
	a := &axis{name: "mapping", title: "PerKey and Buckets", label: "mapping", bars: true}
	for _, n := range []int{0, 1, 16, 256} {
		base := point{x: fmt.Sprintf("Buckets(%d)", n), buckets: n, scope: "mapping", keys: 500,
			callers: 16, requests: 400}
		if n == 0 {
			base.x, base.keys, base.requests = "PerKey()", 32, 150
		}
		a.add(base, "new", "claim of a new key")
		a.add(base, "work", "claim and completion of a new key")
		base.requests = 800
		a.add(base, "taken", "claim of a taken key")
	}
	a.add(point{x: "a new bucket", buckets: 16, scope: "mapping", keys: 500, fresh: true,
		callers: 16, requests: 150}, "new", "claim of a new key")
	return a
}
