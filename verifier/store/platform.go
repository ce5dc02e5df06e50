package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"time"

	"quicklime/verifier/appraise"
	"quicklime/verifier/severity"
	"quicklime/wire"
	"quicklime/wire/sqlite"
)

// Platform is what is known of the judgement of an enrolment's boot and PCRs.
type Platform struct {
	BootInForce string // digest of the boot policy in force, or wire.NotEvaluated
	BootJudged  string // digest that the epoch's boot was judged by; "": it waits for a quote that covers what is judged
	BootValues  []byte // see appraise.Opinion; nil: the boot is to be judged again
	BootFailed  bool   // failures of the epoch's boot stand that make the agent untrusted
	PCRsInForce string // the same of single PCRs
	PCRsJudged  string
	PCRPolicy   []byte // the text; nil: none
}

// PlatformJudged reports whether boot and PCRs were judged by the policies in force.
func (s Standing) PlatformJudged() bool {
	return s.Epoch == nil || s.BootJudged == s.BootInForce && s.PCRsJudged == s.PCRsInForce
}

// waits says what is not judged yet of an enrolment with an epoch, "" if nothing is.
func (p Platform) waits() string {
	switch {
	case p.BootJudged != p.BootInForce && p.BootJudged == "":
		return "the boot waits for a quote of the PCRs that the boot policy judges"
	case p.BootJudged != p.BootInForce:
		return "the boot policy has changed and the boot is being judged again"
	case p.PCRsJudged != p.PCRsInForce && p.PCRsJudged == "":
		return "a quote of the PCRs that the TPM policy lists has not come yet"
	case p.PCRsJudged != p.PCRsInForce:
		return "the TPM policy has changed and the PCRs are being judged again"
	}
	return ""
}

// bootInForce is the digest of the boot policy in force for a row of state joined
// with boot_policy.
const bootInForce = `coalesce(boot_policy.digest, '` + wire.NotEvaluated + `')`

// platform are the columns of Platform, for such a row.
const platform = bootInForce + `, boot_judged, boot_values,
	EXISTS (SELECT 1 FROM failure WHERE failure.enrolment = state.enrolment AND failure.epoch = state.epoch AND part = 'boot' AND cleared_at IS NULL AND below = 0),
	pcr_digest, pcr_judged, pcr_policy`

func (p *Platform) columns() []any {
	return []any{&p.BootInForce, &p.BootJudged, &p.BootValues, &p.BootFailed, &p.PCRsInForce, &p.PCRsJudged, &p.PCRPolicy}
}

