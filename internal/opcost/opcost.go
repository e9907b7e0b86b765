// Package opcost lists the cost of each operation of a ledger, a store and a
// sequencer, as in the table of docs/cost.md. Tests measure each figure.
package opcost

// None stands for an operation that an object of one key does not have.
const None = -1

// Cost is the cost of one operation: requests to objects; rows written in an
// object of one key, in a bucket, and in a bucket of a class with OnExpired;
// and rows read in an object of one key and in a bucket.
type Cost struct {
	Operation                  string
	Requests                   int
	PerKey, InBucket, Notifies int
	ReadPerKey, Read           int
}

// These are the operations that capdo cost uses.
const (
	FirstOfObject = "claim, the first of an object"
	FirstOfKey    = "claim, the first of a key"
	Extend        = "extend within the TTL"
	Complete      = "complete"
	Repeated      = "claim of a key that is completed"
	RemoveOne     = "alarm that removes one record"
)

// Table is the table of docs/cost.md. The engine's TestCosts measures rows.
// dodedupe's TestRequestsAreThoseOfTheTable counts requests.
var Table = []Cost{
	{FirstOfObject, 1, 2, 3, 3, 3, 2},
	{FirstOfKey, 1, None, 2, 2, None, 0},
	{"claim of a key that is in progress", 1, 0, 0, 0, 1, 1},
	{Extend, 1, 1, 1, 2, 1, 2},
	{"extend beyond the TTL", 1, 1, 2, 2, 1, 1},
	{"complete, after a lease that outlasts the TTL", 1, 1, 2, 2, 1, 1},
	{"forget", 2, 2, 2, 2, 2, 4},
	{"claim after forget", 1, 1, 2, 2, 1, 0},
	{"release", 1, 1, 1, 2, 1, 2},
	{"claim after release", 1, 1, 1, 2, 1, 2},
	{Complete, 1, 1, 1, 2, 1, 2},
	{Repeated, 1, 0, 0, 0, 1, 1},
	{"PutIfAbsent of a new key", 1, None, 2, 2, None, 0},
	{"PutIfAbsent of a key that is there", 1, None, 0, 0, None, 1},
	{"the first entry of a sequence", 1, None, 4, 4, None, 0},
	{"an entry of a sequence", 1, None, 3, 3, None, 2},
	{"an entry of a sequence that has its number", 1, None, 0, 0, None, 2},
	{RemoveOne, 1, 1, 3, 3, 3, 13},
	{"alarm that removes ten records", 1, None, 12, 12, None, 58},
}

// Of returns the cost of an operation in the table.
func Of(operation string) Cost {
	for _, c := range Table {
		if c.Operation == operation {
			return c
		}
	}
	panic("no such operation: " + operation)
}
