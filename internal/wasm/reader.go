package wasm

import "encoding/binary"

// Reader reads a module, or a part of it. After it has failed, it reads zeros.
type Reader struct {
	b        []byte
	at       int
	isFailed bool
}

// NewReader returns a Reader of b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// More reports whether there is more to read.
func (r *Reader) More() bool { return !r.isFailed && r.at < len(r.b) }

// Failed reports whether something was malformed.
func (r *Reader) Failed() bool { return r.isFailed }

// Fail makes the Reader fail.
func (r *Reader) Fail() { r.isFailed = true }

// At returns the number of bytes that were read.
func (r *Reader) At() int { return r.at }

// Back returns to an earlier position.
func (r *Reader) Back(at int) { r.at = at }

// Is reads the given bytes if they come next.
func (r *Reader) Is(bytes ...byte) bool {
	if r.isFailed || len(r.b)-r.at < len(bytes) || string(r.b[r.at:r.at+len(bytes)]) != string(bytes) {
		return false
	}
	r.at += len(bytes)
	return true
}

// Skip reads n bytes.
func (r *Reader) Skip(n int) []byte {
	if r.isFailed || n < 0 || n > len(r.b)-r.at {
		r.isFailed = true
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

// Byte reads a byte.
func (r *Reader) Byte() byte {
	if b := r.Skip(1); b != nil {
		return b[0]
	}
	return 0
}

// Bytes reads a length, and as many bytes.
func (r *Reader) Bytes() []byte { return r.Skip(int(r.Uint())) }

// Uint reads an unsigned number of up to 32 bits.
func (r *Reader) Uint() uint64 {
	n, size := binary.Uvarint(r.b[r.at:])
	if size <= 0 || n >= 1<<32 {
		r.isFailed = true
	}
	if r.Skip(size) == nil {
		return 0
	}
	return n
}

// Int reads a signed number of up to 64 bits.
func (r *Reader) Int() (n int64) {
	for shift := 0; shift < 70; shift += 7 {
		b := r.Byte()
		n |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if b&0x40 != 0 && shift < 57 {
			n |= -1 << (shift + 7)
		}
		return n
	}
	r.isFailed = true
	return 0
}
