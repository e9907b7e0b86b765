package dodedupe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// host is an object with an embedded ledger. It does what tests tell it.
type host struct {
	state  *durable.State
	ledger *Embedded
	err    error // of Embed
}

func newHost(_ context.Context, state *durable.State, _ *durable.Env) (*host, error) {
	h := &host{state: state}
	h.ledger, h.err = Embed(state, &EmbedOptions{OnExpired: func(ctx context.Context, e Expired) error { return h.expired(ctx, e) }})
	return h, nil
}

// Event handlers of hosts, if a test has set them.
var (
	onHostAlarm   func(ctx context.Context, h *host, info durable.AlarmInfo) error
	onHostExpired func(ctx context.Context, h *host, e Expired) error
)

func setHook[T any](t *testing.T, hook *T, fn T) {
	before := *hook
	*hook = fn
	t.Cleanup(func() {
		// Objects are reset when a test ends. A timer that was set in one of
		// them would then delay the timers of others.
		time.Sleep(2 * 100 * time.Millisecond)
		*hook = before
	})
}

func (h *host) expired(ctx context.Context, e Expired) error {
	if onHostExpired == nil {
		return nil
	}
	return onHostExpired(ctx, h, e)
}

func (h *host) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	return h.ledger.Alarm(ctx, func(ctx context.Context, info durable.AlarmInfo) error { return onHostAlarm(ctx, h, info) })
}

// Jobs are functions that run in a host. Tests and objects are one program, so
// a call needs to carry only a number.
var (
	hostJobs    sync.Map
	lastHostJob atomic.Int64
)

func (h *host) do(ctx context.Context, number []byte) ([]byte, error) {
	fn, _ := hostJobs.LoadAndDelete(string(number))
	return nil, fn.(func(context.Context, *host) error)(ctx, h)
}

func registerHost(class string) { durable.Register(class, newHost, durable.Method("run", (*host).do)) }

// hostOf is the host that a test uses.
type hostOf struct {
	t    *testing.T
	stub *durable.Stub
}

// openHost returns the test's host. It is the same one after a restart.
func openHost(t *testing.T) hostOf {
	t.Helper()
	stub := durabletest.Env(t, nil).Object("HOST", t.Name())
	return hostOf{t, stub}
}

// run runs fn in the host and returns its error unchanged.
func (o hostOf) run(ctx context.Context, fn func(ctx context.Context, h *host) error) error {
	number := strconv.FormatInt(lastHostJob.Add(1), 10)
	var failed error
	hostJobs.Store(number, func(ctx context.Context, h *host) error {
		failed = fn(ctx, h)
		return nil
	})
	if _, err := o.stub.Call(ctx, "run", []byte(number)); err != nil {
		return err
	}
	return failed
}

func (o hostOf) must(fn func(ctx context.Context, h *host) error) {
	o.t.Helper()
	if err := o.run(o.t.Context(), fn); err != nil {
		o.t.Fatal(err)
	}
}

func (o hostOf) Name() string { return "dedupe.durable_objects" }

func (o hostOf) Claim(ctx context.Context, key []byte, opts dedupe.ClaimOptions) (claim dedupe.Claim, err error) {
	if ctx.Err() != nil { // no object would be called
		return claim, &dedupe.Error{Op: opClaim, Err: context.Cause(ctx)}
	}
	done := o.run(o.t.Context(), func(_ context.Context, h *host) error {
		claim, err = h.ledger.Claim(ctx, key, opts)
		return nil
	})
	return claim, errors.Join(done, err)
}

func (o hostOf) change(ctx context.Context, fn func(ctx context.Context, h *host) error) error {
	return o.run(o.t.Context(), func(_ context.Context, h *host) error { return fn(ctx, h) })
}

func (o hostOf) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	return o.change(ctx, func(ctx context.Context, h *host) error { return h.ledger.Complete(ctx, c, result) })
}

func (o hostOf) Extend(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	return o.change(ctx, func(ctx context.Context, h *host) error { return h.ledger.Extend(ctx, c, lease) })
}

func (o hostOf) Release(ctx context.Context, c dedupe.Claim) error {
	return o.change(ctx, func(ctx context.Context, h *host) error { return h.ledger.Release(ctx, c) })
}

func (o hostOf) Forget(ctx context.Context, key []byte) error {
	return o.change(ctx, func(ctx context.Context, h *host) error { return h.ledger.Forget(ctx, key) })
}

