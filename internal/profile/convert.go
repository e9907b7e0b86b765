package profile

import (
	"fmt"
	"path"
	"time"

	"github.com/google/pprof/profile"
)

// idle is V8's name for time in which nothing ran. Convert leaves it out.
const idle = "(idle)"

// Convert makes a profile for go tool pprof. names is the result of Names; a
// function without an entry keeps V8's name.
func Convert(c *CPU, names map[string]string) *profile.Profile {
	b := builder{
		names: names, nodes: map[int]*node{}, locations: map[Call]*profile.Location{},
		samples: map[int]*profile.Sample{},
		p: &profile.Profile{
			SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"},
				{Type: "cpu", Unit: "nanoseconds"}},
			PeriodType:    &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
			Period:        Interval.Nanoseconds(),
			TimeNanos:     time.Now().UnixNano() - (c.EndTime-c.StartTime)*1000,
			DurationNanos: (c.EndTime - c.StartTime) * 1000,
		},
	}
	for i := range c.Nodes {
		b.nodes[c.Nodes[i].ID] = &node{call: c.Nodes[i].Call}
	}
	for i := range c.Nodes {
		for _, child := range c.Nodes[i].Children {
			if n := b.nodes[child]; n != nil {
				n.parent = b.nodes[c.Nodes[i].ID]
			}
		}
	}
	for i, id := range c.Samples {
		// A sample lasts until the next one.
		if i+1 < len(c.TimeDeltas) {
			b.add(id, c.TimeDeltas[i+1])
		}
	}
	return b.p
}

type node struct {
	call   Call
	parent *node
}

type builder struct {
	names     map[string]string
	nodes     map[int]*node
	locations map[Call]*profile.Location
	samples   map[int]*profile.Sample
	p         *profile.Profile
}

// add counts a sample.
func (b *builder) add(id, us int) {
	n := b.nodes[id]
	if n == nil || n.call.Function == idle || us < 0 {
		return
	}
	s := b.samples[id]
	if s == nil {
		s = &profile.Sample{Value: []int64{0, 0}}
		for ; n != nil && n.call.Function != "(root)"; n = n.parent {
			s.Location = append(s.Location, b.location(n.call))
		}
		b.samples[id] = s
		b.p.Sample = append(b.p.Sample, s)
	}
	s.Value[0]++
	s.Value[1] += int64(us) * 1000
}

func (b *builder) location(c Call) *profile.Location {
	if l := b.locations[c]; l != nil {
		return l
	}
	name := c.Function
	if real := b.names[name]; real != "" {
		name = real
	}
	if name == "" {
		name = anonymous(c)
	}
	id := uint64(len(b.p.Location) + 1)
	f := &profile.Function{ID: id, Name: name, SystemName: c.Function, Filename: c.URL,
		StartLine: int64(max(c.Line+1, 0))}
	l := &profile.Location{ID: id, Line: []profile.Line{{Function: f, Line: f.StartLine}}}
	b.p.Function, b.p.Location = append(b.p.Function, f), append(b.p.Location, l)
	b.locations[c] = l
	return l
}

// anonymous returns a name for a function without a name. workerd's own
// functions have no URL either.
func anonymous(c Call) string {
	if c.URL == "" {
		return "(native)"
	}
	return fmt.Sprintf("(anonymous) %s:%d", path.Base(c.URL), c.Line+1)
}
