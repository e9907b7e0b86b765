// Package durabletest gives tests real Durable Objects: they run in workerd,
// with their storage on disk, and nothing that workerd does is emulated. Run a
// test program that imports it with capdo test (or go test -exec 'capdo exec').
// Natively its functions fail the test.
//
// The bindings and variables come from the wrangler config in the package's
// testdata, its own folder, or the nearest folder above it in the module.
// [SQLite] and [KV] are always there. Register classes before the first test:
//
//	func TestMain(m *testing.M) {
//		main() // registers; durable.Run returns at once in a test program
//		m.Run()
//	}
//
// A test calls objects as a Worker does, and can run code inside them:
//
//	func TestCount(t *testing.T) {
//		stub := durabletest.New(t, "COUNTER")
//		if _, err := stub.Call(t.Context(), "increment", nil); err != nil {
//			t.Fatal(err)
//		}
//		durabletest.Run(t, stub, func(_ context.Context, state *durable.State) {
//			n, _, err := durable.Get[int](state.Storage().KV(), "n")
//			if n != 1 || err != nil {
//				t.Errorf("n is %v", n)
//			}
//		})
//	}
//
// # Isolation
//
// Tests do not see each other's objects. A test that uses this package, with
// its subtests, is the only one that uses workerd's storage until it ends. Then
// every object is deleted. Other such tests wait for their turn, also those
// that called t.Parallel. (Packages run in parallel.)
//
// The storage belongs to the test, or subtest, that uses this package first. So
// subtests do not see each other's objects unless their parent has used it
// before:
//
//	func TestIsolated(t *testing.T) {
//		t.Run("one", func(t *testing.T) { durabletest.New(t, "COUNTER") })
//		t.Run("two", func(t *testing.T) {
//			durabletest.List(t, "COUNTER") // none
//		})
//	}
//
//	func TestShared(t *testing.T) {
//		durabletest.New(t, "COUNTER")
//		t.Run("one", func(t *testing.T) {
//			durabletest.List(t, "COUNTER") // one
//		})
//	}
//
// A t.Cleanup function that is registered after the first use still finds the
// objects. Everything that a test has started in an object ends with the test:
// contexts are canceled, and I/O fails with durable.ErrContextClosed. A
// goroutine that sleeps continues until it wakes.
//
// # Variables
//
// The environment has the variables of the wrangler config, and those of
// .dev.vars.test beside it. If there is no such file, it has those of
// .dev.vars, as wrangler dev reads it. [Options] add to them, or replace them,
// for the rest of the test.
//
// # Caveats
//
// Tests, objects and the Worker are one Go program in one isolate, as objects
// of a Worker are. If the program ends, for example by a panic in a goroutine
// of its own, the test run ends.
//
// The only bindings are Durable Object namespaces of the Worker's own classes,
// and variables.
//
// The service that stores the messages of queues is not part of workerd. So
// messages that are sent are only kept for [Sent], and [RunQueue] delivers
// those of the test.
//
// There is no test clock. [RunAlarmAt] gives an alarm's handler a time. For the
// rest, give your own code a func() time.Time.
package durabletest
