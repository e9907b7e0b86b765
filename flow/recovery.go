package flow

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"flow.internal/capdo/dedupe"
)

// Recovery resumes a run that stopped in the middle, for example because its
// program ended, without a new request. Before the first node that is effectful
// or claimed, the run claims a key of its own and stores its input. If the
// lease ends before the run has ended, the ledger calls OnExpired (of
// dodedupe's ledger class), which calls [Program.Resume]. Resume runs the flow
// again with the stored input. Nodes that run exactly once and are done replay
// their output, so the run continues after the last of them.
//
// A run has ended when all of its nodes are done, or when it failed with an
// error that a repetition does not change: a [Rejection], [ErrInput],
// [ErrNoKey], [ErrBegun], [ErrOutput], [dedupe.ErrMismatch]. Its input is then
// deleted. After any other failure the run is resumed, although its sender got
// an error and may repeat the request, too.
//
// The capabilities [Runs] and [Keys] must be bound.
type Recovery struct {
	// Attempts is the largest number of attempts at a run, including the
	// first; 5 when 0. After the nth failure the next attempt is made 2ⁿ⁻¹
	// leases later, but at most 15 minutes later.
	Attempts int
	// MaxInput is the size of the largest input that is stored, in bytes;
	// 64 KiB when 0, and at most 1 MiB less 1 KiB. A run with a larger one
	// fails with [ErrTooLarge], before any effectful or claimed node.
	MaxInput int
	// TTL is the longest time for which an input is stored and its run
	// remembered; one day when 0.
	TTL time.Duration
	// Keep returns the value to store instead of the input, and Restore
	// makes the input of it again. Use them if a part of the input, such as
	// a card number, must not be stored. Set both or neither. If neither is
	// set, the input itself is stored.
	Keep    func(in json.RawMessage) (json.RawMessage, error)
	Restore func(
		ctx context.Context, b Bindings, kept json.RawMessage,
	) (json.RawMessage, error)
	// DeadLetter is called for a run that is given up. It is required. If
	// it fails, or the program ends meanwhile, it is called again, up to 5
	// times. After it has returned nil it is not called again.
	DeadLetter func(ctx context.Context, b Bindings, d DeadLetter) error
}

// DeadLetter is a run that is given up.
type DeadLetter struct {
	Run      string          // its id, which depends on the input alone
	Input    json.RawMessage // the flow's, or nil if it cannot be read
	Attempts int             // how often the run was begun
	// Err is the error of the last attempt; nil if the program ended during
	// that attempt.
	Err error
}

// ErrTooLarge: the input is too large to be stored for recovery
// ([Recovery.MaxInput]). Nothing was done.
var ErrTooLarge = errors.New("the input is too large to be stored for recovery")

// Sealer encrypts what is stored of runs: the inputs that a [Recovery] stores,
// and the outputs of nodes that run exactly once. Package flowseal has a
// Sealer. [Unsealed] is one that does not encrypt.
//
// An output is sealed if a Sealer is bound as [Keys], with or without a
// Recovery. It is stored for as long as the node's TTL, and at least a tenth of
// that after it was stored: a key that was replaced must still open it. Outputs
// that were stored in clear before can still be read. If a repetition cannot
// open an output, the node does not run again, and the error is the Sealer's
// own, or [ErrSealed]. If something must not be stored at all, use Keep of
// [Handler].
//
// The ledger keeps in clear: keys, with the sender's id, and a SHA-256 of the
// payload, or of the members that the node names. Anyone who guesses the
// payload can verify the guess.
type Sealer interface {
	// Seal encrypts a text. Opening it needs the same about.
	Seal(text, about []byte) (sealed []byte, err error)
	Open(sealed, about []byte) (text []byte, err error)
	// Digest returns at least 16 bytes that identify a text without
	// revealing it.
	Digest(text []byte) []byte
}

// Unsealed is a [Sealer] that stores inputs and outputs as they are. Open fails
// with [ErrSealed] for a text that another Sealer has sealed.
type Unsealed struct{}

const markUnsealed = '='

// Seal returns the text.
func (Unsealed) Seal(text, _ []byte) ([]byte, error) {
	return append([]byte{markUnsealed}, text...), nil
}

// Open returns the text.
func (Unsealed) Open(sealed, _ []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != markUnsealed {
		return nil, ErrSealed
	}
	return sealed[1:], nil
}

// Digest returns the text's SHA-256. Anyone who guesses the text can verify it.
func (Unsealed) Digest(text []byte) []byte {
	sum := sha256.Sum256(text)
	return sum[:]
}

const (
	defaultAttempts = 5
	defaultMaxInput = 64 << 10
	sealingSize     = 1 << 10 // for what sealing adds
	maxBackOff      = 15 * time.Minute
	maxDeadLetters  = 5 // how often DeadLetter is called
)

