package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
)

func ExampleStore() {
	ctx := context.Background()
	var store dedupe.Store = dedupetest.NewMemory(nil)

	for range 2 {
		inserted, err := store.PutIfAbsent(ctx, []byte("order-1041"), 24*time.Hour)
		fmt.Println(inserted, err)
	}
	store.Forget(ctx, []byte("order-1041"))
	inserted, err := store.PutIfAbsent(ctx, []byte("order-1041"), 24*time.Hour)
	fmt.Println(inserted, err)
	// Output:
	// true <nil>
	// false <nil>
	// true <nil>
}

func ExampleError() {
	store := dedupetest.NewMemory(nil)
	_, err := store.PutIfAbsent(context.Background(), nil, time.Hour)

	var e *dedupe.Error
	if errors.As(err, &e) {
		fmt.Println(e.Op, e.Kind, e.Retryable)
	}
	fmt.Println(errors.Is(err, dedupe.ErrKeyEmpty))
	fmt.Println(err)
	// Output:
	// PutIfAbsent other false
	// true
	// dedupe: PutIfAbsent: the key is empty
}

func ExampleCheckKey() {
	fmt.Println(dedupe.CheckKey([]byte("order-1041")))
	fmt.Println(dedupe.CheckKey(make([]byte, dedupe.MaxKeySize+1)))
	// Output:
	// <nil>
	// the key is larger than 2048 bytes
}

func ExampleTTLMillis() {
	fmt.Println(dedupe.TTLMillis(1500*time.Microsecond, 0))
	fmt.Println(dedupe.TTLMillis(0, time.Minute))
	fmt.Println(dedupe.TTLMillis(dedupe.MaxTTL+1, 0))
	// Output:
	// 2 <nil>
	// 60000 <nil>
	// 0 the TTL is negative or longer than 10 years
}
