package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"quicklime/verifier/severity"
	"quicklime/wire"
	"quicklime/wire/sqlite"
)

// Counts of what stands, for a row of state. What is only counted is decisive if it
// was when it was counted.
const (
	decisive = `failures_unkept + failures_lost +
		(SELECT count(*) FROM failure WHERE failure.enrolment = state.enrolment AND cleared_at IS NULL AND below = 0)`
	tolerated = `tolerated_unkept + tolerated_lost +
		(SELECT count(*) FROM failure WHERE failure.enrolment = state.enrolment AND cleared_at IS NULL AND below > 0)`
	waiting = `(SELECT count(*) FROM condition WHERE condition.enrolment = state.enrolment AND below = 0)`

	// gravest is as failure.below, NULL if nothing stands.
	gravest = `CASE WHEN failures_unkept + failures_lost > 0 THEN 0 ELSE (SELECT min(below) FROM
		(SELECT below FROM failure WHERE failure.enrolment = state.enrolment AND cleared_at IS NULL
		UNION ALL SELECT below FROM condition WHERE condition.enrolment = state.enrolment)) END`
)

// Severity returns what labels failures; nil: the default.
func (s *Store) Severity() *severity.Scale { return s.severity }

// Label has failures labelled by a scale from now on, and those that stand, if they
// were labelled by another. It is to be called before anything else while Run runs.
// The ids of failures that were only counted are not known: those of a boot that is
// past become decisive, the others are found again.
func (s *Store) Label(ctx context.Context, scale *severity.Scale) (changed bool, err error) {
	s.severity = scale
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		last := (*severity.Scale)(nil).Digest()
		if err := tx.QueryRow(`SELECT digest FROM scale`).Scan(&last); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if changed = last != scale.Digest(); !changed {
			return nil
		}
		if _, err := tx.Exec(`INSERT INTO scale VALUES (1, ?1) ON CONFLICT DO UPDATE SET digest = ?1`, scale.Digest()); err != nil {
			return err
		}
		return relabel(tx, scale)
	})
	return changed, err
}

func relabel(tx *sql.Tx, scale *severity.Scale) error {
	all, err := labelledOf(tx)
	if err != nil {
		return err
	}
	for _, k := range all {
		below := scale.Below(k.id, k.warned)
		if _, err := tx.Exec(`UPDATE failure SET below = ? WHERE id = ? AND warned = ?`, below, k.id, k.warned); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE condition SET below = ? WHERE id = ?`, scale.Below(k.id, false), k.id); err != nil {
			return err
		}
	}
	now, err := sqlite.Now(tx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE state SET rev = rev + 1, judged = CASE WHEN failures_unkept + tolerated_unkept > 0 THEN '' ELSE judged END,
		failures_unkept = failures_unkept + tolerated_unkept, tolerated_unkept = 0,
		failures_lost = failures_lost + tolerated_lost, tolerated_lost = 0`); err != nil {
		return err
	}
	_, err = tx.Exec(setSeverity, millis(now))
	return err
}

// labelled is what decides about the label of a failure.
type labelled struct {
	id     wire.FailureID
	warned bool
}

func labelledOf(tx *sql.Tx) (all []labelled, err error) {
	rows, err := tx.Query(`SELECT DISTINCT id, warned FROM failure UNION SELECT DISTINCT id, 0 FROM condition`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k labelled
		if err := rows.Scan(&k.id, &k.warned); err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, rows.Err()
}

// setSeverity brings the severity up to what stands, and notes when it rises.
const setSeverity = `UPDATE state SET severity = ` + gravest + `,
	severity_at = CASE WHEN coalesce(` + gravest + ` < coalesce(severity, 1 << 30), false) THEN ?1 ELSE severity_at END`

// noteSeverity is the end of every change of what stands against an enrolment.
func noteSeverity(tx *sql.Tx, enrolment int64, now time.Time) error {
	return one(tx, setSeverity+` WHERE enrolment = ?2`, millis(now), enrolment)
}

// replaceConditions puts what a policy waits for now in the place of what it waited
// for.
func replaceConditions(tx *sql.Tx, enrolment int64, part string, scale *severity.Scale, conditions []wire.Failure) error {
	if _, err := tx.Exec(`DELETE FROM condition WHERE enrolment = ? AND part = ?`, enrolment, part); err != nil {
		return err
	}
	for i, f := range conditions {
		body, err := recorded(f)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO condition (enrolment, part, number, id, body, below) VALUES (?, ?, ?, ?, ?, ?)`,
			enrolment, part, i, f.ID, body, scale.Below(f.ID, false)); err != nil {
			return err
		}
	}
	return nil
}

// Conditions returns what the policy waited for at the last accepted evidence of an
// agent, the gravest first. A record that cannot be read is shown as one (I10).
func (s *Store) Conditions(ctx context.Context, agent string) (all []wire.Failure, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT body, below FROM condition JOIN enrolment ON enrolment.id = condition.enrolment
		WHERE agent = ? ORDER BY below, part, number`, agent)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var body []byte
		var below int
		if err := rows.Scan(&body, &below); err != nil {
			return nil, err
		}
		all = append(all, s.shown(body, below))
	}
	return all, rows.Err()
}

// shown is a recorded failure as anybody is shown it.
func (s *Store) shown(body []byte, below int) (f wire.Failure) {
	if err := json.Unmarshal(body, &f); err != nil {
		f = wire.Failure{ID: wire.RecordUnreadable, Message: "the verifier cannot read its record of this failure: " + err.Error()}
	}
	f.Severity, f.Tolerated = s.severity.Name(below), below > 0
	return f
}
