// Events is the program of docs/events.md: a Worker that charges the orders of a
// queue once each, and closes its till each night.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

func main() {
	dodedupe.RegisterLedger("Ledger", nil)
	durable.Register("Till", NewTill,
		durable.Func[*Till]("add", (*Till).Add), durable.Func[*Till]("close", (*Till).Close))
	durablehttp.Handle(routes())
	durable.HandleQueue(consume)
	durable.HandleScheduled(closeTill)
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Order is the body of a message.
type Order struct {
	ID    string `json:"id"`
	Cents int64  `json:"cents"`
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{id}", order)
	mux.HandleFunc("GET /till", func(w http.ResponseWriter, r *http.Request) {
		cents, err := durable.Call[int64](r.Context(), till(durablehttp.Env(r)), "add", 0)
		answer(w, strconv.FormatInt(cents, 10), err)
	})
	return mux
}

// order sends an order to the queue. A client that repeats its request sends it
// twice.
func order(w http.ResponseWriter, r *http.Request) {
	cents, err := strconv.ParseInt(r.URL.Query().Get("cents"), 10, 64)
	if err != nil {
		http.Error(w, "cents must be a whole number", http.StatusBadRequest)
		return
	}
	queue, err := durablehttp.Env(r).Queue("ORDERS")
	if err == nil {
		err = queue.Send(r.Context(), Order{r.PathValue("id"), cents}, nil)
	}
	answer(w, "sent", err)
}

// consume charges each order once, however often its message arrives.
func consume(ctx context.Context, env *durable.Env, batch *durable.MessageBatch) error {
	ledger, err := dodedupe.NewLedger(env, &dodedupe.LedgerOptions{
		Scope: "orders", DefaultTTL: 30 * 24 * time.Hour}) // longer than a queue keeps a message
	if err != nil {
		return err // all messages are delivered again
	}
	for _, m := range batch.Messages {
		err := charge(ctx, env, ledger, m)
		switch {
		case isRefused(err):
			log.Error("a message is not an order", "id", m.ID, "err", err) // another delivery would not help
		case err != nil:
			log.Warn("an order is delivered again", "id", m.ID, "attempt", m.Attempts, "err", err)
			delay := dedupe.DefaultLease // the failed attempt's claim has then ended
			if errors.Is(err, dedupe.ErrNoEffect) {
				delay = 2 * time.Second // it was released
			}
			if err := m.Retry(&durable.QueueRetryOptions{Delay: delay}); err != nil {
				return err
			}
		}
	}
	return nil // acknowledges the others
}

// isRefused: the message is no order, has no id, or has the id of another order.
func isRefused(err error) bool {
	return errors.Is(err, durable.ErrValue) || errors.Is(err, dedupe.ErrKeyEmpty) ||
		errors.Is(err, dedupe.ErrMismatch)
}

func charge(
	ctx context.Context, env *durable.Env, ledger dedupe.Ledger, m *durable.QueueMessage,
) error {
	order, err := durable.Body[Order](m)
	if err != nil {
		return err
	}
	// The order's id is the key, not the message's: an order that was sent twice
	// has two messages. With another amount, it is another order.
	options := dedupe.ClaimOptions{Fingerprint: fmt.Appendf(nil, "%d", order.Cents)}
	_, err = dedupe.Do(ctx, ledger, []byte(order.ID), dedupe.DoOptions{ClaimOptions: options},
		func(ctx context.Context, claim dedupe.Claim) ([]byte, error) {
			_, err := durable.Call[int64](ctx, till(env), "add", order.Cents)
			if errors.Is(err, errFull) {
				err = dedupe.NoEffect(err)
			}
			return nil, err
		})
	return err
}

// nightly is the cron trigger of wrangler.jsonc.
const nightly = "0 3 * * *"

// closeTill handles the cron trigger. A due time that comes twice is handled
// once.
func closeTill(ctx context.Context, env *durable.Env, e durable.ScheduledEvent) error {
	if e.Cron != nightly {
		return fmt.Errorf("the cron trigger %q is not known", e.Cron) // the event fails, and the log says so
	}
	ledger, err := dodedupe.NewLedger(env, &dodedupe.LedgerOptions{
		Scope: "closings", DefaultTTL: 7 * 24 * time.Hour})
	if err != nil {
		return err
	}
	due := e.ScheduledTime.UTC().Format(time.RFC3339)
	_, err = dedupe.Do(ctx, ledger, []byte(due), dedupe.DoOptions{},
		func(ctx context.Context, claim dedupe.Claim) ([]byte, error) {
			cents, err := durable.Call[int64](ctx, till(env), "close")
			if err == nil {
				log.Info("the till is closed", "cron", e.Cron, "cents", cents)
			}
			return nil, err
		})
	return err
}

func till(env *durable.Env) *durable.Stub { return env.Object("TILL", "till") }

// log writes lines of JSON to stdout, which workerd logs as console.log. It
// would log stderr as errors.
var log = slog.New(slog.NewJSONHandler(os.Stdout, nil))

func answer(w http.ResponseWriter, text string, err error) {
	if err != nil {
		log.Error("a request failed", "err", err)
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, text)
}

// Till is a Durable Object that adds up what was charged, up to maxCents.
type Till struct{ kv *durable.KV }

const maxCents = 1000

var errFull = errors.New("the till is full until it is closed")

func init() { durable.RegisterError("till.full", errFull) } // so that it crosses calls

// NewTill makes a Till.
func NewTill(ctx context.Context, state *durable.State, env *durable.Env) (*Till, error) {
	return &Till{state.Storage().KV()}, nil
}

// Add adds to the till, and returns what is in it.
func (t *Till) Add(ctx context.Context, cents int64) (int64, error) {
	sum, _, err := durable.Get[int64](t.kv, "cents")
	switch {
	case err != nil:
		return 0, err
	case sum+cents > maxCents:
		return 0, errFull
	}
	return sum + cents, t.kv.Put("cents", sum+cents)
}

// Close empties the till, and returns what was in it.
func (t *Till) Close(ctx context.Context) (int64, error) {
	sum, err := t.Add(ctx, 0)
	if err != nil {
		return 0, err
	}
	return sum, t.kv.Put("cents", 0)
}