func TestEmbeddedLedger(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger { return openHost(t) })
}

func TestEmbedNeedsSQLite(t *testing.T) {
	err := hostOf{t, durabletest.New(t, "HOST_KV")}.run(t.Context(), func(_ context.Context, h *host) error { return h.err })
	var e *dedupe.Error
	if !errors.Is(err, durable.ErrNoSQL) || !errors.As(err, &e) || e.Op != "Embed" {
		t.Errorf("%v", err)
	}
}

// The host's account, whose effect is a row.
func (h *host) deposit(amount int) error {
	_, err := h.state.Storage().SQL().Exec("CREATE TABLE IF NOT EXISTS deposits (amount INTEGER)")
	if err == nil {
		_, err = h.state.Storage().SQL().Exec("INSERT INTO deposits VALUES (?)", amount)
	}
	return err
}

func (h *host) balance() (string, error) {
	if err := h.deposit(0); err != nil {
		return "", err
	}
	c, err := h.state.Storage().SQL().Exec("SELECT sum(amount) FROM deposits")
	if err != nil {
		return "", err
	}
	n, err := durable.One[int64](c)
	return strconv.FormatInt(n, 10), err
}

func (o hostOf) wantBalance(want string) {
	o.t.Helper()
	o.must(func(_ context.Context, h *host) error {
		if got, err := h.balance(); got != want || err != nil {
			return fmt.Errorf("the balance is %s (%v), want %s", got, err, want)
		}
		return nil
	})
}

// once deposits 5 for a key.
func (o hostOf) once(key string, opts *OnceOptions) (result string, replayed bool, err error) {
	done := o.run(o.t.Context(), func(ctx context.Context, h *host) (e error) {
		var b []byte
		b, replayed, err = h.ledger.Once(ctx, []byte(key), opts, func(int64) ([]byte, error) { return []byte("receipt of " + key), h.deposit(5) })
		result = string(b)
		return nil
	})
	return result, replayed, errors.Join(done, err)
}

func TestOnceHasItsEffectOnce(t *testing.T) {
	o := openHost(t)
	var wg sync.WaitGroup
	var fresh atomic.Int64
	for n := range 60 {
		wg.Go(func() {
			key := "key " + strconv.Itoa(n%3)
			result, replayed, err := o.once(key, nil)
			if result != "receipt of "+key || err != nil {
				t.Errorf("%q, %v", result, err)
			}
			if !replayed {
				fresh.Add(1)
			}
		})
	}
	wg.Wait()
	if fresh.Load() != 3 {
		t.Errorf("work was done %d times for 3 keys", fresh.Load())
	}
	o.wantBalance("15")
	durabletest.Restart(t)
	o = openHost(t)
	if result, replayed, err := o.once("key 0", nil); result != "receipt of key 0" || !replayed || err != nil {
		t.Errorf("after SIGKILL: %q, %v, %v", result, replayed, err)
	}
	o.wantBalance("15")
}

func TestOnceThatFailsChangesNothing(t *testing.T) {
	o, boom := openHost(t), errors.New("boom")
	fails := func(fn func(h *host) ([]byte, error)) error {
		return o.run(t.Context(), func(ctx context.Context, h *host) error {
			_, _, err := h.ledger.Once(ctx, []byte("k"), nil, func(int64) ([]byte, error) { return fn(h) })
			return err
		})
	}
	if err := fails(func(h *host) ([]byte, error) { return nil, errors.Join(h.deposit(5), boom) }); !errors.Is(err, boom) {
		t.Errorf("work that fails: %v", err)
	}
	large := make([]byte, dedupe.MaxResultSize+1)
	if err := fails(func(h *host) ([]byte, error) { return large, h.deposit(5) }); !errors.Is(err, dedupe.ErrResultTooLarge) {
		t.Errorf("a result that is too large: %v", err)
	}
	o.wantBalance("0")
	if err := fails(func(h *host) ([]byte, error) { h.deposit(5); panic("boom") }); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("work that panics: %v", err)
	}
	o.wantBalance("0")
	if _, replayed, err := o.once("k", nil); replayed || err != nil {
		t.Errorf("after failures: %v, %v", replayed, err)
	}
	o.wantBalance("5")
}

