package durablesql

import (
	"cmp"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"flow.internal/capdo/durable"
)

// Errors of [Migrate]. The object is as it was before.
var (
	// ErrMigrationUnknown: the object has a migration that this program
	// lacks, because a newer program ran before. Migrations are not undone.
	ErrMigrationUnknown = errors.New("durablesql: the object has " +
		"a migration that this program does not have; " +
		"hint: run the version that has it, or a later one")
	// ErrMigrationChanged: the text of a migration that the object has run
	// was changed.
	ErrMigrationChanged = errors.New("durablesql: a migration was changed " +
		"after the object had run it; " +
		"hint: restore it, and put the change into a new migration")
	// ErrMigrationOrder: a new migration has a lower number than one that
	// the object has run.
	ErrMigrationOrder = errors.New("durablesql: a new migration comes " +
		"before one that the object has; hint: give it a higher number")
	// ErrMigrationFile: a file is not a migration.
	ErrMigrationFile = errors.New("durablesql: not a migration")
)

// Migrate brings an object's schema up to date. Call it in the constructor. If
// there is nothing to do, it costs two small reads.
//
//	//go:embed migrations/*.sql
//	var files embed.FS
//
//	migrations, err := fs.Sub(files, "migrations")
//	…
//	err = durablesql.Migrate(state, migrations)
//
// The migrations are the files *.sql of the folder, in goose's format: the name
// begins with a number and an underscore, as in 00002_add_email.sql, and the
// line "-- +goose Up" begins the statements. The statements after "-- +goose
// Down" are never run.
//
// Each object runs each migration once, in the order of the numbers. It runs
// all new ones in one transaction, so a failure leaves nothing behind. The
// object's table _capdo_migrations lists those that have run, with a checksum
// of the statements. Migrate fails with [ErrMigrationUnknown],
// [ErrMigrationChanged] or [ErrMigrationOrder] if files and table do not match.
//
// PRAGMA foreign_keys does nothing in a transaction, as everywhere in SQLite.
// To rebuild a table, use PRAGMA defer_foreign_keys = on.
func Migrate(state *durable.State, files fs.FS) error {
	list, err := readMigrations(files)
	if err != nil {
		return err
	}
	if gateOf(state).enter(nil) != nil {
		return ErrTransactionOpen
	}
	storage := state.Storage()
	if storage == nil {
		storage = &durable.Storage{} // natively, where it answers errors.ErrUnsupported
	}
	db := storage.SQL()
	has, err := appliedMigrations(db)
	if err != nil {
		return err
	}
	pending, err := pendingMigrations(list, has)
	if err != nil || len(pending) == 0 {
		return err
	}
	return storage.TransactionSync(func() error { return applyMigrations(db, pending) })
}

// migration is a file, or a row of the table.
type migration struct {
	Version  int64
	Name     string
	Checksum string
	up       string
}

// migrationError adds the migration's name to an error.
type migrationError struct {
	name string
	err  error
}

func (e *migrationError) Error() string {
	return "durablesql: migration " + e.name + ": " +
		strings.TrimPrefix(e.err.Error(), "durablesql: ")
}
func (e *migrationError) Unwrap() error { return e.err }

func appliedMigrations(db *durable.SQL) ([]migration, error) {
	cursor, err := db.Exec("SELECT count(*) FROM sqlite_master WHERE name = '_capdo_migrations'")
	if err != nil {
		return nil, err
	}
	if n, err := durable.One[int](cursor); n == 0 || err != nil {
		return nil, err
	}
	cursor, err = db.Exec("SELECT version, name, checksum FROM _capdo_migrations ORDER BY version")
	if err != nil {
		return nil, err
	}
	var list []migration
	for m, err := range durable.All[migration](cursor) {
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// pendingMigrations returns the program's migrations that the object has not
// run.
func pendingMigrations(list, has []migration) ([]migration, error) {
	for i, m := range has {
		at, ok := slices.BinarySearchFunc(list, m.Version,
			func(m migration, v int64) int { return cmp.Compare(m.Version, v) })
		switch {
		case !ok:
			return nil, &migrationError{m.Name, ErrMigrationUnknown}
		case at != i:
			return nil, &migrationError{list[i].Name, ErrMigrationOrder}
		case list[at].Checksum != m.Checksum:
			return nil, &migrationError{m.Name, ErrMigrationChanged}
		}
	}
	return list[len(has):], nil
}

func applyMigrations(db *durable.SQL, pending []migration) error {
	if _, err := db.Exec(`CREATE TABLE IF NOT EXISTS _capdo_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL,
		applied_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP)`); err != nil {
		return err
	}
	for _, m := range pending {
		cursor, err := db.Exec(m.up)
		if err == nil {
			for cursor.Next() {
			}
			err = cursor.Err()
		}
		if err != nil {
			return &migrationError{m.Name, err}
		}
		_, err = db.Exec("INSERT INTO _capdo_migrations (version, name, checksum) VALUES (?, ?, ?)",
			m.Version, m.Name, m.Checksum)
		if err != nil {
			return err
		}
	}
	return nil
}

// readMigrations returns the migrations of a folder, in order.
func readMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, &migrationError{"*.sql",
			refuseFile("there is no such file; hint: use fs.Sub for the files of a folder")}
	}
	var list []migration
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		m, err := parseMigration(name, string(text))
		if err != nil {
			return nil, &migrationError{name, err}
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b migration) int { return cmp.Compare(a.Version, b.Version) })
	for i := 1; i < len(list); i++ {
		if list[i].Version == list[i-1].Version {
			return nil, &migrationError{list[i].Name,
				refuseFile("it has the same number as " + list[i-1].Name)}
		}
	}
	return list, nil
}

type fileError string

func refuseFile(reason string) error { return fileError(reason) }

func (e fileError) Error() string { return string(e) }
func (fileError) Unwrap() error   { return ErrMigrationFile }

func parseMigration(name, text string) (migration, error) {
	number, _, _ := strings.Cut(name, "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil || version < 1 {
		return migration{}, refuseFile(
			"the name does not begin with a number and an underscore, as in 00001_create.sql")
	}
	up, err := upStatements(strings.TrimPrefix(text, "\ufeff"))
	if err != nil {
		return migration{}, err
	}
	sum := fnv.New128a()
	sum.Write([]byte(up))
	return migration{Version: version, Name: name,
		Checksum: hex.EncodeToString(sum.Sum(nil)), up: up}, nil
}

// upStatements returns the statements of a file to run, without space around
// them.
func upStatements(text string) (string, error) {
	var up strings.Builder
	part := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		command, isCommand := strings.CutPrefix(strings.TrimSpace(line), "-- +goose ")
		if !isCommand {
			if part == "UP" {
				up.WriteString(line + "\n")
			}
			continue
		}
		switch command = strings.ToUpper(strings.TrimSpace(command)); {
		case command == "UP" && part == "", command == "DOWN" && part == "UP":
			part = command
		case command == "STATEMENTBEGIN" || command == "STATEMENTEND": // SQLite finds the ends itself
		default:
			return "", refuseFile("the line -- +goose " + command +
				" is unknown, or not allowed in this place")
		}
	}
	if part == "" {
		return "", refuseFile(`there is no line "-- +goose Up"`)
	}
	return strings.TrimSpace(up.String()), nil
}
