package durablesql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"runtime"
	"weak"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/internal/sqltext"
)

// Open returns the object's database. You need not close it: it is closed with
// the object's instance.
func Open(state *durable.State) *sql.DB {
	db := sql.OpenDB(&connector{state: weak.Make(state), gate: gateOf(state)})
	runtime.AddCleanup(state, func(db *sql.DB) { db.Close() }, db)
	return db
}

// connector makes connections. It must not keep the state alive: a DB has a
// goroutine that ends when the DB is closed, and the DB is closed when the
// state is garbage-collected.
type connector struct {
	state weak.Pointer[durable.State]
	gate  *gate
}

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	return &conn{connector: c}, nil
}
func (c *connector) Driver() driver.Driver { return noDriver{} }

func (c *connector) storage() (*durable.Storage, error) {
	state := c.state.Value()
	if state == nil {
		return nil, durable.ErrContextClosed
	}
	if storage := state.Storage(); storage != nil {
		return storage, nil
	}
	return &durable.Storage{}, nil // natively, where it answers errors.ErrUnsupported
}

type noDriver struct{}

func (noDriver) Open(string) (driver.Conn, error) {
	return nil, errors.New("durablesql: an object's database has no name; use durablesql.Open")
}

type conn struct {
	*connector
	tx *tx // the transaction that is open on it
}

var (
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.StmtQueryContext   = (*stmt)(nil)
	_ driver.StmtExecContext    = (*stmt)(nil)
)

// exec runs a query once no other connection's transaction is open.
func (c *conn) exec(
	ctx context.Context, query string, args []driver.NamedValue,
) (*durable.Cursor, error) {
	values, err := positional(query, args)
	if err != nil {
		return nil, err
	}
	storage, err := c.storage()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.tx != nil {
		err = c.tx.check()
	} else {
		err = c.gate.pass(ctx, nil)
	}
	if err != nil {
		return nil, err
	}
	cursor, err := storage.SQL().Exec(answerProbe(query), values...)
	if err != nil && c.tx != nil && sqltext.HasVerb(query, "ROLLBACK") {
		c.tx.refused = true
	}
	return cursor, err
}

func (c *conn) QueryContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (driver.Rows, error) {
	defer c.enterTx()()
	cursor, err := c.exec(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return newRows(c, query, cursor), nil
}

func (c *conn) ExecContext(
	ctx context.Context, query string, args []driver.NamedValue,
) (driver.Result, error) {
	defer c.enterTx()()
	cursor, err := c.exec(ctx, query, args)
	if err != nil {
		return nil, err
	}
	for cursor.Next() {
	}
	if err := cursor.Err(); err != nil {
		return nil, err
	}
	return c.result(query)
}

// result returns the last statement's effects. No other statement can run in
// between, because result does not wait. If the statement changes no rows,
// changes() is still that of an earlier statement, so result returns 0.
func (c *conn) result(query string) (driver.Result, error) {
	storage, err := c.storage()
	if err != nil {
		return nil, err
	}
	cursor, err := storage.SQL().Exec(
		"SELECT CAST(last_insert_rowid() AS TEXT) AS id, changes() AS changes")
	if err != nil {
		return nil, err
	}
	r, err := durable.One[struct{ ID, Changes int64 }](cursor)
	if err != nil {
		return nil, err
	}
	if text, _ := sqltext.Statements(query); !sqltext.IsWrite(sqltext.Verb(text)) {
		r.Changes = 0
	}
	return result{r.ID, r.Changes}, nil
}

type result struct{ id, changes int64 }

func (r result) LastInsertId() (int64, error) { return r.id, nil }
func (r result) RowsAffected() (int64, error) { return r.changes, nil }

func (c *conn) Prepare(query string) (driver.Stmt, error) { return &stmt{c, query}, nil }
func (c *conn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return c.Prepare(query)
}

func (c *conn) Close() error {
	if c.tx != nil {
		return c.tx.Rollback()
	}
	return nil
}

// stmt only keeps the text. workerd caches the compiled statement by its text.
type stmt struct {
	conn  *conn
	query string
}

func (s *stmt) Close() error  { return nil }
func (s *stmt) NumInput() int { return -1 } // workerd checks it

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

func named(args []driver.Value) []driver.NamedValue {
	list := make([]driver.NamedValue, len(args))
	for i, a := range args {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return list
}

type rows struct {
	conn    *conn
	query   string
	cursor  *durable.Cursor
	columns []column
	dest    []any  // pointers to columns
	isTime  []bool // for each column, once it is asked for
}

func newRows(c *conn, query string, cursor *durable.Cursor) *rows {
	r := &rows{conn: c, query: query, cursor: cursor,
		columns: make([]column, len(cursor.ColumnNames()))}
	for i := range r.columns {
		r.dest = append(r.dest, &r.columns[i])
	}
	return r
}

func (r *rows) Columns() []string { return r.cursor.ColumnNames() }

func (r *rows) Close() error {
	r.cursor.Close()
	return nil
}

func (r *rows) Next(dest []driver.Value) error {
	defer r.conn.enterTx()()
	if !r.cursor.Next() {
		if err := r.cursor.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	if err := r.cursor.Scan(r.dest...); err != nil {
		return err
	}
	for i, c := range r.columns {
		dest[i] = c.v
		if s, ok := c.v.(string); ok {
			v, err := r.time(i, s)
			if err != nil {
				return err
			}
			dest[i] = v
		}
	}
	return nil
}