func TestOnceRespectsClaims(t *testing.T) {
	o := openHost(t)
	claim, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute, Fingerprint: []byte("f")})
	if err != nil {
		t.Fatal(err)
	}
	var busy *dedupe.InProgressError
	_, _, err = o.once("k", &OnceOptions{Fingerprint: []byte("f")})
	if !errors.As(err, &busy) || busy.Attempt != 1 || busy.RetryAfter <= 0 || busy.RetryAfter > time.Minute || errors.Is(err, dedupe.ErrUnknownOutcome) {
		t.Errorf("while it is claimed: %v", err)
	}
	if _, _, err := o.once("k", nil); !errors.Is(err, dedupe.ErrMismatch) {
		t.Errorf("another fingerprint: %v", err)
	}
	if err := o.Release(t.Context(), claim); err != nil {
		t.Error(err)
	}
	if result, replayed, err := o.once("k", nil); result != "receipt of k" || replayed || err != nil {
		t.Errorf("after the release: %q, %v, %v", result, replayed, err)
	}
	if c, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute}); c.Outcome != dedupe.Replay || string(c.Result) != "receipt of k" || err != nil {
		t.Errorf("a claim after it: %+v, %v", c, err)
	}
	for _, bad := range []struct {
		key  string
		opts *OnceOptions
		want error
	}{
		{"", nil, dedupe.ErrKeyEmpty},
		{strings.Repeat("k", dedupe.MaxKeySize+1), nil, dedupe.ErrKeyTooLarge},
		{"other", &OnceOptions{TTL: -1}, dedupe.ErrInvalidTTL},
		{"other", &OnceOptions{Fingerprint: make([]byte, 65)}, dedupe.ErrFingerprintTooLarge},
	} {
		if _, _, err := o.once(bad.key, bad.opts); !errors.Is(err, bad.want) {
			t.Errorf("%v, want %v", err, bad.want)
		}
	}
	o.wantBalance("5")
}

// Work that waits for an external service, such as a card processor, runs
// between the claim and the transaction that completes it.
func TestCompleteTxCommitsTheEffectWithTheResult(t *testing.T) {
	o := openHost(t)
	claim, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	completeTx := func(c dedupe.Claim, then error) (result string, err error) {
		done := o.run(t.Context(), func(ctx context.Context, h *host) error {
			var b []byte
			b, err = h.ledger.CompleteTx(ctx, c, func() ([]byte, error) { return []byte("receipt"), errors.Join(h.deposit(5), then) })
			result = string(b)
			return nil
		})
		return result, errors.Join(done, err)
	}
	boom := errors.New("boom")
	if _, err := completeTx(claim, boom); !errors.Is(err, boom) {
		t.Errorf("work that fails: %v", err)
	}
	stale := claim
	stale.Fence--
	if _, err := completeTx(stale, nil); !errors.Is(err, dedupe.ErrFenced) {
		t.Errorf("a stale holder: %v", err)
	}
	foreign := claim
	foreign.Ledger += "0"
	if _, err := completeTx(foreign, nil); !errors.Is(err, dedupe.ErrForeignClaim) {
		t.Errorf("another object's claim: %v", err)
	}
	o.wantBalance("0")
	for range 2 {
		if result, err := completeTx(claim, nil); result != "receipt" || err != nil {
			t.Errorf("%q, %v", result, err)
		}
	}
	o.wantBalance("5")
}

// alarmAt returns the time of the platform's alarm.
func (o hostOf) alarmAt() (at time.Time) {
	o.t.Helper()
	o.must(func(ctx context.Context, h *host) (err error) {
		at, err = h.state.Storage().GetAlarm(ctx, nil)
		return err
	})
	return at
}

func (o hostOf) userAlarm() (at time.Time) {
	o.t.Helper()
	o.must(func(_ context.Context, h *host) (err error) { at, err = h.ledger.GetAlarm(); return err })
	return at
}

func (o hostOf) setUserAlarm(at time.Time) {
	o.t.Helper()
	o.must(func(ctx context.Context, h *host) error { return h.ledger.SetAlarm(ctx, at) })
}

func (o hostOf) deleteUserAlarm() {
	o.t.Helper()
	o.must(func(ctx context.Context, h *host) error { return h.ledger.DeleteAlarm(ctx) })
}

