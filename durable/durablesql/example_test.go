package durablesql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql"
)

func ExampleOpen() {
	transfer := func(ctx context.Context, db *sql.DB, from, to string, amount int) error {
		tx, err := db.BeginTx(ctx, nil) // the handler's context
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - ? WHERE name = ?", amount, from); err != nil {
			return err // for example of CHECK (balance >= 0): errors.Is(err, durable.ErrConstraint)
		}
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance + ? WHERE name = ?", amount, to); err != nil {
			return err
		}
		return tx.Commit()
	}
	state := &durable.State{} // from the constructor
	db := durablesql.Open(state)
	err := transfer(context.Background(), db, "ada", "bob", 5)
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // natively
	// Output: true
}
