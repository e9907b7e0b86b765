package main

import (
	"context"
	"errors"
	"fmt"

	"flow.internal/capdo/durable"
)

// Bank stands for what is outside: a payment processor that takes an idempotency key, and keeps it.
type Bank struct{ sql *durable.SQL }

// NewBank makes a Bank.
func NewBank(ctx context.Context, state *durable.State, env *durable.Env) (*Bank, error) {
	sql := state.Storage().SQL()
	_, err := sql.Exec("CREATE TABLE IF NOT EXISTS payments (id TEXT PRIMARY KEY, n INTEGER NOT NULL, cents INTEGER NOT NULL, fence INTEGER NOT NULL)")
	return &Bank{sql}, err
}

// Pay charges once for an id, and refuses who comes after somebody with a larger fence.
func (b *Bank) Pay(ctx context.Context, id string, fence, cents int64) (receipt string, err error) {
	rows, err := b.sql.Exec(`INSERT INTO payments (id, n, cents, fence) VALUES (?, (SELECT count(*) FROM payments) + 1, ?, ?)
		ON CONFLICT (id) DO UPDATE SET fence = excluded.fence WHERE excluded.fence >= fence
		RETURNING n`, id, cents, fence)
	if err != nil {
		return "", err
	}
	n, err := durable.One[int64](rows)
	if errors.Is(err, durable.ErrNoRows) {
		return "", errors.New("another is at it")
	}
	return fmt.Sprintf("receipt %d", n), err
}

// Charged returns what was charged for an id, 0 for nothing.
func (b *Bank) Charged(ctx context.Context, id string) (cents int64, err error) {
	rows, err := b.sql.Exec("SELECT cents FROM payments WHERE id = ?", id)
	if err != nil {
		return 0, err
	}
	if cents, err = durable.One[int64](rows); errors.Is(err, durable.ErrNoRows) {
		return 0, nil
	}
	return cents, err
}
