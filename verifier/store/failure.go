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

	"quicklime/verifier/severity"
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
// entries are kept up to a limit, which each label has for itself, and counted
// beyond it. The label is the store's, whatever the result says.
func addFailures(tx *sql.Tx, scale *severity.Scale, e Enrolment, epoch []byte, r wire.Result, raw map[uint64][]byte, now time.Time) error {
	if len(r.Failures) == 0 {
		return nil
	}
	kept, err := keptFailures(tx, e, epoch)
	if err != nil {
		return err
	}
	insert, err := tx.Prepare(`INSERT INTO failure (enrolment, epoch, entry, id, body, raw, first_at, last_at, below, warned)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)
		ON CONFLICT DO UPDATE SET count = count + 1, last_at = excluded.last_at, body = excluded.body, below = excluded.below, warned = excluded.warned,
			cleared_at = CASE WHEN entry = -1 THEN NULL ELSE cleared_at END`)
	if err != nil {
		return err
	}
	defer insert.Close()
	more, moreTolerated := r.More-r.MoreTolerated, r.MoreTolerated
	for _, f := range r.Failures {
		entry, below := entryOf(f), scale.Below(f.ID, f.Warned)
		if entry >= 0 && kept[below] >= maxKept(below) {
			if below > 0 {
				moreTolerated++
			} else {
				more++
			}
			continue
		}
		if entry >= 0 {
			kept[below]++
		}
		body, err := recorded(f)
		if err != nil {
			return err
		}
		if _, err := insert.Exec(e.ID, epoch, entry, f.ID, body, raw[uint64(entry)], millis(now), below, f.Warned); err != nil {
			return err
		}
	}
	if more+moreTolerated == 0 {
		return nil
	}
	return one(tx, `UPDATE state SET failures_unkept = failures_unkept + ?, tolerated_unkept = tolerated_unkept + ? WHERE enrolment = ?`,
		more, moreTolerated, e.ID)
}

// recorded is the record of a failure. Its label is not in it, for that may change.
func recorded(f wire.Failure) ([]byte, error) {
	f.Severity, f.Tolerated = "", false
	return json.Marshal(f)
}

// maxKept bounds the failures of one label that are kept of one boot.
func maxKept(below int) int {
	if below > 0 {
		return wire.MaxKeptTolerated
	}
	return wire.MaxKeptFailures
}

// allBoots is how many times as many are kept of all boots.
const allBoots = wire.MaxKeptFailuresAll / wire.MaxKeptFailures

// keptFailures returns how much of the limit for the epoch is taken by failures of
// entries, by below.
func keptFailures(tx *sql.Tx, e Enrolment, epoch []byte) (map[int]int, error) {
	rows, err := tx.Query(`SELECT below, count(*), count(*) FILTER (WHERE epoch = ?2) FROM failure
		WHERE enrolment = ?1 AND entry >= 0 AND cleared_at IS NULL GROUP BY below`, e.ID, epoch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	kept := map[int]int{}
	for rows.Next() {
		var below, all, here int
		if err := rows.Scan(&below, &all, &here); err != nil {
			return nil, err
		}
		kept[below] = max(all-(allBoots-1)*maxKept(below), here)
	}
	return kept, rows.Err()
}

// Failures returns the gravest failures that stand, of them the oldest first, at
// most wire.MaxKeptFailures, and what stands for this list in Clear. A record that
// cannot be read is shown as one (I10).
func (s *Store) Failures(ctx context.Context, agent string) (all []wire.Failure, listed string, err error) {
	rows, err := listFailures(ctx, s.db.Read(), agent)
	if err != nil {
		return nil, "", err
	}
	for _, r := range rows {
		f := s.shown(r.body, r.below)
		f.Epoch = hex.EncodeToString(r.epoch)
		all = append(all, f)
	}
	return all, mark(rows), nil
}

// listedFailure is a row that Failures lists.
type listedFailure struct {
	seq, count  int64
	epoch, body []byte
	below       int
}

func listFailures(ctx context.Context, q interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, agent string) (all []listedFailure, err error) {
	rows, err := q.QueryContext(ctx, `SELECT seq, count, failure.epoch, body, below FROM failure JOIN enrolment ON enrolment.id = failure.enrolment
		WHERE agent = ? AND cleared_at IS NULL ORDER BY below, seq LIMIT ?`, agent, wire.MaxKeptFailures)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r listedFailure
		if err := rows.Scan(&r.seq, &r.count, &r.epoch, &r.body, &r.below); err != nil {
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
		fmt.Fprintf(h, "%x %d %d %d %s\n", r.epoch, r.count, r.below, len(r.body), r.body)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// NewestFailure returns the id of the newest failure that stands and makes the agent
// untrusted, or of a condition that does, "" if there is none.
func (s *Store) NewestFailure(ctx context.Context, e Enrolment) (id wire.FailureID, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT id FROM (SELECT id, last_at, seq FROM failure WHERE enrolment = ?1 AND cleared_at IS NULL AND below = 0
			UNION ALL SELECT id, 0, 0 FROM condition WHERE enrolment = ?1 AND below = 0) ORDER BY last_at DESC, seq DESC LIMIT 1`,
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
		row := tx.QueryRow(`SELECT state.enrolment, `+decisive+` + `+tolerated+` FROM state JOIN enrolment ON enrolment.id = state.enrolment WHERE agent = ?`, agent)
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
		if err := one(tx, `UPDATE state SET rev = rev + 1, cleared_count = cleared_count + ? + failures_lost + tolerated_lost, cleared_at = ?,
			failures_lost = 0, tolerated_lost = 0,
			judged = CASE WHEN failures_unkept + tolerated_unkept > 0 THEN '' ELSE judged END WHERE enrolment = ?`, cleared, millis(now), id); err != nil {
			return err
		}
		return noteSeverity(tx, id, now)
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
	last := listed[len(listed)-1]
	r, err := tx.Exec(`UPDATE failure SET cleared_at = ? WHERE enrolment = ? AND cleared_at IS NULL AND (below, seq) <= (?, ?)
		AND NOT (id IN (?, ?) AND epoch = (SELECT epoch FROM state WHERE state.enrolment = failure.enrolment))`,
		millis(now), enrolment, last.below, last.seq, wire.IMABootAggregate, wire.IMANotMeasuring)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}
