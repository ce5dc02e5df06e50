package store

import (
	"database/sql"
	"errors"
)

// selectFloor is the greatest version of a payload that was forgotten after it was
// withdrawn, of any name: one number for each enrolment, however many names there were.
const selectFloor = `SELECT version FROM payload_floor WHERE enrolment = ?`

// payloadFloor reads it; 0: none was forgotten.
func payloadFloor(row *sql.Row) (floor uint64, err error) {
	err = row.Scan(&floor)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return floor, err
}

// forgetPayloads deletes the records of withdrawn payloads that fit where, and keeps how
// far their versions went.
func forgetPayloads(tx *sql.Tx, where string, args ...any) error {
	where = ` FROM payload WHERE withdrawn_at IS NOT NULL AND ` + where
	if _, err := tx.Exec(`INSERT INTO payload_floor (enrolment, version) SELECT enrolment, max(version)`+where+` GROUP BY enrolment
		ON CONFLICT DO UPDATE SET version = max(version, excluded.version)`, args...); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE`+where, args...)
	return err
}
