// Package inflight limits the memory that all requests of an isolate use
// together. Package dedupehttp's middleware and package ledgerapi share this
// limit.
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

// These limits apply only in Workers. An isolate has 128 MB for the program,
// JavaScript's heap and everything else, and wasm memory never shrinks
// (https://developers.cloudflare.com/workers/platform/limits/#memory).
const (
	// Max is the limit for all requests in flight, in bytes.
	Max = 56 << 20
	// RequestCost is the number of bytes counted for a request, besides its
	// bodies. In a test with 3,000 waiting requests, each used 32 to 40 KiB,
	// including its share in the object.
	RequestCost = 32 << 10
	// BodyCost is the number of bytes counted for each byte of a request's
	// body, of a result and of a response that is held back. Each byte is
	// copied at most twice on its way to the ledger. If a body's length is
	// announced, all of it is counted at once, otherwise as the body grows.
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

// WithLimit runs fn and counts its requests against a limit, as in a Worker. It
// is for tests. It reports whether all requests have given back what they took.
func WithLimit(limit int, fn func()) (nothingLeft bool) {
	defer func(before *budget.Budget) { Budget = before }(Budget)
	Budget = budget.New(limit)
	fn()
	return Budget.Take("probe", limit/2)
}

// ErrNoRoom is returned if there is no memory for a body.
var ErrNoRoom = errors.New("there is no memory for the body")

// ReadAll reads a body of at most limit bytes. It fails with ErrNoRoom if the
// share has no room for it.
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

// WritePieces writes a body in pieces, so a buffering writer copies at most one
// piece.
func WritePieces(w io.Writer, body []byte) (written int, err error) {
	for piece := range slices.Chunk(body, 32<<10) {
		n, err := w.Write(piece)
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}

// Buffer holds back a response's body as long as there is room.
type Buffer struct {
	bytes.Buffer
	Share *budget.Share
	Limit int // the largest body that is held back
	room  int
}

// freeBytes is the number of bytes of a response that are not counted, because
// RequestCost includes them.
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
