package dodedupe

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

var errRolledBack = errors.New("rolled back")

// inTransaction runs fn in a user's transaction of the host's storage. The
// transaction ends with the error end.
func (o hostOf) inTransaction(end error, fn func(ctx context.Context, h *host) error) {
	o.t.Helper()
	err := o.run(o.t.Context(), func(ctx context.Context, h *host) error {
		return h.state.Storage().Transaction(ctx, func(*durable.Transaction) error {
			if err := fn(ctx, h); err != nil {
				return err
			}
			return end
		})
	})
	if !errors.Is(err, end) {
		o.t.Fatalf("the transaction ended with %v, want %v", err, end)
	}
}

// Known mistake: a cache that outlives a rollback. A rollback of a user's
// transaction undoes everything the ledger did in it: its tables, records,
// alarms and fences. The ledger must do them again later.
func TestEmbeddedLedgerInATransaction(t *testing.T) {
	lease := dedupe.ClaimOptions{Lease: time.Minute, TTL: time.Hour}
	uses := map[string]func(ctx context.Context, h *host) error{
		"once": func(ctx context.Context, h *host) error {
			_, _, err := h.ledger.Once(ctx, []byte("k"), nil, func(int64) ([]byte, error) { return []byte("r"), h.deposit(5) })
			return err
		},
		"claim": func(ctx context.Context, h *host) error {
			_, err := h.ledger.Claim(ctx, []byte("k"), lease)
			return err
		},
		"complete": func(ctx context.Context, h *host) error {
			c, err := h.ledger.Claim(ctx, []byte("k"), lease)
			return errors.Join(err, h.ledger.Complete(ctx, c, []byte("r")))
		},
		"forget": func(ctx context.Context, h *host) error {
			_, err := h.ledger.Claim(ctx, []byte("k"), lease)
			return errors.Join(err, h.ledger.Forget(ctx, []byte("k")))
		},
		"alarm": func(ctx context.Context, h *host) error { return h.ledger.SetAlarm(ctx, time.Now().Add(time.Hour)) },
	}
	for name, use := range uses {
		// used: the ledger has tables before the transaction.
		for _, used := range []bool{false, true} {
			t.Run(name+", used before "+strconv.FormatBool(used), func(t *testing.T) {
				o := openHost(t)
				if used {
					if _, err := o.Claim(t.Context(), []byte("before"), lease); err != nil {
						t.Fatal(err)
					}
				}
				o.inTransaction(errRolledBack, use)
				if at := o.userAlarm(); !at.IsZero() {
					t.Errorf("the object's own alarm is set for %v", at)
				}
				short := dedupe.ClaimOptions{Lease: 30 * time.Second, TTL: 40 * time.Second}
				c, err := o.Claim(t.Context(), []byte("k"), short)
				if err != nil || c.Outcome != dedupe.Acquired || c.Attempt != 1 {
					t.Errorf("after the rollback: %+v, %v", c, err)
				}
				if at := o.alarmAt(); at.IsZero() || time.Until(at) > 31*time.Second {
					t.Errorf("the alarm is at %v", at)
				}
				o.wantBalance("0")
				if err := o.Forget(t.Context(), []byte("k")); err != nil {
					t.Error(err)
				}
				o.inTransaction(nil, use)
				if name == "alarm" {
					return
				}
				want := map[string]dedupe.Outcome{"once": dedupe.Replay, "claim": dedupe.InProgress, "complete": dedupe.Replay, "forget": dedupe.Acquired}[name]
				if c, err := o.Claim(t.Context(), []byte("k"), short); c.Outcome != want || err != nil {
					t.Errorf("after the commit: %v, %v; want %v", c.Outcome, err, want)
				}
			})
		}
	}
}

// Callers of other events are not part of a transaction, and a rollback does
// not affect them: their answers are true.
func TestOthersAreNotPartOfATransaction(t *testing.T) {
	o := openHost(t)
	const n = 20
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			o.run(t.Context(), func(ctx context.Context, h *host) error {
				return h.state.Storage().Transaction(ctx, func(*durable.Transaction) error {
					_, _, err := h.ledger.Once(ctx, []byte("rolled back "+strconv.Itoa(i)), nil, func(int64) ([]byte, error) { return nil, h.deposit(1) })
					if err == nil {
						_, err = h.ledger.Claim(ctx, []byte("held "+strconv.Itoa(i)), dedupe.ClaimOptions{Lease: time.Duration(3600-i) * time.Second})
					}
					return errors.Join(err, errRolledBack)
				})
			})
		})
		wg.Go(func() {
			if result, _, err := o.once("k"+strconv.Itoa(i), nil); err != nil || result != "receipt of k"+strconv.Itoa(i) {
				t.Errorf("%q, %v", result, err)
			}
		})
	}
	wg.Wait()
	o.wantBalance(strconv.Itoa(5 * n))
	for i := range n {
		if _, replayed, err := o.once("k"+strconv.Itoa(i), nil); !replayed || err != nil {
			t.Errorf("k%d: replayed %v, %v", i, replayed, err)
		}
	}
}

// A waiter must not get a result that is rolled back.
func TestWaiterGetsNoRolledBackResult(t *testing.T) {
	o := openHost(t)
	c, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	got := beginWait(t, o, 30*time.Second)
	time.Sleep(100 * time.Millisecond)
	o.inTransaction(errRolledBack, func(ctx context.Context, h *host) error {
		if err := h.ledger.Complete(ctx, c, []byte("rolled back")); err != nil {
			return err
		}
		_, err := h.state.Storage().GetAlarm(ctx, nil) // lets others run
		return err
	})
	if err := o.Complete(t.Context(), c, []byte("result")); err != nil {
		t.Error(err)
	}
	if c := <-got; c.Outcome != dedupe.Replay || string(c.Result) != "result" {
		t.Errorf("the waiter got %v %q", c.Outcome, c.Result)
	}
}

