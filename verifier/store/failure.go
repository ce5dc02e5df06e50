package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"quicklime/verifier/imalist"
	"quicklime/wire"
	"quicklime/wire/sqlite"
)

// noEntry stands for the index of a failure that is not about one entry.
const noEntry = -1

func entryOf(f wire.Failure) int64 {
	if f.Entry == nil {
		return noEntry
	}
	return int64(*f.Entry)
}

// addFailures records the failures of a result, those of entries with the entry's
// bytes from list. The same one again is counted; one that is not about an entry
// then stands again, if it was cleared, because it happened again. Failures of
// entries are kept up to a limit and counted beyond it.
func addFailures(tx *sql.Tx, e Enrolment, epoch []byte, r wire.Result, list imalist.Certified, now time.Time) error {
	if len(r.Failures) == 0 {
		return nil
	}
	var kept int
	err := tx.QueryRow(`SELECT max(count(*) - ?3, count(*) FILTER (WHERE epoch = ?2)) FROM failure
		WHERE enrolment = ?1 AND entry >= 0 AND cleared_at IS NULL`,
		e.ID, epoch, wire.MaxKeptFailuresAll-wire.MaxKeptFailures).Scan(&kept)
	if err != nil {
		return err
	}
	insert, err := tx.Prepare(`INSERT INTO failure (enrolment, epoch, entry, id, body, raw, first_at, last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
		ON CONFLICT DO UPDATE SET count = count + 1, last_at = excluded.last_at, body = excluded.body,
			cleared_at = CASE WHEN entry = -1 THEN NULL ELSE cleared_at END`)
	if err != nil {
		return err
	}
	defer insert.Close()
	raw := entriesOf(r.Failures, list)
	more := r.More
	for _, f := range r.Failures {
		entry := entryOf(f)
		if entry >= 0 && kept >= wire.MaxKeptFailures {
			more++
			continue
		}
		if entry >= 0 {
			kept++
		}
		body, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if _, err := insert.Exec(e.ID, epoch, entry, f.ID, body, raw[entry], millis(now)); err != nil {
			return err
		}
	}
	if more == 0 {
		return nil
	}
	return one(tx, `UPDATE state SET failures_unkept = failures_unkept + ? WHERE enrolment = ?`, more, e.ID)
}

// entriesOf returns the bytes of the entries that failed, by index.
func entriesOf(failures []wire.Failure, list imalist.Certified) map[int64][]byte {
	raw := make(map[int64][]byte, len(failures))
	for _, f := range failures {
		raw[entryOf(f)] = nil
	}
	for i, b := range list.Replayed().Raw() {
		if _, failed := raw[int64(i)]; failed {
			raw[int64(i)] = b
		}
	}
	return raw
}

// Failures returns the oldest failures that stand, at most wire.MaxKeptFailures. A
// record that cannot be read is shown as one (I10).
func (s *Store) Failures(ctx context.Context, agent string) ([]wire.Failure, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT failure.epoch, body FROM failure JOIN enrolment ON enrolment.id = failure.enrolment
		WHERE agent = ? AND cleared_at IS NULL ORDER BY seq LIMIT ?`, agent, wire.MaxKeptFailures)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []wire.Failure
	for rows.Next() {
		var epoch, body []byte
		if err := rows.Scan(&epoch, &body); err != nil {
			return nil, err
		}
		var f wire.Failure
		if err := json.Unmarshal(body, &f); err != nil {
			f = wire.Failure{ID: wire.RecordUnreadable, Message: "the verifier cannot read its record of this failure: " + err.Error()}
		}
		f.Epoch = hex.EncodeToString(epoch)
		all = append(all, f)
	}
	return all, rows.Err()
}

// NewestFailure returns the id of the newest failure that stands, "" if none
// does.
func (s *Store) NewestFailure(ctx context.Context, e Enrolment) (id wire.FailureID, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT id FROM failure WHERE enrolment = ? AND cleared_at IS NULL ORDER BY last_at DESC, seq DESC LIMIT 1`,
		e.ID).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// Clear marks the standing failures of an agent as cleared by the operator, who
// has seen that there are so many. What says that nothing ties the list to the
// boot in force stays: it is no event that is over, but what the machine is. So do
// failures of this boot beyond the limit of kept ones, which nobody has seen: the
// list is to be judged again, for the next of them. The error is ErrConflict if there
// are others by now, ErrNotFound if the agent is not enrolled.
func (s *Store) Clear(ctx context.Context, agent string, seen int) error {
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		var id int64
		var standing int
		row := tx.QueryRow(`SELECT state.enrolment, failures_unkept + failures_lost +
				(SELECT count(*) FROM failure WHERE failure.enrolment = state.enrolment AND cleared_at IS NULL)
			FROM state JOIN enrolment ON enrolment.id = state.enrolment WHERE agent = ?`, agent)
		if err := row.Scan(&id, &standing); err != nil {
			return notFound(err)
		}
		if standing != seen {
			return ErrConflict
		}
		r, err := tx.Exec(`UPDATE failure SET cleared_at = ? WHERE enrolment = ? AND cleared_at IS NULL
			AND NOT (id IN (?, ?) AND epoch = (SELECT epoch FROM state WHERE state.enrolment = failure.enrolment))`,
			millis(now), id, wire.IMABootAggregate, wire.IMANotMeasuring)
		if err != nil {
			return err
		}
		cleared, err := r.RowsAffected()
		if err != nil {
			return err
		}
		return one(tx, `UPDATE state SET rev = rev + 1, cleared_count = cleared_count + ? + failures_lost, cleared_at = ?, failures_lost = 0,
			judged = CASE WHEN failures_unkept > 0 THEN '' ELSE judged END WHERE enrolment = ?`, cleared, millis(now), id)
	})
	if err == nil {
		s.changes.announce(agent)
	}
	return err
}
