// Package durablesql makes a [database/sql.DB] of an object's SQLite database, so
// that what is written for that package (generated queries, query builders,
// ORMs, migrations) works inside a Durable Object:
//
//	func NewUsers(ctx context.Context, state *durable.State, env *durable.Env) (*Users, error) {
//		db := durablesql.Open(state)
//		_, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT)`)
//		return &Users{db: db}, err
//	}
//
// [Migrate] runs migrations from files. docs/sql.md says which libraries were
// tried, and all that is different from a native driver.
//
// It is a layer over [durable.SQL]: statements, errors and limits are those of
// [durable.SQL.Exec], and [durable.SQLError] says which constraint failed.
//
// # Values
//
// Arguments bind as package durable says, so integers are exact, a time is text
// as SQLite writes it, and NaN is refused. They may have names
// ([database/sql.Named]). A column arrives as int64 where it is a number without
// fraction, else as float64, as string or as []byte. Three things are different
// from other drivers, because workerd tells values only, as JavaScript has them,
// and not what the columns were declared as:
//
//   - An INTEGER beyond ±(2^53-1) arrives inexact, as an [InexactNumber], which
//     scans into a float64 only. Select CAST(column AS TEXT) to scan it into an
//     int64.
//   - Text is a time.Time where it is the text of one and the column is declared
//     DATE, DATETIME… or TIMESTAMP…. That is known by the column's name: every
//     column of the name in the schema is declared so, or the name stands for
//     such a column in the query or in a view (at AS moment, max(at)). It is
//     looked up when there is such text. (Scanned into a string, database/sql
//     writes such a time as RFC 3339 has it, without trailing zeros.) Elsewhere,
//     as in a column declared TEXT or in other expressions, it is a string.
//   - [database/sql.ColumnType] knows names only.
//
// # Transactions
//
// BeginTx begins a [durable.Storage.Transaction]: no other event is delivered to
// the object until Commit or Rollback, and after 30 s workerd resets it. Give
// BeginTx the handler's context, which ends with the event: what is still open
// then is rolled back. Transactions are serializable; BeginTx refuses other
// levels of isolation, and ReadOnly, which SQLite in workerd cannot enforce.
//
// There is one database connection in truth, and what runs on it while a
// transaction is open runs inside. So until it is over, what the same event does
// outside of it, by way of the DB, is refused with [ErrTransactionOpen], and what
// another event does waits for its end. Where one of the two was not given its
// handler's context, nobody can tell, and it is refused. A transaction that its
// user has ended, or whose context has, is waited for. (What uses [durable.SQL]
// or [durable.KV] directly does run inside.) Do not limit the DB's connections
// with SetMaxOpenConns: where it is waited for one, nothing is refused.
//
// A [durable.Storage.TransactionSync] whose function uses the DB is a transaction
// as well, and the faster one, where nothing is waited for.
//
// # Rows
//
// Rows stream; see [durable.Cursor] for what they see of other statements, and
// close them, or read them to the end, before DROP TABLE.
//
// # What is refused
//
// BEGIN, SAVEPOINT and COMMIT as statements: the platform refuses them. After a
// ROLLBACK TO, Commit rolls back and fails with [ErrPartialRollback]. Most of
// PRAGMA. Statements are synchronous, so a context that ends stops the next one
// only. Prepare does not check the statement; running it does.
package durablesql