// withDefaults returns a copy with the defaults filled in.
func (r Recovery) withDefaults() *Recovery {
	if r.Attempts <= 0 {
		r.Attempts = defaultAttempts
	}
	if r.MaxInput <= 0 {
		r.MaxInput = defaultMaxInput
	}
	r.MaxInput = min(r.MaxInput, dedupe.MaxResultSize-sealingSize)
	if r.TTL == 0 {
		r.TTL = dedupe.DefaultTTL
	}
	return &r
}

// check adds findings about a recovery.
func (r *Recovery) check(v *validator) {
	switch {
	case r.DeadLetter == nil:
		v.add(CodeIncompleteRecovery, "", nil, "Recovery has no DeadLetter")
	case (r.Keep == nil) != (r.Restore == nil):
		v.add(CodeIncompleteRecovery, "", nil, "Recovery has only one of Keep and Restore")
	}
}

// final reports whether a repetition of the run would fail with the same error.
func final(err error) bool {
	var rejection *Rejection
	for _, e := range []error{
		ErrInput, ErrNoKey, ErrBegun, ErrOutput, ErrTooLarge,
		dedupe.ErrMismatch, dedupe.ErrKeyTooLarge,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return errors.As(err, &rejection)
}

// run is a run that is watched.
type run struct {
	*Program
	b        Bindings
	id       string
	key      []byte // claimed while the run goes on
	inputKey []byte // completed with the input
}

// keyOf returns the key of a run, or of its input. Keys of nodes have three
// parts.
func (p *Program) keyOf(what, id string) []byte {
	key, err := json.Marshal([]any{p.name, what, id, 1})
	if err != nil {
		panic(err) // texts
	}
	return key
}

func encoded(id []byte) string { return base64.RawURLEncoding.EncodeToString(id) }

func (p *Program) newRun(b Bindings, id string) *run {
	return &run{p, b, id, p.keyOf("run", id), p.keyOf("input", id)}
}

// runID returns the id of this flow's run that has the key.
func (p *Program) runID(key []byte) (id string, ok bool) {
	var parts []any
	if json.Unmarshal(key, &parts) != nil || len(parts) != 4 ||
		parts[0] != p.name || parts[1] != "run" || parts[3] != 1.0 {
		return "", false
	}
	id, ok = parts[2].(string)
	return id, ok
}

func (r *run) ledger() dedupe.Ledger { return r.b[Runs].(dedupe.Ledger) } // Preflight has looked
func (r *run) sealer() Sealer        { return r.b[Keys].(Sealer) }

func (r *run) options() dedupe.ClaimOptions {
	return dedupe.ClaimOptions{Lease: r.claim.Lease, TTL: r.recovery.TTL}
}

// watch runs the rest of a run, and has it resumed if the rest does not end. If
// another run with the same input is or was watched, this one need not be.
func (p *Program) watch(
	ctx context.Context, b Bindings, input json.RawMessage, rest func(ctx context.Context) error,
) error {
	r := p.newRun(b, encoded(b[Keys].(Sealer).Digest(append([]byte(p.name+"\n"), input...))))
	sealed, err := r.seal(input)
	if err != nil {
		return err
	}
	ran, stored := false, false
	onFailure := func(err error) dedupe.Disposition {
		switch {
		case !stored:
			return dedupe.ReleaseClaim // nothing has begun
		case final(err):
			return dedupe.StoreResult
		}
		return dedupe.LeaveToLease
	}
	var failed error
	opts := dedupe.DoOptions{ClaimOptions: r.options(), OnFailure: onFailure}
	_, err = dedupe.Do(ctx, r.ledger(), r.key, opts, func(
		ctx context.Context, _ dedupe.Claim,
	) ([]byte, error) {
		ran = true
		if failed = r.store(ctx, sealed); failed != nil {
			return nil, failed
		}
		stored = true
		failed = rest(ctx)
		return []byte{markOutput}, failed
	})
	switch {
	case !ran && (err == nil || errors.Is(err, dedupe.ErrInProgress)):
		return rest(ctx)
	case !ran:
		return err
	case failed == nil && err == nil, final(failed):
		r.forget(ctx)
	}
	// If only its end is not recorded, it is resumed, but no node runs again.
	return failed
}

// seal returns the stored form of an input.
func (r *run) seal(input json.RawMessage) ([]byte, error) {
	if r.recovery.Keep != nil {
		kept, err := r.recovery.Keep(input)
		if err != nil {
			return nil, err
		}
		input = kept
	}
	if len(input) > r.recovery.MaxInput {
		return nil, ErrTooLarge
	}
	return r.sealer().Seal(input, r.key)
}

// store stores the sealed input, as the result of a key.
func (r *run) store(ctx context.Context, sealed []byte) error {
	opts := r.options()
	// The lease is short: a holder that dies in between had only to store.
	opts.Lease, opts.Wait = 2*time.Second, 10*time.Second
	claim, err := r.ledger().Claim(ctx, r.inputKey, opts)
	switch {
	case err != nil:
		return err
	case claim.Outcome == dedupe.Acquired:
		return dedupe.Complete(ctx, r.ledger(), claim, sealed)
	case claim.Outcome == dedupe.Replay: // by an earlier attempt
		return nil
	}
	return &dedupe.Error{Op: "Claim", Retryable: true, Err: dedupe.ErrInProgress}
}

// forget deletes the input. If that fails, the input expires with its TTL.
func (r *run) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = r.ledger().Forget(ctx, r.inputKey)
}

