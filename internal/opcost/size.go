package opcost

// Sizes of databases, in bytes, as SQLite counts them: without the log. The
// engine's TestSizes measures them in workerd (2026-11-26). Keys have 36 bytes
// and no fingerprints.
const (
	// KeySize is the database of an object of one key, of a ledger or a store.
	KeySize = 3 * page
	// BucketSize is the database of a bucket with one record.
	BucketSize = 4 * page

	page = 4096
	// A record with a result beyond inPage bytes has pages of its own, each
	// with content bytes of it.
	inPage  = 900
	content = page - 4
)

// SizeOfKey returns what a key with an object of its own takes.
func SizeOfKey(result int) float64 { return KeySize + ownPages(result) }

// SizeInBucket returns what a key takes in a bucket, on average. SQLite's pages
// are filled in part.
func SizeInBucket(result int) float64 {
	if result > inPage {
		return 650 + ownPages(result)
	}
	return 165 + 1.3*float64(result)
}

func ownPages(result int) float64 {
	return float64(max(result-inPage+content-1, 0) / content * page)
}
