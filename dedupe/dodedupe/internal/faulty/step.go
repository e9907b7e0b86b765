package faulty

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
)

// Step is an operation in a situation, on storage that can be told to fail.
type Step struct {
	// Do runs the operation. It returns the result in words and without fences.
	// It returns the error if it is not the object's answer; see [Answered].
	Do    func() (string, error)
	Evict func()
	// State is the stored state, in words and without fences.
	State func() string
	// IsArmed reports whether the alarm comes before anything expires, or
	// nothing stored expires.
	IsArmed func() bool
	Alarm   *int64
	IsEmpty func() bool
	// Fence is the fence of the operation's record, or 0 if there is none.
	Fence func() int64
	// Other is another operation on the same object, which writes; nil if there
	// is none.
	Other func() error
	Log   *Log
	// OnlyReads: the operation writes nothing, and succeeds although setting an
	// alarm that the instance does not know fails.
	OnlyReads bool
}

// Answered distinguishes an answer, which may be an error, from a failure.
func Answered(got string, err error) (string, error) {
	if errors.Is(err, ErrInjected) {
		return "", err
	}
	return fmt.Sprint(got, " ", err), nil
}

// TestSteps runs each operation with every fault in each of its calls of
// storage, and repeats it with another fault. Then it repeats it without a
// fault, in the same instance of the object and in a new one. The end state
// must be that of a run without faults, and there must be an alarm. If another
// caller's operation runs instead of the repetition, that must set the alarm.
func TestSteps(t *testing.T, steps map[string]func(t *testing.T) *Step) {
	for name, begin := range steps {
		t.Run(name, func(t *testing.T) {
			twin := begin(t)
			r := run{T: t, before: twin.State()}
			twin.Log.Ops = nil
			var err error
			r.want, err = twin.Do()
			if err != nil || !twin.IsArmed() {
				t.Fatalf("without a fault: %s, %v; alarm %v", r.want, err, twin.IsArmed())
			}
			calls := len(twin.Log.Ops)
			r.after = twin.State()
			if twin.IsEmpty() && *twin.Alarm != 0 {
				t.Errorf("nothing is left but an alarm at noon%+d", *twin.Alarm-Noon)
			}
			for _, first := range Each(calls) {
				for _, second := range append(Each(calls+2), None) {
					for _, evict := range []bool{false, true} {
						r.repeat(begin(t), first, second, evict)
					}
				}
				for _, evict := range []bool{false, true} {
					r.giveUp(begin(t), first, evict)
				}
			}
			t.Logf("%d calls", calls)
		})
	}
}

// run has the results of a step without a fault.
type run struct {
	*testing.T
	before, after, want string
}

// attempt runs the operation with a fault, and checks the invariants: the fault
// is reported; if the error says that nothing was changed, nothing was; and the
// stored state is either the old one or the intended one. hit is false if there
// was no such call.
func (r run) attempt(s *Step, at At) (hit bool) {
	r.Helper()
	s.Log.Ops, s.Log.Plan = nil, at.Plan()
	before := s.State()
	got, err := s.Do()
	s.Log.Plan = nil
	if len(s.Log.Ops) <= at.N {
		return false
	}
	ofAlarm := slices.Contains([]string{"earliest", "alarmAt", "setAlarm"}, s.Log.Ops[at.N])
	if s.OnlyReads && err == nil && s.State() == before && ofAlarm {
		return true // the next step tries again
	}
	switch {
	case !errors.Is(err, ErrInjected):
		r.Errorf("the fault is not reported: %s, %v", got, err)
	case effect.Definite(err) && s.State() != before:
		r.Errorf("the error says that nothing was changed: %v\n%s became\n%s",
			err, before, s.State())
	case s.State() != r.before && s.State() != r.after:
		r.Errorf("stored: %s\nwant %s\nor %s", s.State(), r.before, r.after)
	}
	return true
}

// repeat runs the operation with a fault, and repeats it with another.
func (r run) repeat(s *Step, first, second At, evict bool) {
	r.Helper()
	if !r.attempt(s, first) {
		r.Fatalf("no call %d", first.N)
	}
	stored, fence := s.State(), s.Fence()
	if evict {
		s.Evict()
	}
	if second != None && !r.attempt(s, second) {
		return // the repetition is shorter
	}
	if stored == r.after && r.before != r.after && s.Fence() != fence {
		r.Errorf("faults %v and %v: fence %d became %d", first, second, fence, s.Fence())
	}
	fence, stored = s.Fence(), s.State()
	got, err := s.Do()
	if got != r.want || err != nil || s.State() != r.after || !s.IsArmed() {
		r.Errorf("faults %v and %v, evicted %v: %s, %v; want %s\nstored: %s\nwant:   %s\nalarm:  %v",
			first, second, evict, got, err, r.want, s.State(), r.after, s.IsArmed())
	}
	if stored == r.after && s.Fence() != fence {
		r.Errorf("faults %v and %v: fence %d became %d", first, second, fence, s.Fence())
	}
}

// giveUp simulates that the caller, or the platform, gives up. Then another
// operation must set the alarm.
func (r run) giveUp(s *Step, first At, evict bool) {
	r.Helper()
	r.attempt(s, first)
	if s.Other == nil {
		return
	}
	if evict {
		s.Evict()
	}
	if err := s.Other(); err != nil || *s.Alarm == 0 || !s.IsArmed() {
		r.Errorf("fault %v, evicted %v, and then another operation: %v, alarm at noon%+d",
			first, evict, err, *s.Alarm-Noon)
	}
}