// Known mistake: user alarm and TTL alarm clobber each other.
func TestEmbeddedLedgerAndUserShareTheAlarm(t *testing.T) {
	o := openHost(t)
	hour := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	near := func(at time.Time, in time.Duration) bool {
		d := time.Until(at)
		return d > in-20*time.Second && d <= in
	}
	claim := func(key string, ttl time.Duration) {
		t.Helper()
		if _, err := o.Claim(t.Context(), []byte(key), dedupe.ClaimOptions{Lease: ttl, TTL: ttl}); err != nil {
			t.Fatal(err)
		}
	}
	if at := o.userAlarm(); !at.IsZero() {
		t.Errorf("an alarm that was never set: %v", at)
	}
	o.setUserAlarm(hour)
	claim("long", 2*time.Hour)
	if o.alarmAt() != hour || o.userAlarm() != hour {
		t.Errorf("a later expiry moved the user's alarm: %v", o.alarmAt())
	}
	claim("short", time.Minute)
	if !near(o.alarmAt(), time.Minute) || o.userAlarm() != hour {
		t.Errorf("an earlier expiry: the alarm is in %v, the user's at %v", time.Until(o.alarmAt()), o.userAlarm())
	}
	o.setUserAlarm(hour.Add(time.Hour))
	if !near(o.alarmAt(), time.Minute) || o.userAlarm() != hour.Add(time.Hour) {
		t.Errorf("a user's alarm after the expiries moved them: %v", time.Until(o.alarmAt()))
	}
	o.deleteUserAlarm()
	if !near(o.alarmAt(), time.Minute) || !o.userAlarm().IsZero() {
		t.Errorf("deleting the user's alarm: %v, %v", time.Until(o.alarmAt()), o.userAlarm())
	}
	for _, key := range []string{"short", "long"} {
		if err := o.Forget(t.Context(), []byte(key)); err != nil {
			t.Error(err)
		}
	}
	o.setUserAlarm(hour)
	durabletest.Evict(t, o.stub)
	claim("short", time.Minute)
	if !near(o.alarmAt(), time.Minute) || o.userAlarm() != hour {
		t.Errorf("after eviction: %v, %v", time.Until(o.alarmAt()), o.userAlarm())
	}
}

// rings returns a channel that reports each delivery. A delivery returns the
// result of deliver.
func rings(t *testing.T, deliver func(ctx context.Context, h *host, info durable.AlarmInfo) error) <-chan durable.AlarmInfo {
	delivered := make(chan durable.AlarmInfo, 20)
	setHook(t, &onHostAlarm, func(ctx context.Context, h *host, info durable.AlarmInfo) error {
		defer func() { delivered <- info }()
		return deliver(ctx, h, info)
	})
	return delivered
}

func TestUserAlarmIsDeliveredOnceAndOnTime(t *testing.T) {
	o := openHost(t)
	seen := make(chan time.Time, 1)
	delivered := rings(t, func(_ context.Context, h *host, _ durable.AlarmInfo) error {
		at, err := h.ledger.GetAlarm()
		seen <- at
		return err
	})
	if _, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute}); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(300 * time.Millisecond).Truncate(time.Millisecond)
	o.setUserAlarm(at)
	// This alarm comes too early.
	if ran, err := durabletest.RunAlarm(t, o.stub); !ran || err != nil {
		t.Errorf("%v, %v", ran, err)
	}
	info := <-delivered
	if !info.ScheduledTime.Equal(at) || info.IsRetry || info.RetryCount != 0 || time.Now().Before(at) {
		t.Errorf("delivered: %+v, due at %v", info, at)
	}
	if at := <-seen; !at.IsZero() {
		t.Errorf("during its delivery the alarm is set for %v", at)
	}
	if ran, err := durabletest.RunAlarm(t, o.stub); !ran || err != nil {
		t.Errorf("%v, %v", ran, err)
	}
	if len(delivered) > 0 || !o.userAlarm().IsZero() {
		t.Errorf("delivered twice, or still set for %v", o.userAlarm())
	}
	if c, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute}); c.Outcome != dedupe.InProgress || err != nil {
		t.Errorf("the claim: %v, %v", c.Outcome, err)
	}
}

