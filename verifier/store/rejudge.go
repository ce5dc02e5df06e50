package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/wire"
	"quicklime/wire/sqlite"
	"quicklime/wire/tpm"
)

// Unjudged returns the enrolments with an epoch that was judged by other policies
// than those in force.
func (s *Store) Unjudged(ctx context.Context) ([]Enrolment, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT enrolment.id, agent, ak, spki, lowest_bank FROM enrolment
		JOIN state ON state.enrolment = enrolment.id LEFT JOIN policy ON policy.name = state.policy
		LEFT JOIN boot_policy ON boot_policy.name = state.boot_policy
		WHERE epoch IS NOT NULL AND (judged <> `+inForce+` OR boot_judged <> `+bootInForce+` OR pcr_judged <> pcr_digest)`)
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
// the one in force. One that cannot be read is left out: it stands until it is
// cleared.
func (s *Store) PastFailures(ctx context.Context, st Standing) ([]PastFailure, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT seq, body, raw, warned FROM failure
		WHERE enrolment = ? AND epoch <> ? AND raw IS NOT NULL AND cleared_at IS NULL`, st.Enrolment, st.EpochID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []PastFailure
	for rows.Next() {
		var p PastFailure
		var body, raw []byte
		var warned bool
		if err := rows.Scan(&p.Seq, &body, &raw, &warned); err != nil {
			return nil, err
		}
		if p.Entry, _, err = ima.ParseEntry(raw); err == nil && json.Unmarshal(body, &p.Failure) == nil && p.Failure.Entry != nil {
			p.Failure.Warned = warned
			all = append(all, p)
		}
	}
	return all, rows.Err()
}

// ClearedFindings returns what an operator has cleared of the epoch in force.
func (s *Store) ClearedFindings(ctx context.Context, st Standing) (map[appraise.Finding]bool, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT entry, id FROM failure
		WHERE enrolment = ? AND epoch = ? AND entry >= 0 AND cleared_at IS NOT NULL`, st.Enrolment, st.EpochID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	cleared := map[appraise.Finding]bool{}
	for rows.Next() {
		var f appraise.Finding
		if err := rows.Scan(&f.Entry, &f.ID); err != nil {
			return nil, err
		}
		cleared[f] = true
	}
	return cleared, rows.Err()
}

// Rejudged is what judging an epoch again by the policy in force came to.
type Rejudged struct {
	Result  wire.Result
	Learned appraise.Learned // as in appraise.Outcome, and so is
	Failed  map[uint64][]byte
	Past    []int64       // Seq of failures of earlier epochs that the policy does not have any more
	Changed []PastFailure // of those that it has, the ones of which Failure.Warned is another now

	Conditions []wire.Failure // as in appraise.Outcome
}

// Rejudge replaces the failures of the epoch's entries. Failures that are not
// about an entry stay, and so does what an operator cleared. It returns the new
// state; the error is ErrConflict if the state has moved since st.
func (s *Store) Rejudge(ctx context.Context, e Enrolment, st Standing, r Rejudged) (next Standing, err error) {
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
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
		if err := s.replaceFailures(tx, e, st, r, now); err != nil {
			return err
		}
		if err := replaceConditions(tx, e.ID, partList, s.severity, r.Conditions); err != nil {
			return err
		}
		if err := noteSeverity(tx, e.ID, now); err != nil {
			return err
		}
		next, err = scanStanding(tx.QueryRow(selectStanding, e.ID), e)
		return err
	})
	if err == nil {
		s.changes.announce(e.Agent)
	}
	return next, err
}

// replaceFailures leaves the failures as they are if nobody evaluated anything:
// that judges none of them away.
func (s *Store) replaceFailures(tx *sql.Tx, e Enrolment, st Standing, r Rejudged, now time.Time) error {
	learned, err := r.Learned.MarshalBinary()
	if err != nil {
		return err
	}
	if err := one(tx, `UPDATE state SET learned = ? WHERE enrolment = ?`, learned, e.ID); err != nil {
		return err
	}
	if r.Result.Runtime == wire.NotEvaluated && st.Judged == "" { // after a clearing: what is beyond the limit without a policy, too
		if err := one(tx, `UPDATE state SET judged = ?, failures_lost = failures_lost + failures_unkept, failures_unkept = 0,
				tolerated_lost = tolerated_lost + tolerated_unkept, tolerated_unkept = 0 WHERE enrolment = ?`,
			wire.NotEvaluated, e.ID); err != nil {
			return err
		}
		return addFailures(tx, s.severity, e, st.EpochID, r.Result, r.Failed, now)
	}
	if r.Result.Runtime == wire.NotEvaluated {
		return one(tx, `UPDATE state SET judged = ? WHERE enrolment = ?`, wire.NotEvaluated, e.ID)
	}
	if _, err := tx.Exec(`UPDATE state SET judged = ?, failures_unkept = 0, tolerated_unkept = 0 WHERE enrolment = ?`, r.Result.Runtime, e.ID); err != nil {
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
	for _, p := range r.Changed {
		if _, err := tx.Exec(`UPDATE failure SET warned = ?, below = ? WHERE seq = ? AND enrolment = ?`,
			p.Failure.Warned, s.severity.Below(p.Failure.ID, p.Failure.Warned), p.Seq, e.ID); err != nil {
			return err
		}
	}
	return addFailures(tx, s.severity, e, st.EpochID, r.Result, r.Failed, now)
}
