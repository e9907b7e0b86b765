package durablesql

// SQLiteVersion is the answer to a version query.
const SQLiteVersion = sqliteVersion
