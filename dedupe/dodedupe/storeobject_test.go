//go:build !js

package dodedupe

import (
	"math"
	"testing"

	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
)

// FuzzObject: an object answers or throws, whatever the messages are, and
// leaves a record or nothing.
func FuzzObject(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add(wire.EncodePut(reservation.Owner{1, 2, 3}, 1), wire.EncodePut(reservation.Owner{}, 5))
	f.Add(wire.EncodePut(reservation.Owner{1, 2, 3}, 0), wire.EncodeForget(nil))
	f.Add(wire.EncodePut(reservation.Owner{1, 2, 3}, math.MaxInt64), wire.EncodeLook())
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := &faulty.Storage{}
		o := &storeObject{reservation.Key{Storage: s, Clock: func() int64 { return 1000 }}}
		for _, msg := range [][]byte{first, second} {
			for _, m := range storeMethods {
				out, err := m.handle(o, t.Context(), msg)
				if err != nil {
					t.Fatalf("%x: thrown: %v", msg, err)
				}
				if _, err := wire.DecodeReply(out); err != nil && !effect.Definite(err) {
					t.Fatalf("%x: reply %x: %v", msg, out, err)
				}
				if !s.OK {
					continue
				}
				if r, err := reservation.Decode(s.Record); err != nil || s.Alarm != r.Expires {
					t.Fatalf("%x: stored %x, alarm %d: %v", msg, s.Record, s.Alarm, err)
				}
			}
		}
	})
}
