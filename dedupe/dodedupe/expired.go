package dodedupe

import (
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/durable"
)

// Expired describes a claim whose lease ran out before its holder completed or
// released it: most likely the holder died, and its work may have been done in
// part. At that time nobody had taken the claim over.
type Expired struct {
	// Scope is the ledger's. It is empty if scope and key, of an object
	// with a single key, have more than about 70 kB together.
	Scope   string
	Key     []byte
	Fence   int64
	Attempt int
}

func newExpired(object, key string, e *entry.Entry) Expired {
	scope, named := parseObjectName(object)
	if key != "" {
		named = []byte(key)
	}
	return Expired{scope, named, e.Number, int(e.Attempt)}
}

// maxStoredName is the longest name that an object stores, which allows a scope
// of about 70 kB.
const maxStoredName = 100 << 10

// isLongName reports whether a name is too long for an object to know it.
func isLongName(name string) bool {
	return len(name) > durable.MaxNameSize && len(name) <= maxStoredName
}
