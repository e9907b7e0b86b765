// Package inflight limits the memory that an isolate's requests take together:
// those of package dedupehttp's middleware and of package ledgerapi.
package inflight

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"

	"flow.internal/capdo/internal/budget"
)

// Limits for requests in a Worker. An isolate has 128 MB for the Go program and
// JavaScript together, and wasm memory never shrinks
// (https://developers.cloudflare.com/workers/platform/limits/#memory). Outside
// of Workers there is no limit.
const (
	// Max is the limit for all requests in flight, in bytes.
	Max = 56 << 20
	// RequestCost is the cost of a request without its bodies, in bytes. 3,000
	// waiting requests took 32 to 40 KiB each, including their part in the
	// object.
	RequestCost = 32 << 10
	// BodyCost is the cost of a byte of a request's body, of a result and of a
	// response that is held back: each is copied at most twice on its way to
	// the ledger. Bodies count by the announced length, or as they grow.
	BodyCost = 3
)

// Budget is the isolate's budget. All objects and requests of an isolate share
// one program.
var Budget = func() *budget.Budget {
	if runtime.GOOS != "js" {
		return nil
	}
	return budget.New(Max)
}()

// WithLimit runs fn with a limit for its requests, as in a Worker. It is for
// tests. It reports whether all of the budget has been given back.
func WithLimit(limit int, fn func()) (nothingLeft bool) {
	defer func(before *budget.Budget) { Budget = before }(Budget)
	Budget = budget.New(limit)
	fn()
	return Budget.Take("probe", limit/2)
}

// ErrNoRoom: there is no memory for the body, so it is refused.
var ErrNoRoom = errors.New("there is no memory for the body")

// ReadAll reads a body of at most limit bytes, if the share has room for it.
func ReadAll(
	w http.ResponseWriter, r *http.Request, limit int64, share *budget.Share,
) ([]byte, error) {
	body := http.MaxBytesReader(w, r.Body, limit)
	if n := r.ContentLength; n >= 0 {
		if !share.Take(BodyCost * int(n)) {
			return nil, ErrNoRoom
		}
		// One extra byte: otherwise the buffer grows before the end is seen.
		return readUpTo(body, make([]byte, 0, n+1))
	}
	const first = 4 << 10
	b := make([]byte, 0, first)
	for {
		if !share.Take(BodyCost * (cap(b) - len(b))) {
			return nil, ErrNoRoom
		}
		var err error
		if b, err = readUpTo(body, b); err != nil || len(b) < cap(b) {
			return b, err
		}
		b = append(make([]byte, 0, 2*cap(b)), b...)
	}
}

// readUpTo reads until the end or until b is full.
func readUpTo(r io.Reader, b []byte) ([]byte, error) {
	for len(b) < cap(b) {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// WritePieces writes a body in pieces, so that a buffering writer copies no
// more than one piece.
func WritePieces(w io.Writer, body []byte) (written int, err error) {
	for piece := range slices.Chunk(body, 32<<10) {
		n, err := w.Write(piece)
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}

// Buffer holds a response's body back, if there is room.
type Buffer struct {
	bytes.Buffer
	Share *budget.Share
	Limit int // the largest body that is held back
	room  int
}

// freeBytes is how many bytes of a response cost nothing; RequestCost includes
// them.
const freeBytes = 4 << 10

// Fits reports whether there is room for n more bytes.
func (b *Buffer) Fits(n int) bool {
	b.room = max(b.room, freeBytes)
	for size := b.Len() + n; b.room < size; {
		more := min(max(b.room, n), max(b.Limit-b.room, n))
		if !b.Share.Take(BodyCost * more) {
			return false
		}
		b.room += more
	}
	return true
}
