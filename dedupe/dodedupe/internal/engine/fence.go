package engine

import (
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// fences gives the fences of an object, each larger than all before. It stores
// the largest fence of the removed records.
type fences struct {
	*Config
	given  int64 // the largest that was given
	stored int64 // 0 if none is
	known  bool  // whether stored is
}

// fenceName is the name of the stored fence of removed records: version 1, the
// fence (a number).
const (
	fenceName    = "_capdo_fence"
	fenceVersion = 1
)

func (f *fences) forgetStored() { f.known = false }

func (f *fences) emptied() { f.stored, f.known = 0, true }

// next returns a fence larger than any given before for the key of e, including
// those of removed records. Only a damaged record can bring it to the largest
// possible fence. Its errors have no effect.
func (f *fences) next(e *entry.Entry, now int64) (int64, error) {
	stored, err := f.read()
	if err != nil {
		return 0, effect.None(err)
	}
	fence := max(f.given+1, stored+1, e.Number+1, entry.FenceAt(now))
	return min(fence, entry.FenceAt(entry.Never)), nil
}

func (f *fences) read() (int64, error) {
	if f.known {
		return f.stored, nil
	}
	v, err := f.Backend.Noted(fenceName)
	if err != nil {
		return 0, err
	}
	stored, err := decodeFence(v)
	if err != nil {
		return 0, err
	}
	f.stored, f.known = stored, true
	return stored, nil
}

func decodeFence(v []byte) (int64, error) {
	if v == nil {
		return 0, nil
	}
	r, err := codec.Versioned(v, fenceVersion)
	if err != nil {
		return 0, err
	}
	fence := r.Number()
	if r.End() != nil {
		return 0, codec.ErrCorrupt
	}
	return fence, nil
}

// keep stores the fence of a record that will be removed, for later instances,
// whose clock may be behind. An object of one key is emptied then, and keeps
// the fence only while the clock might return to its time.
func (f *fences) keep(fence, now int64) error {
	if fence == 0 || !f.Many && fence < entry.FenceAt(now-entry.ClockSlack) {
		return nil
	}
	stored, err := f.read()
	if err != nil || fence <= stored {
		return err
	}
	note := codec.AppendNumbers([]byte{fenceVersion}, fence)
	if err := f.Backend.Note(fenceName, note); err != nil {
		f.forgetStored()
		return err
	}
	f.stored = fence
	return nil
}

// keptUntil returns until when an object without records must keep its fence,
// or 0 if it has none to keep.
func (f *fences) keptUntil() (until int64, err error) {
	stored, err := f.read()
	if err != nil || stored == 0 {
		return 0, err
	}
	until = stored/1000 + entry.ClockSlack + 1
	if f.Clock() >= until {
		return 0, nil
	}
	return until, nil
}
