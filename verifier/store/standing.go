package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/epoch"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// Standing is an enrolment's state at one revision.
type Standing struct {
	appraise.Standing
	Revision     int64
	EpochID      []byte // of Epoch; nil: none
	HaveBoot     bool   // the boot log of the epoch is stored
	InForce      string // digest of the policy in force, or wire.NotEvaluated
	Judged       string // digest that the epoch was judged by; "": nothing judged
	TrustedUntil time.Time
	AttestedAt   time.Time // when the last evidence was accepted
	Failures     uint64    // standing, with what the policy waits for, as far as they make the agent untrusted
	RaisedAt     time.Time // when the gravest severity that stands rose last; zero: never
	Session      uint64    // number of the newest session in which the agent sent evidence; 0: none
	SessionPeer  string    // address and port of that session
	Platform
}

// JudgedInForce reports whether the epoch's entries were all judged by the policy
// in force; an enrolment without an epoch has none to judge.
func (s Standing) JudgedInForce() bool { return s.Epoch == nil || s.Judged == s.InForce }

// inForce is the digest of the policy in force for a row of state joined with
// policy: none and an empty one evaluate nothing (I21).
const inForce = `CASE WHEN policy.name IS NULL OR policy.empty
	THEN '` + wire.NotEvaluated + `' ELSE policy.digest END`

const selectStanding = `SELECT rev, ` + inForce + `, judged, epoch, reset_count, restart_count, boot, bank, entries, pcr, clock,
	coalesce(trusted_until, 0), coalesce(attested_at, 0), list_bytes, session, session_peer, padded, learned,
	EXISTS (SELECT 1 FROM boot_log WHERE boot_log.enrolment = state.enrolment AND boot_log.epoch = state.epoch),
	` + decisive + ` + ` + waiting + `, coalesce(severity_at, 0), ` + platform + `
	FROM state LEFT JOIN policy ON policy.name = state.policy LEFT JOIN boot_policy ON boot_policy.name = state.boot_policy WHERE state.enrolment = ?`

// Standing returns the state of an enrolment, or ErrNotFound if it has ended.
func (s *Store) Standing(ctx context.Context, e Enrolment) (Standing, error) {
	return scanStanding(s.db.Read().QueryRowContext(ctx, selectStanding, e.ID), e)
}

func scanStanding(row *sql.Row, e Enrolment) (Standing, error) {
	st := Standing{Standing: appraise.Standing{Enrolment: e.ID, AgentID: e.Agent, AK: e.AK}}
	var reset, restart, bank, entries, clock sql.NullInt64
	var boot, value, learned []byte
	var padded bool
	var until, attested, raised int64
	err := row.Scan(append([]any{&st.Revision, &st.InForce, &st.Judged, &st.EpochID, &reset, &restart, &boot, &bank, &entries, &value, &clock,
		&until, &attested, &st.Bytes, &st.Session, &st.SessionPeer, &padded, &learned, &st.HaveBoot, &st.Failures, &raised}, st.columns()...)...)
	if err != nil {
		return st, notFound(err)
	}
	st.TrustedUntil, st.AttestedAt = fromMillis(until), fromMillis(attested)
	if raised > 0 {
		st.RaisedAt = fromMillis(raised)
	}
	if st.EpochID == nil {
		return st, nil
	}
	if len(boot) != 32 {
		return st, fmt.Errorf("state of %s: boot digest of %d bytes", e.Agent, len(boot))
	}
	st.Epoch = &epoch.Epoch{
		Counters: wire.BootCounters{Reset: uint32(reset.Int64), Restart: uint32(restart.Int64)},
		Boot:     [32]byte(boot),
		AKName:   e.AK.Name(),
	}
	st.Clock = uint64(clock.Int64)
	if st.Resume, err = ima.ResumeState(pcr.Bank(bank.Int64), uint64(entries.Int64), value); err != nil {
		return st, fmt.Errorf("state of %s: %w", e.Agent, err)
	}
	if padded {
		st.Resume = st.Resume.Pad()
	}
	if st.Learned, err = appraise.ParseLearned(learned); err != nil {
		return st, fmt.Errorf("state of %s: %w", e.Agent, err)
	}
	return st, nil
}
