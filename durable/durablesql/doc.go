// Package durablesql offers an object's SQLite database as a [database/sql.DB].
// Code for that package (generated queries, query builders, ORMs, migrations)
// then works inside a Durable Object:
//
//	func NewUsers(
//		ctx context.Context, state *durable.State, env *durable.Env,
//	) (*Users, error) {
//		db := durablesql.Open(state)
//		_, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS users
//			(id INTEGER PRIMARY KEY, name TEXT)`)
//		return &Users{db: db}, err
//	}
//
// [Migrate] runs migrations from files. docs/sql.md lists the libraries that
// were tried, and all differences from a native driver.
//
// The package is a layer over [durable.SQL]. Statements, errors and limits are
// those of [durable.SQL.Exec], and [durable.SQLError] says which constraint
// failed.
//
// # Values
//
// Arguments bind as in package durable: integers are exact, a time is text as
// SQLite writes it, and NaN is refused. Arguments may have names
// ([database/sql.Named]). A column arrives as int64 if it is a number without
// fraction, otherwise as float64, as string or as []byte. Three things differ
// from other drivers, because workerd returns JavaScript values, without the
// declared types of the columns:
//
//   - An INTEGER beyond ±(2^53-1) arrives inexact, as an [InexactNumber], which
//     scans into a float64 only. Select CAST(column AS TEXT) to scan it into an
//     int64.
//   - Text becomes a time.Time if it is the text of a time and the column is
//     declared DATE, DATETIME… or TIMESTAMP…. The package knows only the
//     column's name. So every column of that name in the schema must be
//     declared so, or the query or a view must give the name to such a column
//     (at AS moment, max(at)). The package looks this up only if there is such
//     text. (If you scan the time into a string, database/sql writes it as in
//     RFC 3339, without trailing zeros.) Other text is a string, for example in
//     a column declared TEXT or in other expressions.
//   - [database/sql.ColumnType] has only names.
//
// # Transactions
//
// BeginTx begins a [durable.Storage.Transaction]. The object gets no other
// event until Commit or Rollback. After 30 s workerd resets it. Give BeginTx
// the handler's context, which ends with the event. A transaction that is still
// open then is rolled back. Transactions are serializable. BeginTx refuses
// other levels of isolation, and ReadOnly, which SQLite in workerd cannot
// enforce.
//
// The database has only one connection, and every statement that runs while a
// transaction is open runs inside the transaction. So until the transaction
// ends, a call through the DB from the same event fails with
// [ErrTransactionOpen]. A call from another event waits. If one of the two has
// not passed its handler's context, the package cannot tell them apart, and the
// call fails too. If the transaction has been committed or rolled back, or its
// context has ended, a call waits for its end. (Calls that use [durable.SQL] or
// [durable.KV] directly run inside the transaction.) Do not limit the DB's
// connections with SetMaxOpenConns: such a call would then wait for a connection
// instead of failing.
//
// A [durable.Storage.TransactionSync] whose function uses the DB is also a
// transaction. It is faster, but its function must not wait.
//
// # Rows
//
// Rows stream. [durable.Cursor] says how other statements affect them. Close
// them, or read them to the end, before DROP TABLE.
//
// # What is refused
//
// The platform refuses BEGIN, SAVEPOINT and COMMIT as statements, and most of
// PRAGMA. After a ROLLBACK TO, Commit rolls back and fails with
// [ErrPartialRollback]. Statements are synchronous, so a context that ends
// stops only the next one. Prepare does not check the statement; running it
// does.
package durablesql
