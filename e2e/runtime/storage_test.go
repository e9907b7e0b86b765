package runtime

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"flow.internal/capdo/durable"
)

func TestTransactionSync(t *testing.T) {
	for _, c := range []struct{ name, end, want string }{
		{"commits when its function returns nil", "", "err=<nil> inside=written inner=<nil> "},
		{"rolls back on an error", "error", "err=rolled back inside=<nil> inner=<nil> "},
		{"rolls back on a panic, which goes on", "panic", "err=<nil> inside=<nil> inner=<nil> panicked: in transaction"},
		{"nests: the inner rolls back alone", "nested", "err=<nil> inside=written inner=<nil> "},
		{"may print", "print", "err=<nil> inside=written inner=<nil> "},
		{"survives Go's collector working inside", "garbage", "err=<nil> inside=written inner=<nil> "},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := start(t)
			l.want("/?o=a&m=transaction&end="+c.end, c.want)
			l.want("/?o=a&m=ping", "pong")
			if log := l.Log(); c.end == "print" && (!strings.Contains(log, "printed in a transaction") || !strings.Contains(log, "logged in a transaction")) {
				t.Error("what was printed did not reach the log")
			}
		})
	}
}

func TestTransactionWhoseFunctionWaitsIsRefusedAndRolledBack(t *testing.T) {
	for _, on := range []string{"channel", "sleep"} {
		t.Run(on, func(t *testing.T) {
			l := start(t)
			a := l.wantError("/?o=a&m=parking&on="+on, "must run through without waiting")
			if !slices.Contains(a.kinds, "remote") {
				t.Errorf("kinds %v", a.kinds)
			}
			l.want("/?o=a&m=get&k=inside", "")
			l.want("/?o=a&m=get&k=late", "")
			l.want("/?o=a&m=transaction", "err=<nil> inside=written inner=<nil> ")
		})
	}
}

func TestNoOtherGoroutineWritesInsideATransaction(t *testing.T) {
	l := start(t)
	l.want("/?o=a&m=outsider", "err=rolled back inside=<nil> outside=written")
	l.want("/?o=a&m=get&k=outside", "written")
}

func TestSQLRowsCrossInBatchesUnchanged(t *testing.T) {
	l := start(t)
	l.want("/?o=none&m=sql&n=0", "0 rows, columns i s r b n, read 1")
	l.want("/?o=some&m=sql&n=3", "3 rows, columns i s r b n, read 3")
	l.want("/?o=many&m=sql&n=1000", "1000 rows, columns i s r b n, read 1000")
}

func TestKeyAndValueAreLimitedTo2MiBTogether(t *testing.T) {
	l := start(t)
	l.want(fmt.Sprintf("/?o=a&m=putsize&n=%d", durable.MaxKeyValueSize-1), "") // the key has one byte
	l.wantError(fmt.Sprintf("/?o=a&m=putsize&n=%d", durable.MaxKeyValueSize), "2097153 exceeds the maximum of 2097152")
}

func TestDeleteAllEmptiesTheObject(t *testing.T) {
	l := start(t)
	l.want("/?o=a&m=put&k=k&v=v", "")
	l.want("/?o=a&m=setalarm&n=100000", "")
	l.want("/?o=a&m=deleteall", "")
	l.want("/?o=a&m=get&k=k", "")
	l.want("/?o=a&m=getalarm", "none")
}

func TestEvictedObjectIsBuiltAgainAndKeepsItsStorage(t *testing.T) {
	l := start(t)
	l.want("/?o=a&m=put&k=k&v=v", "")
	l.want("/evict?o=a", "evicted")
	l.want("/?o=a&m=get&k=k", "v")
	l.want("/abortAll", "aborted")
	l.want("/?o=a&m=get&k=k", "v")
}

func TestBinaryAndUnusualKeysAndValuesRoundTrip(t *testing.T) {
	l := start(t)
	for _, v := range []string{"", "plain", "%00%01", "%F0%9F%98%80", strings.Repeat("x", 5000)} {
		l.want("/?o=a&m=put&k=k"+v+"&v="+v, "")
	}
	l.want("/?o=a&m=get&k=k%F0%9F%98%80", "😀")
	l.want("/?o=a&m=get&k=k%00%01", "\x00\x01")
	l.wantError("/?o=a&m=put&k=k&v=%FF", "not valid UTF-8")
}
