package durablesql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"testing"
	"time"

	"flow.internal/capdo/durable"
)

// cents is stored as text.
type cents int

func (c cents) Value() (driver.Value, error) { return "€" + string(rune('0'+int(c))), nil }

// If this package is linked, package durable binds Valuers too.
func TestPackageDurableBindsValuers(t *testing.T) {
	withDB(t, func(_ context.Context, state *durable.State, _ *sql.DB) {
		for _, c := range []struct {
			arg  any
			want string
		}{
			{cents(5), "€5"}, {new(cents(6)), "€6"}, {(*cents)(nil), "none"}, {time.Second, "1000000000"}, {sql.NullString{}, "none"},
		} {
			cursor, err := state.Storage().SQL().Exec("select coalesce(cast(? as text), 'none')", c.arg)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := durable.One[string](cursor); got != c.want || err != nil {
				t.Errorf("%T: %q, %v", c.arg, got, err)
			}
		}
	})
}
