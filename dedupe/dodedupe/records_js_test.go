package dodedupe

import (
	"context"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// shop is a class that stores records in some objects and other data in others.
type shop struct {
	records *Records
	rung    int
}

func registerShop(class string) {
	construct := func(ctx context.Context, state *durable.State, env *durable.Env) (*shop, error) {
		records, err := NewRecords(ctx, state, env)
		return &shop{records: records}, err
	}
	methods := RecordMethods(func(s *shop) *Records { return s.records })
	methods = append(methods, durable.Func[*shop]("rung", func(s *shop, _ context.Context) (int, error) { return s.rung, nil }))
	durable.Register(class, construct, methods...)
}

func (s *shop) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	if mine, err := s.records.Alarm(ctx); mine {
		return err
	}
	s.rung++
	return nil
}

func storeOn(binding string) func(t *testing.T) dedupe.Store {
	return func(t *testing.T) dedupe.Store {
		t.Helper()
		s, err := NewStore(durabletest.Env(t, nil), &StoreOptions{Binding: binding})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestStoreOnKeyValue(t *testing.T)       { dedupetest.TestStore(t, storeOn("DEDUPE_KV")) }
func TestHammerOnKeyValue(t *testing.T)      { dedupetest.Hammer(t, storeOn("DEDUPE_KV")) }
func TestStoreInOtherClassKV(t *testing.T)   { dedupetest.TestStore(t, storeOn("SHOP_KV")) }
func TestSequencerInOtherClass(t *testing.T) { testSequencerOn(t, "SHOP") }

func testSequencerOn(t *testing.T, binding string) {
	dedupetest.TestSequencer(t, func(t *testing.T) dedupe.Sequencer {
		t.Helper()
		s, err := NewSequencer(durabletest.Env(t, nil), &LedgerOptions{Binding: binding})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// The alarm of an object with a record empties it. The alarm of another object
// is passed to the class, and its data stays.
func TestRecordsTellTheirAlarms(t *testing.T) {
	for _, binding := range []string{"SHOP", "SHOP_KV"} {
		t.Run(binding, func(t *testing.T) {
			s := storeOn(binding)(t)
			ns, err := durabletest.Env(t, nil).Namespace(binding)
			if err != nil {
				t.Fatal(err)
			}
			object := func(name string) *durable.Stub {
				stub, err := ns.GetByName(name, nil)
				if err != nil {
					t.Fatal(err)
				}
				return stub
			}
			own, record := object("mine"), object(objectName(kindStore, "", []byte("k")))
			durabletest.Run(t, own, func(ctx context.Context, state *durable.State) {
				if err := state.Storage().Put(ctx, "a", "kept", nil); err != nil {
					t.Error(err)
				}
				if err := state.Storage().SetAlarm(ctx, time.Now().Add(time.Hour), nil); err != nil {
					t.Error(err)
				}
			})
			wantClaim(t, s, "k", time.Millisecond, true)
			time.Sleep(5 * time.Millisecond)
			for stub, want := range map[*durable.Stub]struct{ rung, stored int }{own: {1, 1}, record: {0, 0}} {
				if _, err := durabletest.RunAlarm(t, stub); err != nil {
					t.Error(err)
				}
				if n, err := durable.Call[int](t.Context(), stub, "rung"); n != want.rung || err != nil {
					t.Errorf("the class's alarm ran %d times, %v; want %d", n, err, want.rung)
				}
				durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
					if entries, err := state.Storage().List(ctx, nil); len(entries) != want.stored || err != nil {
						t.Errorf("%d entries, %v; want %d", len(entries), err, want.stored)
					}
				})
			}
		})
	}
}
