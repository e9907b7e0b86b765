package sqlcases

// Difference is a step whose result differs on durablesql. If a case repeats a
// call, its number follows it.
type Difference struct {
	Case, Call   string
	Native, Here string
	Topic        string // the key of one of Topics
}

// Topic is an intended difference and its reason. docs/sql.md lists them.
type Topic struct{ Key, Native, Here, Why string }

// Topics are all topics, in the order of docs/sql.md.
var Topics = []Topic{
	{"timetext", "a time binds with its offset, `2006-01-02 15:04:05+00:00`", "in UTC without one, `2006-01-02 15:04:05`, as SQLite writes it", "it equals what `datetime()` returns, and sorts whatever zone it was in"},
	{"timecolumns", "`max(at)` and columns declared `TIMESTAMP WITH TIME ZONE` are text", "they are times", "text does not scan into a `time.Time`"},
	{"year", "a year beyond 9999 is stored", "`ErrValue`", "SQLite's functions do not know it, and it sorts before others"},
	{"inexact", "a number from 2^53 on is exact", "an `InexactNumber`, which scans into a `float64` only", "workerd hands over JavaScript's numbers: select `CAST(… AS TEXT)`"},
	{"nan", "NaN is stored as NULL", "`ErrValue`", "it would come back as another value"},
	{"emptyblob", "an empty BLOB scans as a nil `[]byte`", "an empty one, which is not nil", "nil is NULL"},
	{"utf8", "text that is not UTF-8 is stored", "`ErrValue`; where SQL makes such text, U+FFFD arrives", "JavaScript has no such text: bind a `[]byte`"},
	{"nul", "a statement ends at a NUL byte", "`ErrValue`", "nothing is cut off unsaid"},
	{"byposition", "a named parameter is refused an argument without a name", "it has one by its position", "workerd numbers named parameters"},
	{"extra", "more arguments than parameters are ignored", "refused", "workerd refuses them"},
	{"affected", "`RowsAffected` of DDL and queries is that of an earlier statement", "0", "it is the last statement's"},
	{"atomic", "one `Exec` of several statements keeps what ran before the one that fails", "keeps nothing", "what fails writes nothing"},
	{"prepare", "`Prepare` reports a wrong statement", "running it does", "workerd compiles what it runs"},
	{"outside", "beside an open transaction another may begin, and a write is `SQLITE_BUSY`", "`ErrTransactionOpen`", "there is one connection: the write would be part of the transaction"},
	{"levels", "`ReadOnly` and other isolation levels are taken, and do nothing", "refused", "they would not be what they say"},
	{"limits", "other limits", "those of docs/limits.md", "the platform's"},
	{"platform", "`BEGIN`, `SAVEPOINT`, `ATTACH`, `VACUUM`, temporary tables, `PRAGMA user_version` and others work", "refused", "the platform refuses them: use `BeginTx`, and `Migrate`"},
}

