package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/memdedupe"
)

func ExampleStore() {
	ctx := context.Background()
	var store dedupe.Store = memdedupe.NewStore(nil)

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
	store := memdedupe.NewStore(nil)
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

func ExampleLedger() {
	ctx := context.Background()
	var ledger dedupe.Ledger = memdedupe.NewLedger(nil)
	options := dedupe.ClaimOptions{Fingerprint: []byte("hash of the payload"), Lease: 30 * time.Second, TTL: 24 * time.Hour}

	for range 2 {
		claim, err := ledger.Claim(ctx, []byte("order-1041"), options)
		fmt.Println(claim.Outcome, string(claim.Result), err)
		if claim.Outcome == dedupe.Acquired {
			fmt.Println(ledger.Complete(ctx, claim, []byte("receipt 7")))
		}
	}
	// Output:
	// acquired  <nil>
	// <nil>
	// replay receipt 7 <nil>
}

func ExampleDo() {
	ctx := context.Background()
	ledger := memdedupe.NewLedger(nil)
	options := dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Lease: 30 * time.Second}}

	for range 2 {
		receipt, err := dedupe.Do(ctx, ledger, []byte("order-1041"), options, func(ctx context.Context, claim dedupe.Claim) ([]byte, error) {
			fmt.Println("charging")
			return []byte("receipt 7"), nil
		})
		fmt.Println(string(receipt), err)
	}
	// Output:
	// charging
	// receipt 7 <nil>
	// receipt 7 <nil>
}

func ExampleSequencer() {
	ctx := context.Background()
	var sequencer dedupe.Sequencer = memdedupe.NewSequencer(nil)

	for _, event := range []string{"created", "paid", "created"} {
		seq, err := sequencer.Next(ctx, []byte("order-1041"), []byte(event), nil, 24*time.Hour)
		fmt.Println(event, seq.N, seq.Inserted, err)
	}
	// Output:
	// created 1 true <nil>
	// paid 2 true <nil>
	// created 1 false <nil>
}

func ExampleObserved() {
	count := map[dedupe.EventResult]int{}
	ledger := dedupe.Observed(memdedupe.NewLedger(nil), nil, func(e dedupe.Event) { count[e.Result]++ })

	for range 3 {
		ledger.Claim(context.Background(), []byte("order-1041"), dedupe.ClaimOptions{Lease: time.Minute})
	}
	fmt.Println(count)
	// Output: map[acquired:1 in_progress:2]
}