// A synchronous transaction that would have to wait for an alarm fails with a
// named error, and is rolled back completely. One that need not wait works.
func TestEmbeddedLedgerInASynchronousTransaction(t *testing.T) {
	o := openHost(t)
	use := func(key string) error {
		return o.run(t.Context(), func(ctx context.Context, h *host) error {
			return h.state.Storage().TransactionSync(func() error {
				_, _, err := h.ledger.Once(ctx, []byte(key), nil, func(int64) ([]byte, error) { return nil, h.deposit(5) })
				return err
			})
		})
	}
	if err := use("first"); !errors.Is(err, durable.ErrTransactionParked) {
		t.Errorf("an alarm must be set: %v", err)
	}
	o.wantBalance("0")
	if _, _, err := o.once("first", &OnceOptions{TTL: time.Minute}); err != nil {
		t.Error(err)
	}
	if err := use("second"); err != nil {
		t.Errorf("an alarm is set: %v", err)
	}
	o.wantBalance("10")
}

func TestEmbeddedDeleteAllWakesThoseWhoWait(t *testing.T) {
	o := openHost(t)
	if _, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute}); err != nil {
		t.Fatal(err)
	}
	got := beginWait(t, o, 50*time.Second)
	time.Sleep(200 * time.Millisecond)
	begin := time.Now()
	o.must(func(ctx context.Context, h *host) error { return h.ledger.DeleteAll(ctx) })
	if c := <-got; c.Outcome != dedupe.Acquired || c.Attempt != 1 || time.Since(begin) > 20*time.Second {
		t.Errorf("%v after DeleteAll the waiter got %+v", time.Since(begin), c)
	}
}

// The object's own alarm and OnExpired do not delay each other, whatever they
// do.
func TestUserAlarmAndOnExpiredDoNotDelayEachOther(t *testing.T) {
	for name, trouble := range map[string]func(ctx context.Context) error{
		"fails":  func(context.Context) error { return errors.New("boom") },
		"panics": func(context.Context) error { panic("boom") },
		"hangs":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run("a holder's "+name, func(t *testing.T) {
			o := openHost(t)
			end, over := context.WithCancel(t.Context())
			defer over()
			setHook(t, &onHostExpired, func(context.Context, *host, Expired) error { return trouble(end) })
			delivered := make(chan bool, 10)
			setHook(t, &onHostAlarm, func(context.Context, *host, durable.AlarmInfo) error { delivered <- true; return nil })
			if _, err := o.Claim(t.Context(), []byte("poison"), dedupe.ClaimOptions{Lease: 200 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			at := time.Now().Add(1500 * time.Millisecond)
			o.setUserAlarm(at)
			<-delivered
			if late := time.Since(at); late > 10*time.Second {
				t.Errorf("delivered %v late", late)
			}
		})
		t.Run("the alarm's "+name, func(t *testing.T) {
			o := openHost(t)
			end, over := context.WithCancel(t.Context())
			defer over()
			var alarms atomic.Int64
			setHook(t, &onHostAlarm, func(context.Context, *host, durable.AlarmInfo) error { alarms.Add(1); return trouble(end) })
			expired := make(chan Expired, 10)
			setHook(t, &onHostExpired, func(_ context.Context, _ *host, e Expired) error { expired <- e; return nil })
			o.setUserAlarm(time.Now())
			for alarms.Load() == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			begin := time.Now()
			if _, err := o.Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: 200 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			<-expired
			if late := time.Since(begin); late > 10*time.Second {
				t.Errorf("reported %v late", late)
			}
		})
	}
}

// If a newer program has set an alarm, the ledger leaves it alone and
// continues.
func TestUserAlarmOfANewerProgramIsLeftToIt(t *testing.T) {
	o := openHost(t)
	newer := []byte{userAlarmVersion + 1, 1, 2, 3}
	o.must(func(ctx context.Context, h *host) error { return h.state.Storage().KV().Put(userAlarmName, newer) })
	c, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Hour})
	if err != nil || c.Outcome != dedupe.Acquired {
		t.Errorf("a claim: %+v, %v", c, err)
	}
	if at := o.alarmAt(); time.Until(at) > entry.NewerRetry*time.Millisecond {
		t.Errorf("the alarm is at %v, too late for the program that knows it", at)
	}
	if _, err := durabletest.RunAlarm(t, o.stub); err != nil {
		t.Errorf("the alarm: %v", err)
	}
	o.must(func(ctx context.Context, h *host) error {
		if _, err := h.ledger.GetAlarm(); !errors.Is(err, ErrVersion) {
			t.Errorf("GetAlarm: %v", err)
		}
		v, _, err := h.state.Storage().KV().Get(userAlarmName)
		if b, _ := v.([]byte); string(b) != string(newer) {
			t.Errorf("it became %x", v)
		}
		return err
	})
	if at := o.alarmAt(); at.IsZero() || time.Until(at) > entry.NewerRetry*time.Millisecond {
		t.Errorf("after the alarm the next is at %v", at)
	}
	hour := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	o.setUserAlarm(hour)
	if at := o.userAlarm(); at != hour {
		t.Errorf("in place of it there is %v", at)
	}
}
