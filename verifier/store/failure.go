package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"quicklime/wire"
	"quicklime/wire/rest"
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
// bytes from raw. The same one again is counted; one that is not about an entry
// then stands again, if it was cleared, because it happened again. Failures of
// entries are kept up to a limit and counted beyond it.
func addFailures(tx *sql.Tx, e Enrolment, epoch []byte, r wire.Result, raw map[uint64][]byte, now time.Time) error {
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
		if _, err := insert.Exec(e.ID, epoch, entry, f.ID, body, raw[uint64(entry)], millis(now)); err != nil {
			return err
		}
	}
	if more == 0 {
		return nil
	}
	return one(tx, `UPDATE state SET failures_unkept = failures_unkept + ? WHERE enrolment = ?`, more, e.ID)
}

// Failures returns the oldest failures that stand, at most wire.MaxKeptFailures, and
// what stands for this list in Clear. A record that cannot be read is shown as one
// (I10).
func (s *Store) Failures(ctx context.Context, agent string) (all []wire.Failure, listed string, err error) {
	rows, err := listFailures(ctx, s.db.Read(), agent)
	if err != nil {
		return nil, "", err
	}
	for _, r := range rows {
		var f wire.Failure
		if err := json.Unmarshal(r.body, &f); err != nil {
			f = wire.Failure{ID: wire.RecordUnreadable, Message: "the verifier cannot read its record of this failure: " + err.Error()}
		}
		f.Epoch = hex.EncodeToString(r.epoch)
		all = append(all, f)
	}
	return all, mark(rows), nil
}

// listedFailure is a row that Failures lists.
type listedFailure struct {
	seq, count  int64
	epoch, body []byte
}

func listFailures(ctx context.Context, q interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, agent string) (all []listedFailure, err error) {
	rows, err := q.QueryContext(ctx, `SELECT seq, count, failure.epoch, body FROM failure JOIN enrolment ON enrolment.id = failure.enrolment
		WHERE agent = ? AND cleared_at IS NULL ORDER BY seq LIMIT ?`, agent, wire.MaxKeptFailures)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r listedFailure
		if err := rows.Scan(&r.seq, &r.count, &r.epoch, &r.body); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// mark is what stands for a list: another list, or one of the same failures that
// happened again or say something else by now, has another.
func mark(rows []listedFailure) string {
	h := sha256.New()
	for _, r := range rows {
		fmt.Fprintf(h, "%x %d %d %s\n", r.epoch, r.count, len(r.body), r.body)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
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

// Clear marks the failures that the operator has seen as cleared: those that
// Failures lists. What says that nothing ties the list to the boot in force stays:
// it is no event that is over, but what the machine is. So does what is not listed
// and can be: the list is judged again, for the next of them. The error is
// ErrConflict if it is not seen that stands by now, ErrNotFound if the agent is not
// enrolled.
func (s *Store) Clear(ctx context.Context, agent string, seen rest.ClearRequest) error {
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
		listed, err := listFailures(context.WithoutCancel(ctx), tx, agent) // who leaves stops no write of others
		if err != nil {
			return err
		}
		if standing != seen.Failures || mark(listed) != seen.Listed {
			return ErrConflict
		}
		cleared, err := clearListed(tx, id, listed, now)
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

// clearListed clears those of an enrolment's failures that can be.
func clearListed(tx *sql.Tx, enrolment int64, listed []listedFailure, now time.Time) (cleared int64, err error) {
	if len(listed) == 0 {
		return 0, nil
	}
	r, err := tx.Exec(`UPDATE failure SET cleared_at = ? WHERE enrolment = ? AND cleared_at IS NULL AND seq <= ?
		AND NOT (id IN (?, ?) AND epoch = (SELECT epoch FROM state WHERE state.enrolment = failure.enrolment))`,
		millis(now), enrolment, listed[len(listed)-1].seq, wire.IMABootAggregate, wire.IMANotMeasuring)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
