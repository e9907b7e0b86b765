// Package faulty has storage in memory that fails on demand, for tests of the
// code that uses it. An operation can fail before it takes effect, or take
// effect and then report an error.
package faulty

import (
	"errors"
	"fmt"
)

// Noon is when the tests of pure code begin, in ms.
const Noon = 1_800_000_000_000

// ErrInjected is the error of every fault.
var ErrInjected = errors.New("injected fault")

// Fault is what happens to one operation.
type Fault int

// Faults.
const (
	Fine              Fault = iota
	Fails                   // it does not happen, and an error is reported
	PerformsThenFails       // it happens, and an error is reported
)

// Do performs an operation according to the fault.
func (f Fault) Do(perform func()) error {
	if f != Fails {
		perform()
	}
	if f != Fine {
		return ErrInjected
	}
	return nil
}

// Plan decides about the n-th operation, counted from 0.
type Plan func(n int, op string) Fault

// Failing makes all operations of that name fail.
func Failing(op string) Plan {
	return func(_ int, o string) Fault {
		if o == op {
			return Fails
		}
		return Fine
	}
}

// At is a fault of the n-th operation, counted from 0.
type At struct {
	N    int
	Kind Fault
}

// Plan returns the plan with only that fault.
func (a At) Plan() Plan {
	return func(n int, _ string) Fault {
		if n == a.N {
			return a.Kind
		}
		return Fine
	}
}

// None is no fault at all.
var None = At{-1, Fine}

// Each returns every fault in each of n operations.
func Each(operations int) (all []At) {
	for n := range operations {
		all = append(all, At{n, Fails}, At{n, PerformsThenFails})
	}
	return all
}

// Try calls try without a fault and with each fault in each of n operations,
// and returns the first problem that it finds.
func Try(operations int, try func(plan Plan) string) string {
	for _, at := range append(Each(operations), None) {
		if wrong := try(at.Plan()); wrong != "" {
			return fmt.Sprintf("fault %v: %s", at, wrong)
		}
	}
	return ""
}

// Log records the operations of a storage, and has the plan for them.
type Log struct {
	Ops  []string
	Plan Plan // if set, decides about operations
}

func (l *Log) do(op string, perform func()) error {
	n := len(l.Ops)
	l.Ops = append(l.Ops, op)
	if l.Plan == nil {
		return Fine.Do(perform)
	}
	return l.Plan(n, op).Do(perform)
}
