package store

import (
	"database/sql"
	"encoding/hex"
	"fmt"
	"time"

	"quicklime/verifier/severity"
	"quicklime/wire"
)

// newEpoch forgets the boot log of the epoch before, unless something is wrong with
// that boot, and all but the last of the lists. Its failures stay; of those that are
// about no entry the newest, and the others are counted.
func newEpoch(tx *sql.Tx, e Enrolment, id []byte, now time.Time) error {
	if err := endBoot(tx, e); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM boot_log WHERE enrolment = ?`, e.ID); err != nil {
		return err
	}
	if err := endList(tx, e, id, now); err != nil {
		return err
	}
	var lost [2]int64 // decisive, tolerated
	for below, limit := range []int{wire.MaxKeptFailures, severity.MaxLabels * wire.MaxKeptTolerated} {
		r, err := tx.Exec(`DELETE FROM failure WHERE seq IN (SELECT seq FROM failure
			WHERE enrolment = ? AND entry = -1 AND cleared_at IS NULL AND (below > 0) = ? ORDER BY seq DESC LIMIT -1 OFFSET ?)`, e.ID, below, limit)
		if err != nil {
			return err
		}
		if lost[below], err = r.RowsAffected(); err != nil {
			return err
		}
	}
	return one(tx, `UPDATE state SET epoch_at = ?, failures_lost = failures_lost + failures_unkept + ?, failures_unkept = 0,
			tolerated_lost = tolerated_lost + tolerated_unkept + ?, tolerated_unkept = 0
		WHERE enrolment = ?`, millis(now), lost[0], lost[1], e.ID)
}

// firmware shows a TPM's firmware version as vendors print it.
func firmware(v uint64) string {
	return hex.EncodeToString([]byte{byte(v >> 56), byte(v >> 48), byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// endList makes the list of the epoch before one of the past, of which the last
// are kept.
func endList(tx *sql.Tx, e Enrolment, id []byte, now time.Time) error {
	if _, err := tx.Exec(`UPDATE list SET ended_at = ? WHERE enrolment = ? AND ended_at IS NULL`, millis(now), e.ID); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM list WHERE enrolment = ?1 AND (epoch = ?2 OR id NOT IN
		(SELECT id FROM list WHERE enrolment = ?1 ORDER BY id DESC LIMIT ?3))`, e.ID, id, maxPastLists)
	return err
}

// appendEntries adds the new entries to the list of the epoch, and returns those
// of them that had to be stored.
func appendEntries(tx *sql.Tx, e Enrolment, a Accepted, id []byte, now time.Time) (addition, error) {
	if a.Entries.Len() == 0 {
		return addition{}, nil
	}
	r := a.Outcome.Certified.Replayed()
	from := r.From()
	encoded, added, err := a.Entries.finish(tx)
	if err != nil {
		return added, err
	}
	var list int64
	err = tx.QueryRow(`INSERT INTO list (enrolment, epoch) VALUES (?, ?)
		ON CONFLICT DO UPDATE SET ended_at = NULL RETURNING id`, e.ID, id).Scan(&list)
	if err != nil {
		return added, err
	}
	_, err = tx.Exec(`INSERT INTO segment (list, first, count, committed_at, entries) VALUES (?, ?, ?, ?, ?)`,
		list, int64(from.Entries()), a.Entries.Len(), millis(now), encoded)
	if err != nil {
		err = fmt.Errorf("entries from %d on: %w", from.Entries(), err)
	}
	return added, err
}
