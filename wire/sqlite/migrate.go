package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
)

// migrationName is the form of a migration's file name: NNNN_what.sql.
var migrationName = regexp.MustCompile(`^([0-9]{4})_[a-z0-9_]+\.sql$`)

// Step is what a migration does that SQL cannot. Do runs after the statements of
// migration number After, in the same transaction.
type Step struct {
	After int
	Do    func(*sql.Tx) error
}

// migrate brings the database to the last of the migrations in dir: the files
// 0001_what.sql, 0002_what.sql and so on in its root, without a gap, each any
// number of SQL statements. PRAGMA user_version holds the number of the last one
// applied; each is applied with it in one transaction.
func migrate(db *sql.DB, dir fs.FS, steps []Step) error {
	scripts, err := readMigrations(dir)
	if err != nil {
		return err
	}
	for {
		more, err := migrateOnce(db, scripts, steps)
		if err != nil || !more {
			return err
		}
	}
}

// readMigrations returns the scripts in order.
func readMigrations(dir fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(dir, ".") // sorted by name
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	var scripts []string
	for _, e := range entries {
		want := fmt.Sprintf("%04d", len(scripts)+1)
		if m := migrationName.FindStringSubmatch(e.Name()); m == nil || m[1] != want {
			return nil, fmt.Errorf("migration %q: want a name like %s_what.sql", e.Name(), want)
		}
		b, err := fs.ReadFile(dir, e.Name())
		if err != nil {
			return nil, fmt.Errorf("migrations: %w", err)
		}
		scripts = append(scripts, string(b))
	}
	if len(scripts) == 0 {
		return nil, errors.New("there are no migrations")
	}
	return scripts, nil
}

// migrateOnce applies the next script, if one is due. It looks at the version
// inside the transaction: another process may be migrating too.
func migrateOnce(db *sql.DB, scripts []string, steps []Step) (more bool, err error) {
	tx, err := db.Begin()
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	// A statement that looks at a table makes SQLite read the schema again if
	// another process has changed it; the first of a script may not be one.
	var version, tables int
	if err := tx.QueryRow("SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return false, err
	}
	if err := tx.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return false, err
	}
	if version > len(scripts) {
		return false, fmt.Errorf("its schema has version %d and this program knows %d: install the newer program again, or restore a backup made before it ran", version, len(scripts))
	}
	if version == len(scripts) {
		return false, nil
	}
	if _, err := tx.Exec(scripts[version]); err != nil {
		return false, fmt.Errorf("migration %04d: %w", version+1, err)
	}
	for _, s := range steps {
		if s.After != version+1 {
			continue
		}
		if err := s.Do(tx); err != nil {
			return false, fmt.Errorf("migration %04d: %w", version+1, err)
		}
	}
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA user_version = %d", version+1)); err != nil {
		return false, fmt.Errorf("migration %04d: %w", version+1, err)
	}
	return true, tx.Commit()
}