func TestUserAlarmThatFailsIsDeliveredAgain(t *testing.T) {
	o := openHost(t)
	boom := errors.New("boom")
	delivered := rings(t, func(_ context.Context, _ *host, info durable.AlarmInfo) error {
		if !info.IsRetry {
			return boom
		}
		return nil
	})
	// The ledger's next alarm is far in the future.
	if _, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Hour}); err != nil {
		t.Fatal(err)
	}
	o.setUserAlarm(time.Now())
	first, second := <-delivered, <-delivered
	if first.IsRetry || !second.IsRetry || second.RetryCount != 1 || !second.ScheduledTime.Equal(first.ScheduledTime) {
		t.Errorf("%+v, then %+v", first, second)
	}
	if at := o.userAlarm(); !at.IsZero() {
		t.Errorf("still set for %v", at)
	}
}

func TestUserAlarmMaySetTheNext(t *testing.T) {
	o := openHost(t)
	delivered := rings(t, func(ctx context.Context, h *host, info durable.AlarmInfo) error {
		if info.IsRetry {
			t.Errorf("%+v", info)
		}
		return h.ledger.SetAlarm(ctx, time.Now().Add(20*time.Millisecond))
	})
	o.setUserAlarm(time.Now())
	for range 3 {
		<-delivered
	}
	o.deleteUserAlarm()
	if at := o.alarmAt(); !at.IsZero() {
		t.Errorf("no work is left, but the alarm is set for %v", at)
	}
}

// Known mistake: user storage keys collide with internal ones.
func TestEmbeddedLedgerAndUserStorageAreApart(t *testing.T) {
	o := openHost(t)
	const key = "deposits"
	if result, _, err := o.once(key, nil); result != "receipt of deposits" || err != nil {
		t.Fatalf("%q, %v", result, err)
	}
	o.setUserAlarm(time.Now().Add(time.Hour))
	o.must(func(ctx context.Context, h *host) error {
		for e, err := range h.state.Storage().KV().List(nil) {
			if err != nil || !strings.HasPrefix(e.Key, "_capdo_") {
				return fmt.Errorf("the ledger stores the key %q: %w", e.Key, err)
			}
		}
		c, err := h.state.Storage().SQL().Exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'")
		if err != nil {
			return err
		}
		var names []string
		for name, err := range durable.All[string](c) {
			if err != nil {
				return err
			}
			names = append(names, name)
		}
		if !slices.Equal(names, []string{"deposits"}) {
			return fmt.Errorf("the tables %q", names)
		}
		return h.state.Storage().KV().Put(key, "the user's")
	})
	if result, replayed, err := o.once(key, nil); result != "receipt of deposits" || !replayed || err != nil {
		t.Errorf("%q, %v, %v", result, replayed, err)
	}
	if err := o.Forget(t.Context(), []byte(key)); err != nil {
		t.Error(err)
	}
	o.must(func(_ context.Context, h *host) error {
		if v, _, err := h.state.Storage().KV().Get(key); v != "the user's" {
			return fmt.Errorf("the user's value is %v, %w", v, err)
		}
		return nil
	})
	o.wantBalance("5")
}

// An object whose ledger is empty keeps its own data.
func TestEmbeddedLedgerThatIsEmptyLeavesTheObject(t *testing.T) {
	o := openHost(t)
	if _, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Millisecond, TTL: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	o.must(func(_ context.Context, h *host) error { return h.deposit(5) })
	time.Sleep(5 * time.Millisecond)
	if _, err := durabletest.RunAlarm(t, o.stub); err != nil {
		t.Error(err)
	}
	o.wantBalance("5")
	if at := o.alarmAt(); !at.IsZero() {
		t.Errorf("no work is left, but the alarm is set for %v", at)
	}
}

func TestEmbeddedDeleteAll(t *testing.T) {
	o := openHost(t)
	before, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	o.setUserAlarm(time.Now().Add(time.Hour))
	o.must(func(ctx context.Context, h *host) error { return errors.Join(h.deposit(5), h.ledger.DeleteAll(ctx)) })
	if at := o.alarmAt(); !at.IsZero() || !o.userAlarm().IsZero() {
		t.Errorf("an alarm is left: %v", at)
	}
	o.wantBalance("0")
	after, err := o.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
	if err != nil || after.Outcome != dedupe.Acquired || after.Fence <= before.Fence {
		t.Errorf("%+v after fence %d, %v", after, before.Fence, err)
	}
	if at := o.alarmAt(); at.IsZero() {
		t.Error("the claim has no alarm")
	}
}
