// Package budget bounds what all requests of a program may take together, and
// shares it between tenants. It refuses before anything is spent.
package budget

import "sync"

// Budget is an amount, of bytes or of something else, that tenants take from
// and give back to. A tenant may have as much as it leaves to all others: one
// alone gets half, two get a third each, and so on. So whoever comes first
// cannot take everything, and a newcomer always finds some. (This is the
// dynamic threshold of Choudhury and Hahne, "Dynamic Queue Length Thresholds
// for Shared-Memory Packet Switches", 1998.) A nil Budget refuses nothing.
type Budget struct {
	limit int

	mu   sync.Mutex
	used int
	by   map[string]int
}

// New returns a budget of that amount.
func New(limit int) *Budget { return &Budget{limit: limit, by: map[string]int{}} }

// Take takes n for a tenant, if there is so much for it.
func (b *Budget) Take(tenant string, n int) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.limit || b.by[tenant]+n > b.limit-b.used-n { // neither sum overflows
		return false
	}
	b.used += n
	b.by[tenant] += n
	return true
}

// Give gives back what was taken.
func (b *Budget) Give(tenant string, n int) {
	if b == nil || n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.by[tenant] -= n; b.by[tenant] == 0 {
		delete(b.by, tenant)
	}
}

// Share is what one request has taken of a budget. Its methods may be called by
// any number of goroutines. A nil Share is one of no budget.
type Share struct {
	budget *Budget
	tenant string

	mu     sync.Mutex
	taken  int
	closed bool
}

// Share returns an empty share for a request of a tenant.
func (b *Budget) Share(tenant string) *Share {
	if b == nil {
		return nil
	}
	return &Share{budget: b, tenant: tenant}
}

// Take takes n more, if there is so much for the tenant.
func (s *Share) Take(n int) bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.budget.Take(s.tenant, n) {
		return false
	}
	s.taken += n
	return true
}

// Close gives everything back. Afterwards nothing can be taken.
func (s *Share) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget.Give(s.tenant, s.taken)
	s.taken, s.closed = 0, true
}
