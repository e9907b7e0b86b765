package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"testing"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
	"flow.internal/capdo/internal/opcost"
)

// sizeAfter returns the size of an object's database after do, in bytes.
func sizeAfter(
	t *testing.T, do func(ctx context.Context, storage *durable.Storage) error,
) (size int64) {
	t.Helper()
	stub := durabletest.New(t, durabletest.SQLite)
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		err := do(ctx, state.Storage())
		if err == nil {
			size, err = state.Storage().SQL().DatabaseSize()
		}
		if err != nil {
			t.Error(err)
		}
	})
	return size
}

func now() int64 { return time.Now().UnixMilli() }

// completed claims n keys, and completes them with a result of that size.
func completed(
	ctx context.Context, backend Backend, many bool, n, result int,
) error {
	e := New(Config{Backend: backend, Clock: now, Many: many})
	for range n {
		key := ""
		if many {
			key = rand.Text()[:18] + rand.Text()[:18]
		}
		r := entry.Request{Owner: rand.Text()[:16], Lease: 60_000, TTL: 3_600_000}
		a, err := e.Claim(ctx, key, r)
		if err != nil {
			return err
		}
		if err := e.Complete(ctx, key, holderOf(a), make([]byte, result)); err != nil {
			return err
		}
	}
	return nil
}

// TestSizes measures what keys take, as capdo cost calculates.
func TestSizes(t *testing.T) {
	want := func(what string, size int64, want, within float64) {
		if math.Abs(float64(size)-want) > within {
			t.Errorf("%s: %d bytes, want %.0f, plus or minus %.0f", what, size, want, within)
		}
	}
	stored := sizeAfter(t, func(ctx context.Context, s *durable.Storage) error {
		k := reservation.Key{Storage: reservation.In(s), Clock: now}
		_, err := k.PutIfAbsent(ctx, reservation.NewOwner(), 3_600_000)
		return err
	})
	want("a store's object", stored, opcost.KeySize, 0)
	for _, result := range []int{0, 200, 800, 1000, 5100, 20_000} {
		size := sizeAfter(t, func(ctx context.Context, s *durable.Storage) error {
			return completed(ctx, Single(s), false, 1, result)
		})
		want(fmt.Sprintf("a ledger's object, %d bytes", result), size, opcost.SizeOfKey(result), 0)
	}
	size := sizeAfter(t, func(ctx context.Context, s *durable.Storage) error {
		return completed(ctx, SQL(s), true, 1, 0)
	})
	want("a bucket of one key", size, opcost.BucketSize, 0)
	for _, result := range []int{0, 200, 800, 1000, 10_000} {
		size := sizeAfter(t, func(ctx context.Context, s *durable.Storage) error {
			return completed(ctx, SQL(s), true, 1000, result)
		})
		estimate := opcost.BucketSize + 1000*opcost.SizeInBucket(result)
		want(fmt.Sprintf("a bucket, %d bytes", result), size, estimate, estimate/10)
	}
}
