package durable

import (
	"context"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// ScheduledEvent is one run of a cron trigger.
//
// https://developers.cloudflare.com/workers/runtime-apis/handlers/scheduled/
type ScheduledEvent struct {
	Cron          string    // the expression from triggers.crons in the wrangler config
	ScheduledTime time.Time // when the run was due, in ms

	controller *jsrt.Ref
}

// NoRetry asks the platform not to run the trigger again if this event fails.
// workerd reports the request to whatever called the handler, for example to
// its own cron triggers, which otherwise repeat a failed run. Cloudflare's
// documentation says neither that a failed run is repeated nor what NoRetry
// does.
func (e ScheduledEvent) NoRetry() error {
	_, err := e.controller.Call("noRetry")
	return classify(err)
}

// HandleScheduled makes fn serve the Worker's cron triggers, the scheduled
// event. It panics if fn is nil, or if it is called twice.
//
// If fn returns an error or panics, the event fails, as it does in JavaScript
// if the handler's promise is rejected. The platform's log then has the error's
// text. A run may come late, twice or not at all. If a due time's work must not
// happen twice, claim it with package dedupe, with ScheduledTime in the key.
//
// Cloudflare gives the event 15 minutes, with the work of [WaitUntil]. The ctx
// of fn and of that work ends with [ErrTimeUp] 6 s before that.
//
// https://developers.cloudflare.com/workers/platform/limits/#duration
func HandleScheduled(
	fn func(ctx context.Context, env *Env, e ScheduledEvent) error,
) {
	switch {
	case fn == nil:
		panic("durable: HandleScheduled needs a function")
	case program.scheduled != nil:
		panic("durable: HandleScheduled called twice")
	}
	program.scheduled = func(ctx context.Context, args []any) error {
		e := ScheduledEvent{controller: args[2].(*jsrt.Ref)}
		e.Cron, _ = args[0].(string)
		ms, _ := args[1].(float64)
		e.ScheduledTime = time.UnixMilli(int64(ms))
		return fn(ctx, &Env{ref: args[3].(*jsrt.Ref)}, e)
	}
}
