//go:build !js

package dodedupe_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
)

// A Worker that answers 200 to the first request for a path within an hour, and
// 409 to others.
func Example() {
	dodedupe.RegisterStore("Dedupe")
	durable.HandleFetch(func(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
		store, err := dodedupe.NewStore(env, &dodedupe.StoreOptions{Scope: "paths"})
		if err != nil {
			return nil, err
		}
		inserted, err := store.PutIfAbsent(ctx, []byte(r.URL), time.Hour)
		switch {
		case errors.Is(err, dedupe.ErrOverloaded):
			return &durable.Response{Status: 503, Body: strings.NewReader(err.Error())}, nil
		case err != nil:
			return nil, err
		case !inserted:
			return &durable.Response{Status: 409}, nil
		}
		return &durable.Response{Status: 200}, nil
	})
	err := durable.Run()

	fmt.Println("natively:", errors.Is(err, errors.ErrUnsupported))
	// Output: natively: true
}

func ExampleNewStore() {
	_, err := dodedupe.NewStore(nil, nil)

	var e *dedupe.Error
	if errors.As(err, &e) {
		fmt.Println(e.Kind)
	}
	// Output: runtime unavailable
}

// A Worker that charges once for each path, and answers repeated requests with
// the receipt.
func ExampleNewLedger() {
	dodedupe.RegisterLedger("Ledger", nil)
	// This function is for durable.HandleFetch.
	serve := func(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
		ledger, err := dodedupe.NewLedger(env, &dodedupe.LedgerOptions{Scope: "charges", Mapping: dodedupe.Buckets(16)})
		if err != nil {
			return nil, err
		}
		options := dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Lease: 30 * time.Second, Wait: 10 * time.Second}}
		receipt, err := dedupe.Do(ctx, ledger, []byte(r.URL), options, func(ctx context.Context, claim dedupe.Claim) ([]byte, error) {
			return []byte("receipt"), nil
		})
		if errors.Is(err, dedupe.ErrInProgress) {
			return &durable.Response{Status: 409}, nil
		}
		return &durable.Response{Status: 200, Body: strings.NewReader(string(receipt))}, err
	}

	_, err := serve(context.Background(), nil, &durable.Request{URL: "https://shop.example/orders/1041"})
	fmt.Println("natively:", errors.Is(err, errors.ErrUnsupported))
	// Output: natively: true
}

func ExampleNewSequencer() {
	_, err := dodedupe.NewSequencer(nil, nil)
	fmt.Println("natively:", errors.Is(err, errors.ErrUnsupported))
	// Output: natively: true
}

// Account is an object whose balance changes exactly once for each deposit,
// even if the deposit is sent many times.
type Account struct {
	storage *durable.Storage
	ledger  *dodedupe.Embedded
}

func NewAccount(_ context.Context, state *durable.State, _ *durable.Env) (*Account, error) {
	ledger, err := dodedupe.Embed(state, nil)
	return &Account{state.Storage(), ledger}, err
}

// Deposit adds to the balance and returns the new balance.
func (a *Account) Deposit(ctx context.Context, id string, amount int64) (string, error) {
	balance, _, err := a.ledger.Once(ctx, []byte(id), nil, func(int64) ([]byte, error) {
		kv := a.storage.KV()
		before, _, err := durable.Get[int64](kv, "balance") // 0 if there is no balance
		if err != nil {
			return nil, err
		}
		after := before + amount
		return fmt.Append(nil, after), kv.Put("balance", after)
	})
	return string(balance), err
}

// Alarm serves the ledger; the account sets no alarm of its own.
func (a *Account) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	return a.ledger.Alarm(ctx, nil)
}

func ExampleEmbed() {
	durable.Register("Account", NewAccount, durable.Func[*Account]("deposit", (*Account).Deposit))
	_, err := dodedupe.Embed(nil, nil)
	fmt.Println("natively:", errors.Is(err, errors.ErrUnsupported))
	// Output: natively: true
}

// A ledger that repeats work whose holder crashed.
func ExampleRegisterLedger() {
	again := func(ctx context.Context, env *durable.Env, claim dodedupe.Expired) error {
		ledger, err := dodedupe.NewLedger(env, &dodedupe.LedgerOptions{Scope: claim.Scope})
		if err != nil {
			return err
		}
		_, err = dedupe.Do(ctx, ledger, claim.Key, dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Lease: time.Minute}},
			func(_ context.Context, claim dedupe.Claim) ([]byte, error) {
				return fmt.Append(nil, "done under fence ", claim.Fence), nil
			})
		return err
	}
	dodedupe.RegisterLedger("RecoveringLedger", &dodedupe.LedgerClassOptions{OnExpired: again})
	fmt.Println(durable.Run() != nil) // natively
	// Output: true
}
