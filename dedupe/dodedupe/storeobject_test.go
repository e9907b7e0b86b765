//go:build !js

package .

// FuzzObject: whatever the messages are, an object answers or throws, and leaves a record or nothing behind.
func FuzzObject(f *testing.F) {
	f.Add([]byte{}, []byte{})
	f.Add(wire.EncodeReserve(someOwner, 1), wire.EncodeReserve(owner{}, 5))
	f.Add(wire.EncodeReserve(someOwner, 0), wire.EncodeForget(nil))
	f.Add(wire.EncodeReserve(someOwner, math.MaxInt64), wire.EncodeLook())
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := &faulty.Storage{}
		o := &object{Key{storage: s, clock: func() int64 { return 1000 }}}
		for _, msg := range [][]byte{first, second} {
			for _, method := range []func(*object) ([]byte, error){
				func(o *object) ([]byte, error) { return o.putIfAbsent(t.Context(), msg) },
				func(o *object) ([]byte, error) { return o.look(t.Context(), msg) },
				func(o *object) ([]byte, error) { return o.forget(t.Context(), msg) },
			} {
				out, err := method(o)
				if err != nil {
					t.Fatalf("%x: thrown: %v", msg, err)
				}
				if _, err := wire.DecodeReply(out); err != nil && !effect.Definite(err) {
					t.Fatalf("%x: reply %x: %v", msg, out, err)
				}
				if !s.ok {
					continue
				}
				if r, err := reservation.Decode(s.Record); err != nil || s.Alarm != r.Expires {
					t.Fatalf("%x: stored %x, alarm %d: %v", msg, s.Record, s.Alarm, err)
				}
			}
		}
	})
}
