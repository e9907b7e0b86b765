package main

import (
	"context"
	"errors"

	"flow.internal/capdo/durable"
)

// processor is the class of a simulated card processor. It charges each time it
// is asked, so that tests can see a double charge. It refuses a fence that is
// smaller than the largest it has seen for the payment.
type processor struct{ storage *durable.Storage }

func registerProcessor(class string) {
	durable.Register(class, openProcessor,
		durable.Func[*processor]("find", (*processor).find),
		durable.Func[*processor]("charge", (*processor).charge),
		durable.Func[*processor]("count", (*processor).count),
		durable.Func[*processor]("giveUp", (*processor).giveUp),
		durable.Func[*processor]("givenUp", (*processor).givenUp))
}

// newProcessor returns the one object of the class. It returns an error at
// once, while the error of [durable.Env.Object] comes with the first call. A
// flow checks its bindings before a node claims anything.
func newProcessor(env *durable.Env) (*durable.Stub, error) {
	namespace, err := env.Namespace("PROCESSOR")
	if err != nil {
		return nil, err
	}
	return namespace.GetByName("processor", nil)
}

func openProcessor(_ context.Context, state *durable.State, _ *durable.Env) (*processor, error) {
	p := &processor{state.Storage()}
	_, err := p.storage.SQL().Exec(`
		CREATE TABLE IF NOT EXISTS fences (payment TEXT PRIMARY KEY, fence INTEGER);
		CREATE TABLE IF NOT EXISTS charges (charge INTEGER PRIMARY KEY, payment TEXT, fence INTEGER, amount INTEGER, currency TEXT);
		CREATE TABLE IF NOT EXISTS given_up (payment TEXT);
		CREATE INDEX IF NOT EXISTS charges_by_payment ON charges (payment)`)
	return p, err
}

// find returns a payment's charge, or "". From then on smaller fences are
// refused.
func (p *processor) find(
	_ context.Context, payment string, fence int64,
) (charge string, err error) {
	err = p.storage.TransactionSync(func() error {
		_, err := p.storage.SQL().Exec("INSERT INTO fences VALUES (?, ?) ON CONFLICT (payment) DO UPDATE SET fence = max(fence, excluded.fence)", payment, fence)
		if err != nil {
			return err
		}
		charge, err = one[string](p,
			"SELECT coalesce(min('ch_' || charge), '') FROM charges WHERE payment = ?", payment)
		return err
	})
	return charge, err
}

var errStale = errors.New("a newer claim of the payment has taken over")

// charge adds a charge each time it is called. Fence and charge are stored in
// one transaction.
func (p *processor) charge(
	_ context.Context, payment string, fence, amount int64, currency string,
) (charge string, err error) {
	err = p.storage.TransactionSync(func() error {
		newer, err := one[int64](p,
			"SELECT count(*) FROM fences WHERE payment = ? AND fence > ?", payment, fence)
		if err != nil {
			return err
		}
		if newer > 0 {
			return errStale
		}
		charge, err = one[string](p, "INSERT INTO charges (payment, fence, amount, currency) VALUES (?, ?, ?, ?) RETURNING 'ch_' || charge",
			payment, fence, amount, currency)
		return err
	})
	return charge, err
}

// count returns how often a payment was charged.
func (p *processor) count(_ context.Context, payment string) (int64, error) {
	return one[int64](p, "SELECT count(*) FROM charges WHERE payment = ?", payment)
}

// giveUp records that a payment was given up, and givenUp returns how often.
func (p *processor) giveUp(ctx context.Context, payment string) (int64, error) {
	if _, err := p.storage.SQL().Exec("INSERT INTO given_up VALUES (?)", payment); err != nil {
		return 0, err
	}
	return p.givenUp(ctx, payment)
}

func (p *processor) givenUp(_ context.Context, payment string) (int64, error) {
	return one[int64](p, "SELECT count(*) FROM given_up WHERE payment = ?", payment)
}

// one runs a query that returns a single value.
func one[T any](p *processor, query string, args ...any) (value T, err error) {
	rows, err := p.storage.SQL().Exec(query, args...)
	if err != nil {
		return value, err
	}
	return durable.One[T](rows)
}
