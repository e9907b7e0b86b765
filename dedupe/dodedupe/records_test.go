//go:build !js

package dodedupe_test

import (
	"context"
	"errors"
	"fmt"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
)

// Shop is a class whose objects are shops or store the records of its store.
type Shop struct{ records *dodedupe.Records }

func NewShop(ctx context.Context, state *durable.State, env *durable.Env) (*Shop, error) {
	records, err := dodedupe.NewRecords(ctx, state, env)
	return &Shop{records}, err
}

// Alarm lets Records handle the alarms of records.
func (s *Shop) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	if mine, err := s.records.Alarm(ctx); mine {
		return err
	}
	return nil // the shop's own alarm
}

func ExampleRecordMethods() {
	durable.Register("Shop", NewShop, dodedupe.RecordMethods(func(s *Shop) *dodedupe.Records { return s.records })...)

	_, err := dodedupe.NewRecords(context.Background(), nil, nil)
	fmt.Println("natively:", errors.Is(err, errors.ErrUnsupported))
	// Output: natively: true
}
