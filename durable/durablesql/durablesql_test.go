package durablesql

import (
	"database/sql/driver"
	"errors"
	"runtime"
	"strconv"
	"testing"

	"flow.internal/capdo/durable"
)

func TestADBEndsWithItsState(t *testing.T) {
	state := &durable.State{}
	db, kept := Open(state), Open(state)
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	if n := openGates(); n != 1 {
		t.Errorf("%d gates for one state", n)
	}
	runtime.KeepAlive(state)
	state = nil
	var err error
	for range 1000 {
		runtime.GC()
		if err = errors.Join(db.Ping(), kept.Ping()); err != nil && openGates() == 0 {
			break
		}
		runtime.Gosched()
	}
	if err == nil {
		t.Error("the DB is still open and its goroutine still runs")
	}
	if n := openGates(); n != 0 {
		t.Errorf("%d gates", n)
	}
	if _, err := (&conn{connector: &connector{}}).BeginTx(t.Context(), driver.TxOptions{}); !errors.Is(err, durable.ErrContextClosed) {
		t.Errorf("without a state: %v", err)
	}
}

func openGates() (n int) {
	gates.Range(func(any, any) bool { n++; return true })
	return n
}

func TestStatementsAreUnsupportedNatively(t *testing.T) {
	state := &durable.State{}
	db := Open(state)
	if _, err := db.Exec("select 1"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Exec: %v", err)
	}
	for range 2 { // the first round must not affect the second
		if _, err := db.BeginTx(t.Context(), nil); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("BeginTx: %v", err)
		}
	}
	runtime.KeepAlive(state)
}

func TestAnInexactNumberIsNoIntegersText(t *testing.T) {
	for _, f := range []float64{1 << 53, -1 << 53, 1 << 63, 1e16} {
		text := InexactNumber{f}.String()
		if got, err := strconv.ParseFloat(text, 64); got != f || err != nil {
			t.Errorf("%v is written %s", f, text)
		}
		if _, err := strconv.ParseInt(text, 10, 64); err == nil {
			t.Errorf("%v is written %s", f, text)
		}
	}
}
