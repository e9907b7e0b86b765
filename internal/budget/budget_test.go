package budget

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// most returns what each tenant gets when they take one unit after another, in
// turn, until all are refused.
func most(b *Budget, tenants int) (each []int) {
	each = make([]int, tenants)
	for refused := 0; refused < tenants; {
		refused = 0
		for i := range each {
			if b.Take(fmt.Sprint(i), 1) {
				each[i]++
			} else {
				refused++
			}
		}
	}
	return each
}

func TestATenantMayHaveAsMuchAsItLeaves(t *testing.T) {
	for tenants, want := range map[int]int{1: 500, 2: 333, 3: 250, 9: 100} {
		for i, got := range most(New(1000), tenants) {
			if got < want-1 || got > want {
				t.Errorf("tenant %d of %d has %d, want %d", i, tenants, got, want)
			}
		}
	}
}

func TestANewcomerFindsSome(t *testing.T) {
	b := New(1000)
	for b.Take("greedy", 7) {
	}
	if !b.Take("modest", 250) || b.Take("modest", 10) {
		t.Error("greedy leaves half of the budget, and the next tenant may have half of that")
	}
	if b.Take("greedy", 1) {
		t.Error("greedy gets more although there are two tenants")
	}
}

func TestRefusedTakeTakesNothing(t *testing.T) {
	b := New(10)
	for _, n := range []int{6, 11, math.MaxInt} {
		if b.Take("t", n) {
			t.Errorf("%d is taken", n)
		}
	}
	if b.used != 0 || len(b.by) != 0 {
		t.Errorf("%d, %v", b.used, b.by)
	}
	if s := b.Share("t"); s.Take(6) || !s.Take(5) {
		t.Error("a share behaves differently from the budget")
	}
}

func TestAShareGivesEverythingBackOnce(t *testing.T) {
	b := New(10)
	s := b.Share("t")
	s.Take(2)
	s.Take(3)
	s.Close()
	s.Close()
	if b.used != 0 || len(b.by) != 0 || s.Take(1) {
		t.Errorf("%d, %v", b.used, b.by)
	}
}

func TestNoBudgetRefusesNothing(t *testing.T) {
	var b *Budget
	s := b.Share("t")
	if !b.Take("t", math.MaxInt) || !s.Take(math.MaxInt) {
		t.Error("refused")
	}
	b.Give("t", 1)
	s.Close()
}

// The sum is right after every step and never exceeds the limit. No tenant has
// more than it left to others when it took.
func TestTheSumIsRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := New(rapid.IntRange(0, 1000).Draw(t, "limit"))
		var open []*Share
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(open) > 0 && rapid.Bool().Draw(t, "close") {
				i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
				open[i].Close()
				open = append(open[:i], open[i+1:]...)
				continue
			}
			s := b.Share(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "tenant"))
			n := rapid.IntRange(0, 600).Draw(t, "n")
			if s.Take(n) && b.by[s.tenant] > b.limit-b.used {
				t.Fatalf("%s has %d, and leaves %d", s.tenant, b.by[s.tenant], b.limit-b.used)
			}
			open = append(open, s)
		}
		sum := 0
		for _, s := range open {
			sum += s.taken
		}
		if b.used != sum || sum > b.limit {
			t.Fatalf("used %d, taken %d, of %d", b.used, sum, b.limit)
		}
	})
}
