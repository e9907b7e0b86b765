package memdedupe_test

import (
	"context"
	"fmt"
	"time"

	"flow.internal/capdo/dedupe/memdedupe"
)

func ExampleNewStore() {
	ctx, now := context.Background(), time.Unix(0, 0)
	store := memdedupe.NewStore(func() time.Time { return now })

	fmt.Println(store.PutIfAbsent(ctx, []byte("key"), time.Second))
	now = now.Add(999 * time.Millisecond)
	fmt.Println(store.PutIfAbsent(ctx, []byte("key"), time.Second))
	now = now.Add(time.Millisecond)
	fmt.Println(store.PutIfAbsent(ctx, []byte("key"), time.Second))
	// Output:
	// true <nil>
	// false <nil>
	// true <nil>
}
