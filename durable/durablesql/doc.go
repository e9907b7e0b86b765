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
//     declared DATE, DATETIME… or TIMESTAMP…. The package finds that by the
//     column's name: every column of that name in the schema is declared so, or
//     the name stands for such a column in the query or in a view (at AS
//     moment, max(at)). It looks this up when there is such text. (If you scan
//     it into a string, database/sql writes such a time as in RFC 3339, without
//     trailing zeros.) Other text is a string, for example in a column declared
//     TEXT or in other expressions.
//   - [database/sql.ColumnType] knows names only.
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
// There is really one database connection, and everything that runs on it while
// a transaction is open runs inside the transaction. So until the transaction
// is over, a call of the same event through the DB is refused with
// [ErrTransactionOpen]. A call of another event waits. If one of the two was
// not given its handler's context, nobody can tell them apart, and the call is
// refused. A call waits for a transaction that its user has ended, or whose
// context has ended. (Calls that use [durable.SQL] or [durable.KV] directly run
// inside the transaction.) Do not limit the DB's connections with
// SetMaxOpenConns: a call that waits for a connection is not refused.
//
// A [durable.Storage.TransactionSync] whose function uses the DB is a
// transaction as well. It is the faster one, if nothing has to wait.
//
// # Rows
//
// Rows stream. [durable.Cursor] says what they see of other statements. Close
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