// BootLogs returns the logs of the epoch in force, or ErrNotFound if the boot log has
// not come.
func (s *Store) BootLogs(ctx context.Context, st Standing) (l appraise.Logs, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT bytes, systemd FROM boot_log WHERE enrolment = ? AND epoch = ?`, st.Enrolment, st.EpochID).Scan(&l.Boot, &l.Systemd)
	return l, notFound(err)
}

// tpmPolicy returns the columns pcr_policy and pcr_digest of a text.
func tpmPolicy(text string) (column any, digest string) {
	if text == "" {
		return nil, wire.NotEvaluated
	}
	sum := sha256.Sum256([]byte(text))
	return []byte(text), hex.EncodeToString(sum[:])
}

// Opinion is what the policies in force make of boot and PCRs.
type Opinion struct {
	appraise.Opinion
	Away []int64 // failures of PCRs, and of past boots, that the policies in force do not have any more, by their number
}

// platformInForce refuses an opinion by other policies than those in force, with
// ErrConflict.
func platformInForce(tx *sql.Tx, e Enrolment, o Opinion) error {
	var now Platform
	row := tx.QueryRow(`SELECT `+platform+` FROM state LEFT JOIN boot_policy ON boot_policy.name = state.boot_policy WHERE enrolment = ?`, e.ID)
	if err := row.Scan(now.columns()...); err != nil {
		return notFound(err)
	}
	if now.BootInForce != orNotEvaluated(o.Boot) || now.PCRsInForce != orNotEvaluated(o.PCRs) {
		return ErrConflict
	}
	return nil
}

func orNotEvaluated(digest string) string {
	if digest == "" {
		return wire.NotEvaluated
	}
	return digest
}

// opine records what the policies in force make of boot and PCRs of an epoch. If
// another policy has judged them before, what it found is judged away, unless there
// is none now: that judges nothing.
func opine(tx *sql.Tx, scale *severity.Scale, e Enrolment, st Standing, epoch []byte, o Opinion, now time.Time) error {
	if err := platformInForce(tx, e, o); err != nil {
		return err
	}
	boot, pcrs := orNotEvaluated(o.Boot), orNotEvaluated(o.PCRs)
	if o.BootWaits {
		boot = ""
	}
	if o.PCRsWait {
		pcrs = ""
	}
	if err := one(tx, `UPDATE state SET boot_judged = ?, boot_values = ?, pcr_judged = ? WHERE enrolment = ?`, boot, o.BootValues, pcrs, e.ID); err != nil {
		return err
	}
	if boot != "" && boot != wire.NotEvaluated && boot != st.BootJudged {
		if _, err := tx.Exec(`DELETE FROM failure WHERE enrolment = ? AND epoch = ? AND part = 'boot' AND cleared_at IS NULL`, e.ID, epoch); err != nil {
			return err
		}
	}
	for _, seq := range o.Away {
		if _, err := tx.Exec(`DELETE FROM failure WHERE seq = ? AND enrolment = ?`, seq, e.ID); err != nil {
			return err
		}
	}
	for _, f := range o.OfBoot {
		if err := addPart(tx, scale, e, epoch, partBoot, f.Key, f.Failure, now); err != nil {
			return err
		}
	}
	for _, f := range o.OfPCRs {
		if err := addPart(tx, scale, e, epoch, partPCRs, []byte{}, f, now); err != nil {
			return err
		}
	}
	return replaceConditions(tx, e.ID, partBoot, scale, o.Conditions)
}

// The parts of what is judged, each of which is judged again by itself.
const (
	partList = "" // and what is of an evidence as a whole
	partBoot = "boot"
	partPCRs = "pcrs"
)

// addPart records a failure of a boot or of PCRs. What is wrong with a boot is wrong
// as long as it lasts, so that what was cleared stays so; a PCR that fails again
// stands again.
func addPart(tx *sql.Tx, scale *severity.Scale, e Enrolment, epoch []byte, part string, key []byte, f wire.Failure, now time.Time) error {
	body, err := recorded(f)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO failure (enrolment, epoch, part, entry, id, key, body, first_at, last_at, below)
		VALUES (?1, ?2, ?3, -1, ?4, ?5, ?6, ?7, ?7, ?8)
		ON CONFLICT DO UPDATE SET count = count + 1, last_at = excluded.last_at, body = excluded.body, below = excluded.below,
			cleared_at = CASE WHEN part = 'pcrs' THEN NULL ELSE cleared_at END`,
		e.ID, epoch, part, f.ID, key, body, millis(now), scale.Below(f.ID, false))
	return err
}

// PCRFailures returns the standing failures of single PCRs in the epoch in force, by
// their number. One that cannot be read is left out: it stands until it is cleared.
func (s *Store) PCRFailures(ctx context.Context, st Standing) (map[int64]wire.Failure, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT seq, body FROM failure
		WHERE enrolment = ? AND epoch = ? AND part = 'pcrs' AND cleared_at IS NULL`, st.Enrolment, st.EpochID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[int64]wire.Failure{}
	for rows.Next() {
		var seq int64
		var body []byte
		if err := rows.Scan(&seq, &body); err != nil {
			return nil, err
		}
		var f wire.Failure
		if json.Unmarshal(body, &f) == nil {
			all[seq] = f
		}
	}
	return all, rows.Err()
}

// Opine records what the policies in force make of the boot and the PCRs of the
// evidence that the last verdict rests on. It returns the new state; the error is
// ErrConflict if the state has moved since st.
func (s *Store) Opine(ctx context.Context, e Enrolment, st Standing, o Opinion) (next Standing, err error) {
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		if err := compareAndSwap(tx, e, st); err != nil {
			return err
		}
		if err := opine(tx, s.severity, e, st, st.EpochID, o, now); err != nil {
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