// load returns the input. ok is false if none was stored, so that no node has
// run.
func (r *run) load(ctx context.Context) (input json.RawMessage, ok bool, err error) {
	claim, err := r.ledger().Claim(ctx, r.inputKey,
		dedupe.ClaimOptions{Lease: time.Second, TTL: r.recovery.TTL, Wait: 10 * time.Second})
	switch {
	case err != nil:
		return nil, true, err
	case claim.Outcome == dedupe.Acquired:
		return nil, false, r.ledger().Release(ctx, claim)
	case claim.Outcome != dedupe.Replay:
		return nil, true, &dedupe.Error{Op: "Claim", Retryable: true, Err: dedupe.ErrInProgress}
	}
	text, err := r.sealer().Open(claim.Result, r.key)
	if err != nil {
		return text, true, err
	}
	if r.recovery.Restore != nil {
		text, err = r.recovery.Restore(ctx, r.b, text)
		if err != nil {
			return text, true, err
		}
	}
	text, err = canonical(text)
	return text, true, err
}

// Resume resumes a run whose lease has ended. Call it with the expired key in
// the function OnExpired of the ledger that is bound as [Runs]:
//
//	dodedupe.RegisterLedger("Ledger", &dodedupe.LedgerClassOptions{
//		OnExpired: func(
//			ctx context.Context, env *durable.Env, e dodedupe.Expired,
//		) error {
//			return program.Resume(ctx, bindings(ctx, env), e.Key)
//		},
//	})
//
// It does nothing if the key is not of a run of this flow, if the run has
// ended, or if another caller holds the run. Its error is only for a log: the
// run is resumed again later, or given up ([Recovery.DeadLetter]).
func (p *Program) Resume(ctx context.Context, b Bindings, key []byte) error {
	id, ok := p.runID(key)
	if !ok || p.recovery == nil {
		return nil
	}
	if err := p.Preflight(b); err != nil {
		return err
	}
	patient := *p
	patient.claim.Wait = dedupe.MaxWait // for the leases of nodes, which end later
	r := patient.newRun(b, id)
	var held dedupe.Claim
	opts := dedupe.DoOptions{ClaimOptions: r.options(),
		OnFailure: func(error) dedupe.Disposition { return dedupe.LeaveToLease }}
	_, err := dedupe.Do(ctx, r.ledger(), r.key, opts, func(
		ctx context.Context, claim dedupe.Claim,
	) ([]byte, error) {
		held = claim
		return []byte{markOutput}, r.resume(ctx, claim.Attempt)
	})
	switch {
	case errors.Is(err, dedupe.ErrInProgress) && held.Outcome != dedupe.Acquired:
		return nil
	case err == nil && held.Outcome == dedupe.Acquired:
		r.forget(ctx)
	case held.Outcome == dedupe.Acquired:
		r.postpone(ctx, held)
	}
	return err
}

// resume makes one attempt, under the run's claim.
func (r *run) resume(ctx context.Context, attempt int) error {
	input, stored, err := r.load(ctx)
	switch {
	case err == nil && !stored:
		return nil // it ended before it had begun
	case attempt > r.recovery.Attempts:
		return r.giveUp(ctx,
			DeadLetter{Run: r.id, Input: input, Attempts: attempt - 1, Err: err}, attempt)
	case err == nil:
		_, err = r.run(ctx, r.b, input, false)
	}
	if err != nil && (final(err) || attempt >= r.recovery.Attempts) {
		return r.giveUp(ctx,
			DeadLetter{Run: r.id, Input: input, Attempts: attempt, Err: err}, attempt)
	}
	return err
}

// giveUp calls DeadLetter for a run that is given up, several times if it fails.
func (r *run) giveUp(ctx context.Context, d DeadLetter, attempt int) error {
	err := r.recovery.DeadLetter(ctx, r.b, d)
	if err != nil && attempt >= r.recovery.Attempts+maxDeadLetters-1 {
		return nil
	}
	return err
}

// postpone delays the next attempt.
func (r *run) postpone(ctx context.Context, claim dedupe.Claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	d := min(r.claim.Lease<<min(claim.Attempt-1, 16), maxBackOff)
	// If this fails, the next attempt is at the end of the present lease.
	_ = r.ledger().Extend(ctx, claim, max(d, r.claim.Lease))
}
