package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

const selectAgent = `SELECT agent, label, rev, enrolled_at, lowest_bank, coalesce(policy.name, ''), coalesce(policy.signers, ''), ` + inForce + `, judged,
	epoch, reset_count, restart_count, entries, bank, epoch_at,
	trusted_until, trusted_for, attested_at, nonce_at, trigger, first_entry, new_entries, replay_nanos, clock, firmware,
	cleared_count, cleared_at, rejected_at, rejected_id, rejected_message, rejected_count,
	` + decisive + `, ` + tolerated + `, ` + waiting + `, severity, severity_at,
	coalesce(boot_policy.name, ''), coalesce(boot_policy.signers, ''), ` + platform + `
	FROM enrolment JOIN state ON state.enrolment = enrolment.id LEFT JOIN policy ON policy.name = state.policy
	LEFT JOIN boot_policy ON boot_policy.name = state.boot_policy`

// Agent returns an agent as it stands now, without its failures, or ErrNotFound.
func (s *Store) Agent(ctx context.Context, id string) (rest.Agent, error) {
	now, err := s.Now(ctx)
	if err != nil {
		return rest.Agent{}, err
	}
	a, err := s.scanAgent(s.db.Read().QueryRowContext(ctx, selectAgent+` WHERE agent = ?`, id), now)
	return a, notFound(err)
}

// Agents returns every agent by id, without its failures. A row that cannot be
// read is counted and left out (I10).
func (s *Store) Agents(ctx context.Context) (rest.AgentList, error) {
	list := rest.AgentList{Agents: []rest.Agent{}} // an empty list is none in JSON, not null
	now, err := s.Now(ctx)
	if err != nil {
		return list, err
	}
	rows, err := s.db.Read().QueryContext(ctx, selectAgent+` ORDER BY agent`)
	if err != nil {
		return list, err
	}
	defer rows.Close()
	for rows.Next() {
		a, err := s.scanAgent(rows, now)
		if err != nil {
			list.Unreadable++
			continue
		}
		a.TPMPolicy = ""
		list.Agents = append(list.Agents, a)
	}
	return list, rows.Err()
}

// agentRow is what a row says before trust is computed.
type agentRow struct {
	rest.Agent
	policy, inForce, judged                    string
	epoch                                      []byte
	reset, restart, entries, bank, epochAt     sql.NullInt64
	until, span, attested, nonce               sql.NullInt64
	trigger, firmware, rejectedID, rejectedMsg sql.NullString
	first, added, replay, clock, rejectedAt    sql.NullInt64
	clearedAt                                  sql.NullInt64
	rejectedCount                              int64
	decisive, waiting                          int // failures and conditions that make untrusted
	severity, severityAt                       sql.NullInt64
	bootPolicy                                 string
	signers, bootSigners                       []byte // JSON; empty: there is no policy
	platform                                   Platform
}

func (s *Store) scanAgent(row interface{ Scan(...any) error }, now time.Time) (rest.Agent, error) {
	r, err := s.scanRow(row, now)
	return r.Agent, err
}

func (s *Store) scanRow(row interface{ Scan(...any) error }, now time.Time) (r agentRow, err error) {
	var enrolled int64
	var cleared int
	err = row.Scan(append([]any{&r.ID, &r.Label, &r.Revision, &enrolled, &r.LowestBank, &r.policy, &r.signers, &r.inForce, &r.judged,
		&r.epoch, &r.reset, &r.restart, &r.entries, &r.bank, &r.epochAt,
		&r.until, &r.span, &r.attested, &r.nonce, &r.trigger, &r.first, &r.added, &r.replay, &r.clock, &r.firmware,
		&cleared, &r.clearedAt, &r.rejectedAt, &r.rejectedID, &r.rejectedMsg, &r.rejectedCount,
		&r.decisive, &r.ToleratedCount, &r.waiting, &r.severity, &r.severityAt, &r.bootPolicy, &r.bootSigners}, r.platform.columns()...)...)
	if err != nil {
		return r, err
	}
	r.EnrolledAt = fromMillis(enrolled)
	if err := r.policies(); err != nil {
		return r, err
	}
	r.attestation()
	if r.rejectedAt.Valid {
		r.Rejected = &rest.Rejection{At: fromMillis(r.rejectedAt.Int64), ID: wire.FailureID(r.rejectedID.String), Message: r.rejectedMsg.String, Count: r.rejectedCount}
	}
	if r.clearedAt.Valid {
		r.Cleared = &rest.Cleared{Count: cleared, At: fromMillis(r.clearedAt.Int64)}
	}
	r.FailureCount = r.decisive + r.ToleratedCount
	if r.severity.Valid {
		r.Severity = s.severity.Name(int(r.severity.Int64))
	}
	if r.severity.Valid && r.severityAt.Valid {
		raised := fromMillis(r.severityAt.Int64)
		r.RaisedAt = &raised
	}
	r.Trust, r.Reason = r.trust(now)
	return r, nil
}

