package durablesql

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"weak"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/jsrt"
)

// ErrTransactionOpen: a transaction is open, and the same event uses the
// database outside of it. The error also occurs if the two events cannot be
// told apart, because one of them did not pass its handler's context. Use the
// Tx.
var ErrTransactionOpen = errors.New("durablesql: a transaction is open, " +
	"and this would run inside it; use the Tx")

// ErrPartialRollback: a statement of the transaction was a ROLLBACK TO, which
// the platform refuses. A commit would keep changes that the program meant to
// undo, so Commit rolls back the transaction. (Some libraries ignore the
// statement's error.)
var ErrPartialRollback = errors.New("durablesql: ROLLBACK TO is refused " +
	"by the platform, so the whole transaction is rolled back; " +
	"hint: avoid nested transactions")

// A transaction's function returns errRolledBack to roll it back.
var errRolledBack = errors.New("durablesql: rolled back")

// gate keeps other events out while a transaction is open. An object has one
// gate, however many DBs it opens.
type gate struct {
	mu   sync.Mutex
	open *tx
}

var gates sync.Map // weak.Pointer[durable.State] → *gate

func gateOf(state *durable.State) *gate {
	key := weak.Make(state)
	g, known := gates.LoadOrStore(key, &gate{})
	if !known {
		runtime.AddCleanup(state, func(key weak.Pointer[durable.State]) { gates.Delete(key) }, key)
	}
	return g.(*gate)
}

// pass returns once no transaction is open, and then opens next, unless it is
// nil. It fails if the open transaction may be the caller's own, because it
// would then never end.
func (g *gate) pass(ctx context.Context, next *tx) error {
	for {
		open := g.enter(next)
		if open == nil {
			return nil
		}
		if !open.isEnding() && open.mayWaitFor(ctx) {
			return ErrTransactionOpen
		}
		select {
		case <-open.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enter opens next, or returns the transaction that is already open.
func (g *gate) enter(next *tx) *tx {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = next
		return nil
	}
	return g.open
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = nil
}

// tx is a transaction. Storage.Transaction runs in a goroutine of its own, and
// receives from end how to finish.
type tx struct {
	conn    *conn
	ctx     context.Context // when it is done, database/sql rolls back
	event   *jsrt.Invocation
	begun   chan jsrt.Section
	section jsrt.Section
	leave   func()      // its user's goroutine is no longer inside
	end     chan error  // nil to commit; buffered
	ending  atomic.Bool // its user has ended it
	refused bool        // it was to take back a part of it, which is refused
	over    chan struct{}
	err     error // of it, once it is over
}

// isEnding reports whether the transaction will end without another call: it
// was committed or rolled back, or its context has ended.
func (t *tx) isEnding() bool { return t.ending.Load() || t.ctx.Err() != nil }

// mayWaitFor reports whether the transaction may belong to the same event as
// ctx: it does, or one of the two events is unknown.
func (t *tx) mayWaitFor(ctx context.Context) bool {
	event := jsrt.FromContext(ctx)
	return event == nil || t.event == nil || event == t.event
}

func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	switch {
	case opts.ReadOnly:
		return nil, errors.New("durablesql: read-only transactions are refused: " +
			"SQLite in workerd does not enforce them")
	case opts.Isolation != driver.IsolationLevel(sql.LevelDefault) &&
		opts.Isolation != driver.IsolationLevel(sql.LevelSerializable):
		return nil, errors.New("durablesql: isolation level " +
			sql.IsolationLevel(opts.Isolation).String() +
			" is refused: every transaction is serializable")
	}
	storage, err := c.storage()
	if err != nil {
		return nil, err
	}
	t := &tx{conn: c, ctx: ctx, event: jsrt.FromContext(ctx), begun: make(chan jsrt.Section, 1),
		end: make(chan error, 1), over: make(chan struct{})}
	if err := c.gate.pass(ctx, t); err != nil {
		return nil, err
	}
	go t.run(ctx, storage)
	select {
	case t.section = <-t.begun:
		c.tx = t
		t.leave = t.section.Enter() // what else it does in the object is part of the transaction
		return t, nil
	case <-t.over:
		return nil, t.err
	case <-ctx.Done():
		t.end <- errRolledBack // as soon as it has begun
		return nil, ctx.Err()
	}
}

func (t *tx) run(ctx context.Context, storage *durable.Storage) {
	ctx = context.WithoutCancel(ctx) // what was asked for begins, and has to be ended
	t.err = storage.Transaction(ctx, func(*durable.Transaction) error {
		t.begun <- jsrt.Inside()
		return <-t.end
	})
	t.conn.gate.leave()
	close(t.over)
}

// enterTx puts the running goroutine into the connection's transaction, if
// there is one, until leave is called.
func (c *conn) enterTx() (leave func()) {
	if c.tx == nil {
		return func() {}
	}
	return c.tx.section.Enter()
}

// check refuses statements of a transaction that its user has not ended, but
// that is over, because the object was reset for example.
func (t *tx) check() error {
	select {
	case <-t.over:
		return cmp.Or(t.err, sql.ErrTxDone)
	default:
		return nil
	}
}

func (t *tx) Commit() error {
	if !t.refused {
		return t.finish(nil)
	}
	if err := t.Rollback(); err != nil {
		return err
	}
	return ErrPartialRollback
}

func (t *tx) Rollback() error {
	if err := t.finish(errRolledBack); err != errRolledBack {
		return err
	}
	return nil
}

func (t *tx) finish(how error) error {
	t.ending.Store(true)
	t.end <- how
	<-t.over
	t.leave()
	t.conn.tx = nil
	return t.err
}
