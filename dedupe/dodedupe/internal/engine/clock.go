package engine

import (
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// clock is the object's clock. It never runs backwards within an instance.
type clock struct {
	*Config
	latest int64 // the largest now there has been
}

func (c *clock) now() int64 {
	clock := c.Clock()
	if c.latest > clock+entry.ClockSlack {
		c.latest = 0
	}
	c.latest = min(max(c.latest, clock), codec.MaxNow)
	return c.latest
}
