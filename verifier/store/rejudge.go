package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/sqlite"
	"quicklime/wire/tpm"
)

// Unjudged returns the enrolments with an epoch that was judged by another policy
// than the one in force.
func (s *Store) Unjudged(ctx context.Context) ([]Enrolment, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT enrolment.id, agent, ak, spki, lowest_bank FROM enrolment
		JOIN state ON state.enrolment = enrolment.id LEFT JOIN policy ON policy.name = state.policy
		WHERE epoch IS NOT NULL AND judged <> `+inForce)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Enrolment
	for rows.Next() {
		var e Enrolment
		var ak, spki []byte
		if err := rows.Scan(&e.ID, &e.Agent, &ak, &spki, &e.LowestBank); err != nil {
			return nil, err
		}
		copy(e.SPKI[:], spki)
		if e.AK, err = tpm.ParsePublic(ak); err != nil {
			continue // one bad row stops nobody else (I10); BySPKI names it when its agent comes
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

// Proof returns the evidence of the last accepted verdict, or ErrNotFound if
// there is none.
func (s *Store) Proof(ctx context.Context, e Enrolment) (Evidence, error) {
	var b []byte
	var ev Evidence
	err := s.db.Read().QueryRowContext(ctx, `SELECT evidence FROM state WHERE enrolment = ? AND evidence IS NOT NULL`, e.ID).Scan(&b)
	if err != nil {
		return ev, notFound(err)
	}
	if err := cbor.Unmarshal(b, &ev); err != nil {
		return ev, fmt.Errorf("stored evidence of %s: %w", e.Agent, err)
	}
	return ev, nil
}

// PastFailure is a standing failure of one entry of an earlier epoch.
type PastFailure struct {
	Seq     int64
	Failure wire.Failure
	Entry   ima.Entry
}

// PastFailures returns the standing failures of entries of earlier epochs than
// the one in force.
func (s *Store) PastFailures(ctx context.Context, st Standing) ([]PastFailure, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT seq, epoch, entry, body FROM failure
		WHERE enrolment = ? AND epoch <> ? AND entry >= 0 AND cleared_at IS NULL`, st.Enrolment, st.EpochID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []PastFailure
	for rows.Next() {
		var p PastFailure
		var epoch, body []byte
		var index int64
		if err := rows.Scan(&p.Seq, &epoch, &index, &body); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(body, &p.Failure); err != nil {
			return nil, err
		}
		if p.Entry, err = s.entryAt(ctx, st.Enrolment, epoch, index); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// entryAt returns one entry of an epoch's list.
func (s *Store) entryAt(ctx context.Context, enrolment int64, epoch []byte, index int64) (ima.Entry, error) {
	var first int64
	var sequence, b []byte
	err := s.db.Read().QueryRowContext(ctx, `SELECT first, entries FROM segment WHERE enrolment = ? AND epoch = ? AND first <= ?
		ORDER BY first DESC LIMIT 1`, enrolment, epoch, index).Scan(&first, &sequence)
	if err != nil {
		return ima.Entry{}, notFound(err)
	}
	numbers, err := decodeSequence(sequence)
	if err != nil {
		return ima.Entry{}, err
	}
	if index-first >= int64(len(numbers)) {
		return ima.Entry{}, fmt.Errorf("entry %d: %w", index, ErrNotFound)
	}
	if err := s.db.Read().QueryRowContext(ctx, `SELECT bytes FROM entry WHERE id = ?`, numbers[index-first]).Scan(&b); err != nil {
		return ima.Entry{}, notFound(err)
	}
	e, _, err := ima.ParseEntry(b)
	return e, err
}

// Rejudged is what judging an epoch again by the policy in force came to.
type Rejudged struct {
	Result wire.Result
	Past   []int64 // Seq of failures of earlier epochs that the policy does not have any more
}

// Rejudge replaces the failures of the epoch's entries. Failures that are not
// about an entry stay, and so does what an operator cleared. The error is
// ErrConflict if the state has moved since st.
func (s *Store) Rejudge(ctx context.Context, e Enrolment, st Standing, r Rejudged) error {
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		if err := compareAndSwap(tx, e, st); err != nil {
			return err
		}
		if err := judgedInForce(tx, e, r.Result); err != nil {
			return err
		}
		return replaceFailures(tx, e, st, r, now)
	})
	if err == nil {
		s.changes.announce(e.Agent)
	}
	return err
}

func replaceFailures(tx *sql.Tx, e Enrolment, st Standing, r Rejudged, now time.Time) error {
	if _, err := tx.Exec(`UPDATE state SET judged = ?, failures_unkept = 0 WHERE enrolment = ?`, r.Result.Runtime, e.ID); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM failure WHERE enrolment = ? AND epoch = ? AND entry >= 0 AND cleared_at IS NULL`, e.ID, st.EpochID); err != nil {
		return err
	}
	for _, seq := range r.Past {
		if _, err := tx.Exec(`DELETE FROM failure WHERE seq = ? AND enrolment = ?`, seq, e.ID); err != nil {
			return err
		}
	}
	return addFailures(tx, e, st.EpochID, r.Result.Failures, now)
}
