package durablesql

// SQLiteVersion is what a probe is answered with.
const SQLiteVersion = sqliteVersion