// policies fills in which policy judges what, and who signed it.
func (r *agentRow) policies() error {
	r.Policies = rest.Policies{Runtime: r.policy, Boot: wire.NotEvaluated, TPM: r.platform.PCRsInForce}
	if r.inForce == wire.NotEvaluated {
		r.Policies.Runtime = wire.NotEvaluated
	}
	if r.bootPolicy != "" {
		r.Policies.Boot, r.Policies.BootDigest = r.bootPolicy, r.platform.BootInForce
	}
	r.TPMPolicy = string(r.platform.PCRPolicy)
	return errors.Join(readSigners(r.signers, &r.Policies.RuntimeSignedBy), readSigners(r.bootSigners, &r.Policies.BootSignedBy))
}

func readSigners(text []byte, all *[]rest.Signer) error {
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, all); err != nil {
		return fmt.Errorf("signers of a policy: %w", err)
	}
	return nil
}

// attestation fills in what the last accepted evidence said.
func (r *agentRow) attestation() {
	if r.epoch == nil {
		return
	}
	r.Epoch = &rest.Epoch{
		ID: hex.EncodeToString(r.epoch), ResetCount: uint32(r.reset.Int64), RestartCount: uint32(r.restart.Int64),
		Entries: uint64(r.entries.Int64), IMABank: pcr.Bank(r.bank.Int64), StartedAt: fromMillis(r.epochAt.Int64),
	}
	r.Last = &rest.Attestation{
		At: fromMillis(r.attested.Int64), NonceIssued: fromMillis(r.nonce.Int64), Trigger: wire.Trigger(r.trigger.String),
		First: uint64(r.first.Int64), Entries: uint64(r.added.Int64), ReplayNanos: r.replay.Int64,
		Clock: uint64(r.clock.Int64), Firmware: r.firmware.String,
	}
	until := fromMillis(r.until.Int64)
	r.FreshUntil = &until
}

// trust computes the trust status at a moment, and why it is not "trusted". What
// is found stands, however old; what is good must be fresh and judged by the
// policy in force (I07, I21).
func (r *agentRow) trust(now time.Time) (wire.Trust, string) {
	switch {
	case r.decisive > 0 && r.epoch != nil && r.judged != r.inForce:
		return wire.Untrusted, standing(r.decisive) + ", found under the policy before; the list is being judged again"
	case r.decisive > 0 && r.epoch != nil && r.platform.waits() != "":
		return wire.Untrusted, standing(r.decisive) + "; " + r.platform.waits()
	case r.decisive > 0:
		return wire.Untrusted, standing(r.decisive)
	case r.epoch == nil:
		return wire.Pending, "no evidence was accepted yet"
	case r.judged != r.inForce:
		return wire.Pending, "the policy has changed and the list is being judged again"
	case r.platform.waits() != "":
		return wire.Pending, r.platform.waits()
	case r.waiting > 0:
		return wire.Untrusted, conditions(r.waiting)
	case r.until.Int64 == 0:
		return wire.Stale, "the last evidence was not accepted; trust waits for the next"
	case r.until.Int64 > now.UnixMilli()+r.span.Int64:
		return wire.Stale, "the clock was set back since the last evidence"
	case now.UnixMilli() >= r.until.Int64:
		return wire.Stale, fmt.Sprintf("no evidence in time: the last one's nonce was issued at %s", fromMillis(r.nonce.Int64).Format(time.RFC3339))
	case r.inForce == wire.NotEvaluated:
		return wire.Unjudged, "the agent has no runtime policy, so nobody judged what it runs"
	}
	return wire.Trusted, ""
}

func standing(failures int) string {
	if failures == 1 {
		return "1 standing failure"
	}
	return fmt.Sprintf("%d standing failures", failures)
}

// conditions says how many the policy waits for; the agent's status names each.
func conditions(waiting int) string {
	if waiting == 1 {
		return "1 condition is not met yet"
	}
	return fmt.Sprintf("%d conditions are not met yet", waiting)
}
