package sqlite

import (
	"context"
	"database/sql"
	"time"
)

// now is the database's clock in milliseconds since 1970. Deadlines that more
// than one process judges are read from it, not from each process's own.
const now = "SELECT CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)"

// Now returns the database's clock: UTC, in milliseconds.
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	return scanTime(db.reader.QueryRowContext(ctx, now))
}

// Now returns the database's clock inside a transaction.
func Now(tx *sql.Tx) (time.Time, error) { return scanTime(tx.QueryRow(now)) }

func scanTime(row *sql.Row) (time.Time, error) {
	var ms int64
	err := row.Scan(&ms)
	return time.UnixMilli(ms).UTC(), err
}
