package engine

// cost is a line of the table in docs/cost.md: the rows that an operation
// writes in an object of one key, in a bucket, and in a bucket of a class with
// OnExpired; and the rows that it reads in a bucket. -1: there is no such
// operation.
type cost struct {
	operation                        string
	perKey, inBucket, notifies, read int
}

var costs = []cost{
	{"claim, the first of an object", 2, 3, 3, 2},
	{"claim, the first of a key", -1, 2, 2, 0},
	{"claim of a key that is in progress", 0, 0, 0, 1},
	{"extend within the TTL", 1, 1, 2, 2},
	{"extend beyond the TTL", 1, 2, 2, 1},
	{"complete, after a lease that outlasts the TTL", 1, 2, 2, 1},
	{"forget", 2, 2, 2, 4},
	{"claim after forget", 1, 2, 2, 0},
	{"release", 1, 1, 2, 2},
	{"claim after release", 1, 1, 2, 2},
	{"complete", 1, 1, 2, 2},
	{"claim of a key that is completed", 0, 0, 0, 1},
	{"PutIfAbsent of a new key", -1, 2, 2, 0},
	{"PutIfAbsent of a key that is there", -1, 0, 0, 1},
	{"the first entry of a sequence", -1, 4, 4, 0},
	{"an entry of a sequence", -1, 3, 3, 2},
	{"an entry of a sequence that has its number", -1, 0, 0, 2},
}
