package dedupe

import "errors"

// Errors to test for with [errors.Is]. Act on these, never on messages.
var (
	// ErrKeyEmpty: a key has one byte at least.
	ErrKeyEmpty = errors.New("the key is empty")
	// ErrKeyTooLarge: the key exceeds [MaxKeySize].
	ErrKeyTooLarge = errors.New("the key is larger than 2048 bytes")
	// ErrInvalidTTL: the TTL is negative or exceeds [MaxTTL].
	ErrInvalidTTL = errors.New("the TTL is negative or longer than 10 years")
	// ErrUnknownOutcome: the call was sent and its answer did not arrive.
	// It may have taken effect, and may still do so.
	ErrUnknownOutcome = errors.New("the outcome is unknown")
	// ErrOverloaded: the store has too many calls. The call definitely had
	// no effect. Repeating it at once makes the overload worse.
	ErrOverloaded = errors.New("the store is overloaded")

	// ErrMismatch: the key is in use with another fingerprint. Do not
	// repeat the call: the payload differs.
	ErrMismatch = errors.New("the key is in use with another fingerprint")
	// ErrFenced: the claim is over; another holder may be at work. Nothing
	// was changed.
	ErrFenced = errors.New("the claim is over")
	// ErrLeaseExpired: the lease ended by the holder's own clock, because
	// it could not be extended; another holder may be at work. It is the
	// cause of the context that [Do] gives the work.
	ErrLeaseExpired = errors.New("the lease ended and could not be extended")
	// ErrNotAcquired: the claim does not hold its key, because its outcome
	// is not [Acquired].
	ErrNotAcquired = errors.New("the claim was not acquired")
	// ErrForeignClaim: another ledger made the claim.
	ErrForeignClaim = errors.New("the claim is another ledger's")
	// ErrInProgress: another owner holds the key; the error is an
	// [*InProgressError].
	ErrInProgress = errors.New("the key is in progress")
	// ErrInvalidLease: the lease is negative or exceeds [MaxLease].
	ErrInvalidLease = errors.New("the lease is negative or longer than 24 hours")
	// ErrInvalidWait: the wait is negative or exceeds [MaxWait].
	ErrInvalidWait = errors.New("the wait is negative or longer than a minute")
	// ErrOwnerTooLarge: the owner token exceeds [MaxOwnerSize].
	ErrOwnerTooLarge = errors.New("the owner is larger than 64 bytes")
	// ErrFingerprintTooLarge: the fingerprint exceeds [MaxFingerprintSize].
	ErrFingerprintTooLarge = errors.New("the fingerprint is larger than 64 bytes")
	// ErrResultTooLarge: the result exceeds [MaxResultSize].
	ErrResultTooLarge = errors.New("the result is larger than 1 MiB")
)

// Error is the error type of a [Store], a [Ledger] and a [Sequencer]. Its text
// never contains a key.
type Error struct {
	Op   string // "PutIfAbsent", "Claim", …
	Kind Kind
	// Retryable: the same call may succeed when it is repeated, and
	// repeating it does no harm. If the error matches [ErrOverloaded], wait
	// before that.
	Retryable bool
	// Err is the cause. It matches this package's errors and those of the
	// layers below.
	Err error
}

// Error names the operation and the cause.
func (e *Error) Error() string {
	s := "dedupe: " + e.Op
	if e.Err != nil {
		return s + ": " + e.Err.Error()
	}
	return s + ": " + e.Kind.String()
}

// Unwrap returns the cause, and for [RuntimeUnavailable] also
// [errors.ErrUnsupported].
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	if e.Kind == RuntimeUnavailable {
		errs = append(errs, errors.ErrUnsupported)
	}
	return errs
}

// Kind is the coarse class of an [Error].
type Kind int

// Kinds of errors.
const (
	// Other: the cause says more.
	Other Kind = iota
	// RuntimeUnavailable: the program does not run where the store is, such
	// as natively instead of in workerd.
	RuntimeUnavailable
)

// String returns the kind in words.
func (k Kind) String() string {
	if k == RuntimeUnavailable {
		return "runtime unavailable"
	}
	return "other"
}
