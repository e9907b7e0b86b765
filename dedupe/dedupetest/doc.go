// Package dedupetest tests implementations of package dedupe's interfaces. To
// test other code use those of package memdedupe.
//
//	func TestStore(t *testing.T) {
//		dedupetest.TestStore(t, func(t *testing.T) dedupe.Store { return newStore(t) })
//	}
//
// The tests work in real time, so that they also run against a store behind a
// network. What they conclude is true on a slow machine, too: a test that comes
// too late to look at a short-lived record tries again with one that lives
// longer.
//
// # Known mistakes
//
// What implementations are known to have got wrong is in the names of the tests
// that find it: go test -run '/known_mistake'. The first of these are subtests
// here, of [TestStore], [TestLedger] and [TestSequencer], which each mistake,
// made on purpose, has to fail; those that are below the interfaces are package
// dodedupe's and those below it.
//
//	sub-second TTL becoming 24 h                   Store, Ledger, Sequencer
//	ttl*1000 overflowing to inserted every time    Store, Ledger, Sequencer
//	uniqueness lock left behind when the insert    Store, Ledger, Sequencer
//	  fails
//	payload hash stored and never compared         Ledger, Sequencer
//	late Forget deleting a successor               Ledger, and dodedupe's TestKnownMistakes
//	in-progress records with the done-TTL          Ledger
//	complete dropping the fingerprint              Ledger
//	a takeover beyond the window that looks fresh  Ledger
//	a change that wakes nobody                     Ledger, and dodedupe's
//	                                               TestEveryChangeWakesThoseWhoWait
//	an alarm that a user's panic stops             dodedupe's
//	                                               TestTroubleWithOneHolderDoesNotDelayOthers
//	a cache that outlives a rollback               dodedupe's TestEngineKeepsItsInvariants,
//	                                               TestEmbeddedLedgerInATransaction
//	an older program unhooking newer records       dodedupe's
//	                                               TestOlderProgramLeavesNewerRecords
//	a fence that grows in memory only              dodedupe's
//	                                               TestFencesGrowOverEvictionAndForgetting
//	a clock that was ahead lengthening leases      TestClockThatWasAhead of memdedupe and
//	                                               of dodedupe
//	an error that is definite after a write        dodedupe's
//	                                               TestErrorAfterAWriteIsNotDefinite
//	record written but its alarm not               dodedupe's TestKnownMistakes
//	caller's clock expiring live entries           dodedupe's TestKnownMistakes
//	scope a:x aliasing scope a key x               dodedupe's TestKnownMistakes
//	alarm errors swallowed                         dodedupe's TestKnownMistakes
//	a sweep that lists the whole object            dodedupe's TestKnownMistakes,
//	                                               TestKnownMistakeOfASweep
//	user alarm and TTL alarm clobbering each       dodedupe's
//	  other                                        TestEmbeddedLedgerAndUserShareTheAlarm
//	user storage keys colliding with internal      dodedupe's TestStorageKeyIsPinned,
//	  ones                                         TestEmbeddedLedgerAndUserStorageAreApart
package dedupetest
