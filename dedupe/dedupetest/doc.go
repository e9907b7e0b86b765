// Package dedupetest tests implementations of package dedupe's interfaces. To
// test other code, use the implementations of package memdedupe.
//
//	func TestStore(t *testing.T) {
//		dedupetest.TestStore(t, func(t *testing.T) dedupe.Store {
//			return newStore(t)
//		})
//	}
//
// The tests work in real time, so they also run against a store behind a
// network. Their conclusions hold on a slow machine, too. If a test comes too
// late to see a short-lived record, it tries again with one that lives longer.
//
// # Known mistakes
//
// The names of tests list the mistakes of earlier implementations:
//
//	go test -v -run '/known_mistake' ./dedupe/...
//
// The first of these are subtests here, of [TestStore], [TestLedger] and
// [TestSequencer]. Each mistake, made on purpose, must fail its test. Mistakes
// below the interfaces are tested in package dodedupe and those below it:
//
//	sub-second TTL becoming 24 h
//	    Store, Ledger, Sequencer
//	ttl*1000 overflowing to inserted every time
//	    Store, Ledger, Sequencer
//	uniqueness lock left behind when the insert fails
//	    Store, Ledger, Sequencer
//	payload hash stored and never compared
//	    Ledger, Sequencer
//	late Forget deleting a successor
//	    Ledger, and dodedupe's TestKnownMistakes
//	in-progress records with the done-TTL
//	    Ledger
//	complete dropping the fingerprint
//	    Ledger
//	a takeover beyond the window that looks fresh
//	    Ledger
//	a change that wakes nobody
//	    Ledger, and dodedupe's TestEveryChangeWakesThoseWhoWait
//	an alarm that a user's panic stops
//	    dodedupe's TestFailingNoticeDoesNotDelayOthers
//	a cache that outlives a rollback
//	    dodedupe's TestEngineKeepsItsInvariants,
//	    TestEmbeddedLedgerInATransaction
//	an older program unhooking newer records
//	    dodedupe's TestOlderProgramLeavesNewerRecords
//	a fence that grows in memory only
//	    dodedupe's TestFencesGrowOverEvictionAndForgetting
//	a clock that was ahead lengthening leases
//	    TestClockThatWasAhead of memdedupe and of dodedupe
//	an error that is definite after a write
//	    dodedupe's TestErrorAfterAWriteIsNotDefinite
//	record written but its alarm not
//	    dodedupe's TestKnownMistakes
//	caller's clock expiring live entries
//	    dodedupe's TestKnownMistakes
//	scope a:x aliasing scope a key x
//	    dodedupe's TestKnownMistakes
//	alarm errors swallowed
//	    dodedupe's TestKnownMistakes
//	a sweep that lists the whole object
//	    dodedupe's TestKnownMistakes, TestKnownMistakeOfASweep
//	user alarm and TTL alarm clobbering each other
//	    dodedupe's TestEmbeddedLedgerAndUserShareTheAlarm
//	user storage keys colliding with internal ones
//	    dodedupe's TestStorageKeyIsPinned,
//	    TestEmbeddedLedgerAndUserStorageAreApart
package dedupetest
