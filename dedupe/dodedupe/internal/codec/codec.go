// Package codec reads and writes the parts of records and messages: numbers,
// texts and versions. A number is a uvarint in its shortest form, at most
// 2^63-1. A text follows its length, which is a number.
package codec

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"flow.internal/capdo/dedupe"
)

// Errors of decoding; package dodedupe has them under the same names.
var (
	ErrCorrupt   = errors.New("the stored record is corrupt")
	ErrVersion   = errors.New("a record or message of an unknown version")
	ErrMalformed = errors.New("a malformed message")
)

// Unreadable reports whether an error means that a record exists but cannot be
// read.
func Unreadable(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion) }

// Limits of stored times, in ms.
const (
	MaxTTL = int64(dedupe.MaxTTL / time.Millisecond)
	// MaxNow is the last present time. It keeps every expiry within what a
	// JavaScript Date, hence an alarm, can hold: 8.64e15 ms.
	MaxNow = 8_640_000_000_000_000 - MaxTTL
)

// AppendNumbers appends numbers, which are not negative.
func AppendNumbers(b []byte, numbers ...int64) []byte {
	for _, n := range numbers {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

// AppendText appends a text.
func AppendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Bool returns the number that stands for v.
func Bool(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// Reader parses a message or a record. After a failure it returns zeros.
type Reader struct {
	Rest   []byte
	Failed bool
}

// Versioned begins to read a stored value that begins with the version of its
// format. It fails with [ErrVersion] for a newer version, and with
// [ErrCorrupt].
func Versioned(b []byte, version byte) (*Reader, error) {
	switch {
	case len(b) > 0 && b[0] > version:
		return nil, ErrVersion
	case len(b) == 0 || b[0] != version:
		return nil, ErrCorrupt
	}
	return &Reader{Rest: b[1:]}, nil
}

// Number reads a number.
func (r *Reader) Number() int64 {
	n, size := binary.Uvarint(r.Rest)
	if r.Failed || size <= 0 || n > math.MaxInt64 || size > 1 && r.Rest[size-1] == 0 {
		r.Failed = true
		return 0
	}
	r.Rest = r.Rest[size:]
	return int64(n)
}

// Text reads a text.
func (r *Reader) Text() string {
	n := r.Number()
	if r.Failed || n > int64(len(r.Rest)) {
		r.Failed = true
		return ""
	}
	s := string(r.Rest[:n])
	r.Rest = r.Rest[n:]
	return s
}

// Bool reads a number that is 0 or 1.
func (r *Reader) Bool() bool {
	n := r.Number()
	r.Failed = r.Failed || n > 1
	return n == 1
}

// End returns [ErrMalformed] if something is left to read, or reading failed.
func (r *Reader) End() error {
	if r.Failed || len(r.Rest) > 0 {
		return ErrMalformed
	}
	return nil
}
