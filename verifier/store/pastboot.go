package store

import (
	"context"
	"database/sql"

	"github.com/fxamacker/cbor/v2"

	"quicklime/verifier/appraise"
)

// PastBoot is a boot that is over and has failures that stand.
type PastBoot struct {
	Logs     appraise.Logs
	Evidence Evidence
	Failures map[string]int64 // by appraise.BootFailure.Key; their numbers
}

// Has reports whether every one of some failures stands.
func (p PastBoot) Has(all []appraise.BootFailure) bool {
	for _, f := range all {
		if _, stands := p.Failures[string(f.Key)]; !stands {
			return false
		}
	}
	return true
}

// endBoot keeps what judges the boot in force again, if it has failures, as one of the
// past.
func endBoot(tx *sql.Tx, e Enrolment) error {
	if _, err := tx.Exec(`INSERT OR IGNORE INTO past_boot (enrolment, epoch, log, systemd, evidence)
		SELECT state.enrolment, state.epoch, boot_log.bytes, boot_log.systemd, evidence FROM state
		JOIN boot_log ON boot_log.enrolment = state.enrolment AND boot_log.epoch = state.epoch
		WHERE state.enrolment = ? AND evidence IS NOT NULL AND EXISTS (SELECT 1 FROM failure
			WHERE failure.enrolment = state.enrolment AND failure.epoch = state.epoch AND part = 'boot' AND cleared_at IS NULL)`, e.ID); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM past_boot WHERE enrolment = ?1 AND id NOT IN
		(SELECT id FROM past_boot WHERE enrolment = ?1 ORDER BY id DESC LIMIT ?2)`, e.ID, maxPastLists)
	return err
}

// PastBoots returns the past boots of an enrolment that have failures which stand. One
// that cannot be read is left out: its failures stand until they are cleared.
func (s *Store) PastBoots(ctx context.Context, e Enrolment) ([]PastBoot, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT past_boot.id, log, systemd, evidence, seq, key FROM past_boot
		JOIN failure ON failure.enrolment = past_boot.enrolment AND failure.epoch = past_boot.epoch AND part = 'boot' AND cleared_at IS NULL
		WHERE past_boot.enrolment = ? ORDER BY past_boot.id`, e.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []PastBoot
	var last int64
	for rows.Next() {
		var id, seq int64
		var logs appraise.Logs
		var evidence, key []byte
		if err := rows.Scan(&id, &logs.Boot, &logs.Systemd, &evidence, &seq, &key); err != nil {
			return nil, err
		}
		if id != last {
			b := PastBoot{Logs: logs, Failures: map[string]int64{}}
			if cbor.Unmarshal(evidence, &b.Evidence) != nil {
				continue
			}
			all, last = append(all, b), id
		}
		all[len(all)-1].Failures[string(key)] = seq
	}
	return all, rows.Err()
}
