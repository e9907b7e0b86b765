// Package budget limits what all requests of a program may use together, and
// shares it between tenants. It refuses a request before anything is spent.
package budget

import "sync"

// Budget is an amount of bytes or of something else. Tenants take parts of it
// and give them back. A tenant may have as much as it leaves to all others: one
// tenant alone gets half, two get a third each, and so on. So the first tenant
// cannot take everything, and a new tenant always finds something left. (This
// is the dynamic threshold of Choudhury and Hahne, "Dynamic Queue Length
// Thresholds for Shared-Memory Packet Switches", 1998.) A nil Budget refuses
// nothing.
type Budget struct {
	limit int

	mu   sync.Mutex
	used int
	by   map[string]int
}

// New returns a budget with that limit.
func New(limit int) *Budget { return &Budget{limit: limit, by: map[string]int{}} }

// Take takes n for a tenant. It reports false and takes nothing if the tenant
// cannot have that much.
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

// Share is the part of a budget that one request has taken. Goroutines may call
// its methods concurrently. A nil Share refuses nothing.
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

// Take takes n more, or reports false if the tenant cannot have that much.
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

// Close gives everything back. After that, Take fails.
func (s *Share) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget.Give(s.tenant, s.taken)
	s.taken, s.closed = 0, true
}
