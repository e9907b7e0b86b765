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
	// ErrUnknownOutcome: the call was sent and its answer did not arrive. It may have taken effect, and may still do so.
	ErrUnknownOutcome = errors.New("the outcome is unknown")
	// ErrOverloaded: the store has more to do than it can. The call definitely had no effect; repeating it at once makes it worse.
	ErrOverloaded = errors.New("the store is overloaded")
)

// Error is what a [Store] fails with. Its text never contains a key.
type Error struct {
	Op   string // "PutIfAbsent", "Forget", …
	Kind Kind
	// Retryable: the same call may succeed when it is repeated, later if it matches [ErrOverloaded], and repeating it does no harm.
	Retryable bool
	Err       error // the cause; matches this package's errors and those of the layers below
}

// Error names the operation and the cause.
func (e *Error) Error() string {
	s := "dedupe: " + e.Op
	if e.Err != nil {
		return s + ": " + e.Err.Error()
	}
	return s + ": " + e.Kind.String()
}

// Unwrap returns the cause, and for [RuntimeUnavailable] also [errors.ErrUnsupported].
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
	// RuntimeUnavailable: the program does not run where the store is, such as natively instead of in workerd.
	RuntimeUnavailable
)

// String returns the kind in words.
func (k Kind) String() string {
	if k == RuntimeUnavailable {
		return "runtime unavailable"
	}
	return "other"
}