// Differences are all known differences.
var Differences = []Difference{
	{`several statements`, `exec insert into t values (3); create table u (b)`, `id 3, 1 affected`, `id 3, 0 affected`, "affected"},
	{`several statements, one of which fails`, `scan select count(*) from t`, `*int 1`, `*int 0`, "atomic"},
	{`several statements, one of which fails`, `scan select count(*) from t (2)`, `*int 2`, `*int 0`, "atomic"},
	{`arguments`, `rows select :a + 1 | 4`, `refused`, `(5)`, "byposition"},
	{`arguments`, `rows select ? | 1, 2`, `(1)`, `refused`, "extra"},
	{`arguments`, `rows select 1 | 1`, `(1)`, `refused`, "extra"},
	{`integers`, `rows select ? | 9007199254740992`, `(9007199254740992)`, `(durablesql.InexactNumber9.007199254740992e+15)`, "inexact"},
	{`integers`, `rows select ? | 9223372036854775807`, `(9223372036854775807)`, `(durablesql.InexactNumber9.223372036854776e+18)`, "inexact"},
	{`integers`, `rows select ? | -9223372036854775808`, `(-9223372036854775808)`, `(durablesql.InexactNumber-9.223372036854776e+18)`, "inexact"},
	{`floats`, `rows select ?, typeof(?) | NaN, NaN`, `(NULL, "null")`, `ErrValue`, "nan"},
	{`floats`, `rows select 1e17`, `(1e+17)`, `(durablesql.InexactNumber1e+17)`, "inexact"},
	{`text`, `rows select hex(?) | "a\xffb"`, `("61FF62")`, `ErrValue`, "utf8"},
	{`text`, `rows select 'a\?b'`, `("a\xffb")`, `ErrValue`, "utf8"},
	{`text`, `rows select 'a\0b'`, `SQLITE_ERROR`, `ErrValue`, "nul"},
	{`text`, `rows select cast(x'61ff' as text)`, `("a\xff")`, `("a�")`, "utf8"},
	{`blobs and NULL`, `rows select ?, typeof(?) | x'', x''`, `(nil bytes, "blob")`, `(x'', "blob")`, "emptyblob"},
	{`blobs and NULL`, `rows select x'', x'00ff', zeroblob(3), length(zeroblob(3))`, `(nil bytes, x'00ff', x'000000', 3)`, `(x'', x'00ff', x'000000', 3)`, "emptyblob"},
	{`blobs and NULL`, `scan select x''`, `*[]uint8 nil bytes`, `*[]uint8 x''`, "emptyblob"},
	{`times`, `rows select tz from t where id = 1`, `("2026-01-02 03:04:05.12+00:00")`, `(time 2026-01-02T03:04:05.12Z)`, "timecolumns"},
	{`times`, `rows select note from t where id = 1`, `("2026-01-02 03:04:05.12+00:00")`, `("2026-01-02 03:04:05.12")`, "timetext"},
	{`times`, `scan select max(at) from t where id < 3`, `*time.Time refused`, `*time.Time time 2026-01-02T03:04:05.12Z`, "timecolumns"},
	{`times`, `rows select count(*) from t where ts between ? and ? | time 2026-01-02T03:04:04.12Z, time 2026-01-02T03:04:06.12Z`, `(1)`, `(2)`, "timetext"},
	{`times`, `rows select datetime(at) = at from t where id = 2`, `(0)`, `(1)`, "timetext"},
	{`times`, `rows select ? | time 10000-01-01T00:00:00Z`, `("10000-01-01 00:00:00+00:00")`, `ErrValue`, "year"},
	{`last ids and rows affected`, `exec create table u (x)`, `id 10, 1 affected`, `id 10, 0 affected`, "affected"},
	{`last ids and rows affected`, `exec select 1`, `id 10, 1 affected`, `id 10, 0 affected`, "affected"},
	{`last ids and rows affected`, `exec pragma foreign_keys`, `id 10, 1 affected`, `id 10, 0 affected`, "affected"},
	{`last ids and rows affected`, `exec create table w (id text primary key) without rowid`, `id 12, 2 affected`, `id 12, 0 affected`, "affected"},
	{`prepared statements`, `prepare a wrong statement`, `SQLITE_ERROR`, `ok`, "prepare"},
	{`transactions`, `exec create table u (x)`, `id 3, 1 affected`, `id 3, 0 affected`, "affected"},
	{`transactions`, `exec drop table t`, `id 3, 1 affected`, `id 3, 0 affected`, "affected"},
	{`transactions that end otherwise`, `read committed`, `ok`, `refused`, "levels"},
	{`transactions that end otherwise`, `read-only`, `ok`, `refused`, "levels"},
	{`transactions that end otherwise`, `begin another one`, `ok`, `ErrTransactionOpen`, "outside"},
	{`transactions that end otherwise`, `exec outside of it`, `SQLITE_BUSY`, `ErrTransactionOpen`, "outside"},
	{`transactions that end otherwise`, `exec savepoint a`, `id 1, 1 affected`, `the platform refuses it`, "platform"},
	{`transactions that end otherwise`, `exec release a`, `id 1, 1 affected`, `the platform refuses it`, "platform"},
	{`views and triggers`, `exec drop view v`, `id 1, 2 affected`, `id 1, 0 affected`, "affected"},
	{`collations, LIKE and GLOB`, `rows select 'x' like ? | "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"`, `(0)`, `SQLITE_ERROR`, "limits"},
	{`collations, LIKE and GLOB`, `rows select 'x' glob ? | "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"`, `(0)`, `SQLITE_ERROR`, "limits"},
	{`limits`, `rows select count(*) from (values (1)) where 1 in (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,  … (749 bytes)`, `(1)`, `ErrLimit`, "limits"},
	{`limits`, `rows select length(?) | "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx … (2000027 bytes)`, `(2000001)`, `ErrLimit`, "limits"},
	{`limits`, `rows select length('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx … (100022 bytes)`, `(100000)`, `ErrLimit`, "limits"},
	{`limits`, `rows select 1 union all select 1 union all select 1 union all select 1 union all select 1 union all select 1`, `(1) (1) (1) (1) (1) (1)`, `SQLITE_ERROR`, "limits"},
	{`limits`, `rows select 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 +  … (413 bytes)`, `(101)`, `SQLITE_ERROR`, "limits"},
	{`what needs a file or a connection of one's own`, `exec begin`, `id 0, 0 affected`, `the platform refuses it`, "platform"},
	{`what needs a file or a connection of one's own`, `exec rollback`, `id 0, 0 affected`, `the platform refuses it`, "platform"},
	{`what needs a file or a connection of one's own`, `exec attach ':memory:' as other`, `id 0, 0 affected`, `SQLITE_AUTH`, "platform"},
	{`what needs a file or a connection of one's own`, `exec vacuum`, `id 0, 0 affected`, `SQLITE_ERROR`, "platform"},
	{`what needs a file or a connection of one's own`, `exec create temp table tmp (x)`, `id 0, 0 affected`, `SQLITE_AUTH`, "platform"},
	{`what needs a file or a connection of one's own`, `rows pragma user_version`, `(0)`, `SQLITE_AUTH`, "platform"},
	{`what needs a file or a connection of one's own`, `rows select count(*) > 0 from pragma_function_list`, `(1)`, `SQLITE_AUTH`, "platform"},
	{`what needs a file or a connection of one's own`, `exec create table _cf_x (a)`, `id 0, 0 affected`, `SQLITE_AUTH`, "platform"},
}
