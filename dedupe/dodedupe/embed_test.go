package dodedupe

import (
	"context"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
)

// An embedded ledger's caller gets the cause of its own context, not its text.
func TestEmbeddedCallFailsWithTheCauseOfItsContext(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	<-ctx.Done()
	refused, _ := wire.Reply(nil, effect.None(ctx.Err()))
	_, err := withCause(ctx, refused, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !effect.IsNone(err) {
		t.Error(err)
	}
	other, _ := wire.Reply(nil, effect.None(errors.New("the disk is full")))
	if b, err := withCause(ctx, other, nil); err != nil || string(b) != string(other) {
		t.Error(err)
	}
	if b, err := withCause(t.Context(), refused, nil); err != nil || string(b) != string(refused) {
		t.Error(err)
	}
}
