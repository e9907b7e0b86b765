package dodedupe

import (
	"context"
	"time"
)

// cost is a line of the table in docs/cost.md: the rows that an operation writes in an object of one key, in a bucket, and in a bucket of a
// class with OnExpired; and the rows that it reads in a bucket. -1: there is no such operation.
type cost struct {
	operation                       string
	perKey, inBucket, watched, read int
}

var costs = []cost{
	{"claim, the first of an object", 2, 3, 3, 2},
	{"claim, the first of a key", -1, 2, 2, 0},
	{"claim of a key that is in progress", 0, 0, 0, 1},
	{"extend within the TTL", 1, 1, 2, 2},
	{"extend beyond the TTL", 1, 2, 2, 1},
	{"complete, after a lease that outlasts the TTL", 1, 2, 2, 1},
	{"forget", 1, 1, 1, 4},
	{"claim after forget", 2, 2, 2, 0},
	{"release", 1, 1, 2, 2},
	{"claim after release", 1, 1, 2, 2},
	{"complete", 1, 1, 2, 2},
	{"claim of a key that is completed", 0, 0, 0, 1},
	{"PutIfAbsent of a new key", -1, 2, 2, 0},
	{"PutIfAbsent of a key that is there", -1, 0, 0, 1},
	{"the first entry of a sequence", -1, 4, 4, 0},
	{"an entry of a sequence", -1, 3, 3, 2},
	{"an entry of a sequence that has its number", -1, 0, 0, 2},
}

// operate does what the table names, in its order, through run.
func operate(ctx context.Context, b *book, many bool, run func(operation string, do func() error)) {
	r := request{owner: "a", lease: 60_000, ttl: 3_600_000}
	other := request{owner: "b", lease: 1, ttl: 1}
	var a answer
	claim := func() (err error) { a, err = b.claim(ctx, "k", r); return err }
	claimed := func(key string, r request) func() error {
		return func() error { _, err := b.claim(ctx, key, r); return err }
	}
	run("claim, the first of an object", claim)
	if many {
		run("claim, the first of a key", claimed("another", request{owner: "a", lease: 60_000, ttl: 7_200_000}))
	}
	run("claim of a key that is in progress", claimed("k", other))
	run("extend within the TTL", func() error { return b.extend(ctx, "k", a.holder(), 120_000) })
	run("extend beyond the TTL", func() error { return b.extend(ctx, "k", a.holder(), 7_200_000) })
	run("complete, after a lease that outlasts the TTL", func() error { return b.complete(ctx, "k", a.holder(), []byte("result")) })
	time.Sleep(5 * time.Millisecond) // a fence that is not in the past would be kept
	run("forget", func() error { return b.forget(ctx, "k", lookFence, a.entry.number) })
	run("claim after forget", claim)
	run("release", func() error { return b.release(ctx, "k", a.holder()) })
	run("claim after release", claim)
	run("complete", func() error { return b.complete(ctx, "k", a.holder(), []byte("result")) })
	run("claim of a key that is completed", claimed("k", other))
	if !many {
		return
	}
	reserve := func(owner string) func() error {
		return func() error { _, err := b.reserve(ctx, "p", request{owner: owner, ttl: 7_200_000}); return err }
	}
	run("PutIfAbsent of a new key", reserve("a"))
	run("PutIfAbsent of a key that is there", reserve("b"))
	next := func(key, owner string) func() error {
		return func() error {
			_, _, err := b.next(ctx, key, request{owner: owner, ttl: int64(2 * time.Hour / time.Millisecond)})
			return err
		}
	}
	run("the first entry of a sequence", next("e", "a"))
	run("an entry of a sequence", next("f", "a"))
	run("an entry of a sequence that has its number", next("f", "b"))
}
