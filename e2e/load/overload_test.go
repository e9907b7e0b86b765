//go:build !js

package load

import (
	"fmt"
	"time"

	"flow.internal/capdo/dedupe"
)

// crowd makes more callers wait in an object than it allows.
func crowd(l *lab, f *figures) {
	const refused = 200
	g, o := target{binding: "LEDGER", buckets: 1}, order{op: "work", prefix: "wanted", keys: 2, to: waitLimit + refused, wait: dedupe.MaxWait}
	l.drive("other holders", g, order{op: "claim", prefix: "other", to: 100})
	held := order{op: "claim", prefix: o.prefix, to: o.keys}
	l.drive("holders", g, held)
	before, resident, memory := ask[string](l, "/digest", g.bucket(0)), l.resident(), l.memory()
	wait := l.together(g, o)
	await(l, "/counts", nil, func(c counts) bool { return c.Waits == o.to && c.Waiting == waitLimit })
	f.row(fmt.Sprintf("%d wait in a bucket: memory", waitLimit), "Go's %d KiB, then %d KiB; workerd %d MiB, then %d MiB",
		memory, l.memory(), resident/1024, l.resident()/1024)
	if after := ask[string](l, "/digest", g.bucket(0)); after != before {
		l.Error("waiting or refused callers changed the storage")
	}
	l.want("a claim that does not wait", l.one(g, order{op: "claim", prefix: o.prefix}), tally{InProgress: 1, Attempt: 1})
	got, _ := l.drive("completions", g, order{op: "complete", prefix: "other", to: 100})
	l.want("others' completions", got, tally{Done: 100})
	got, _ = l.drive("claims", g, order{op: "claim", prefix: "another", to: 100})
	l.want("others' claims", got, tally{Acquired: 100, Attempt: 1})

	begin := time.Now()
	l.drive("completions", g, order{op: "complete", prefix: o.prefix, to: o.keys})
	l.want("those who waited", wait(), tally{Replay: waitLimit, Attempt: 1, Overloaded: refused})
	took := time.Since(begin).Round(time.Millisecond)
	f.row(fmt.Sprintf("%d wait in a bucket: completed, to the last answer", waitLimit), "%v; %d more were refused", took, refused)
	got, _ = l.drive("replays", g, order{op: "claim", prefix: o.prefix, to: o.keys})
	l.want("the keys afterwards", got, tally{Replay: o.keys, Attempt: 1})
	got, _ = l.drive("replays", g, order{op: "claim", prefix: "other", to: 100})
	l.want("others' keys afterwards", got, tally{Replay: 100, Attempt: 1})
	got, _ = l.drive("duplicates", g, order{op: "claim", prefix: "another", to: 100})
	l.want("others' claims afterwards", got, tally{InProgress: 100, Attempt: 1})
}

// burst sends a bucket many calls at once. Cloudflare's network refuses some of
// them; workerd queues any number for an object. In both cases acknowledged
// claims must be stored, and refused ones must not.
func burst(l *lab, f *figures) {
	n := size(2000, 10_000)
	g, o := target{binding: "LEDGER", buckets: 1}, order{op: "claim", prefix: "k", to: n}
	begin := time.Now()
	first := l.together(g, o)()
	took := time.Since(begin)
	l.want("claims of new keys", first, tally{Acquired: n - first.Overloaded, Attempt: 1, Overloaded: first.Overloaded})
	f.row(fmt.Sprintf("%d claims at once in a bucket", n), "%s, %d refused", perSecond(n, took), first.Overloaded)
	if i := ask[inside](l, "/inspect", g.bucket(0)); i.Rows != first.Acquired {
		l.Errorf("the bucket has %d records, but %d claims were acknowledged", i.Rows, first.Acquired)
	}
	second, _ := l.drive("claims again", g, o)
	l.want("claims again", second, tally{Acquired: first.Overloaded, InProgress: first.Acquired, Attempt: 1})
}
