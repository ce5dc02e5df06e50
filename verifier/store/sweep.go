package store

import (
	"context"
	"database/sql"
	"time"

	"quicklime/wire/sqlite"
)

// lapsed are agents that others were told are trusted, and whose trust had run out
// or was not looked at since it might have.
const lapsed = `trust = 'trusted' AND (until <= ?1 OR until > ?1 + span)`

// RunSweep finds what no write does, until ctx ends: trust that time ended. It
// begins after grace, for a verifier that was down has heard of nobody, and looks
// every sweepEvery. failed is told of errors, which end nothing.
func (s *Store) RunSweep(ctx context.Context, grace time.Duration, failed func(error)) error {
	for wait := grace; ; wait = sweepEvery {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}
}

// Sweep records an event for each agent whose trust has run out, and forgets events
// that are past keeping.
func (s *Store) Sweep(ctx context.Context) error {
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	var due bool
	err = s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM told WHERE `+lapsed+`) OR EXISTS (SELECT 1 FROM changed)
		OR (SELECT count(*) > ?2 FROM event) OR EXISTS (SELECT 1 FROM event WHERE at < ?3)`,
		millis(now), maxEvents+maxEvents/10, millis(now.Add(-maxEventAge-maxEventAge/10))).Scan(&due)
	if err != nil || !due {
		return err
	}
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		// Of most that are due, evidence has come since; of the others, settle finds
		// out what they are.
		if _, err := tx.Exec(`UPDATE told SET until = trusted_until, span = trusted_for FROM state JOIN enrolment ON enrolment.id = state.enrolment
			WHERE `+lapsed+` AND told.agent = enrolment.agent AND trusted_until > ?1 AND trusted_until <= ?1 + trusted_for`, millis(now)); err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT OR IGNORE INTO changed (agent) SELECT agent FROM told WHERE `+lapsed, millis(now)); err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM event WHERE at < ? OR seq <= (SELECT seq FROM event ORDER BY seq DESC LIMIT 1 OFFSET ?)`,
			millis(now.Add(-maxEventAge)), maxEvents)
		return err
	})
}
