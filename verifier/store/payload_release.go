package store

import (
	"bytes"
	"context"
	"database/sql"
	"time"

	"quicklime/wire"
	"quicklime/wire/payload"
)

// Asked is an agent's wish for the verifier's share of a payload's key.
type Asked struct {
	Payload int64
	Epoch   []byte    // of the agent, when it asked
	At      time.Time // by the database's clock
}

// CommitAsked is Commit of evidence that may also have shares released: those that
// the agent asked for before the nonce of the evidence was issued, in the epoch that
// the evidence shows, and only if it makes the agent trusted as everybody is told
// from now on (I27). That is decided and recorded in the transaction of the verdict.
func (s *Store) CommitAsked(ctx context.Context, e Enrolment, st Standing, a Accepted, asked []Asked) (next Standing, released []wire.Release, err error) {
	next, err = s.commit(ctx, e, st, a, func(tx *sql.Tx, now time.Time) error {
		released, err = s.release(tx, e, a, asked, now)
		return err
	})
	if err != nil {
		return next, nil, err
	}
	return next, released, nil
}

func (s *Store) release(tx *sql.Tx, e Enrolment, a Accepted, asked []Asked, now time.Time) (released []wire.Release, err error) {
	if len(asked) == 0 {
		return nil, nil
	}
	agent, err := s.scanAgent(tx.QueryRow(selectAgent+` WHERE enrolment.id = ?`, e.ID), now)
	if err != nil {
		return nil, err
	}
	if agent.Trust != wire.Trusted {
		return nil, nil
	}
	epoch := a.Begun.Epoch().ID(e.ID)
	for _, ask := range asked {
		if !bytes.Equal(ask.Epoch, epoch[:]) || a.NonceIssued.Before(ask.At) {
			continue
		}
		r, err := releaseOne(tx, e, ask, now)
		if err == sql.ErrNoRows {
			continue // it has been withdrawn, replaced or has expired
		}
		if err != nil {
			return nil, err
		}
		released = append(released, r)
	}
	return released, nil
}

func releaseOne(tx *sql.Tx, e Enrolment, ask Asked, now time.Time) (r wire.Release, err error) {
	var share []byte
	row := tx.QueryRow(`UPDATE payload SET rev = rev + 1, released_at = ?1, released_count = released_count + 1
		WHERE id = ?2 AND enrolment = ?3 AND complete AND withdrawn_at IS NULL AND expires_at > ?1 RETURNING name, version, share`, millis(now), ask.Payload, e.ID)
	if err := row.Scan(&r.Name, &r.Version, &share); err != nil {
		return r, err
	}
	copy(r.Share[:], share)
	return r, nil
}

// ReceiptKept reports whether a receipt is the last that the agent said of its payload:
// to keep it again would change nothing.
func (s *Store) ReceiptKept(ctx context.Context, e Enrolment, o payload.Outcome, receipt []byte) (kept bool, err error) {
	row := s.db.Read().QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM payload
		WHERE enrolment = ? AND name = ? AND version = ? AND receipt = ? AND refused_at IS NULL)`, e.ID, o.Name, int64(o.Version), receipt)
	return kept, row.Scan(&kept)
}

// KeepReceipt keeps what an agent says became of its payload. One about another
// version than there is, is ErrNotFound.
func (s *Store) KeepReceipt(ctx context.Context, e Enrolment, receipt []byte) error {
	o, err := payload.ReadReceipt(receipt)
	if err != nil {
		return err
	}
	return s.aboutPayload(ctx, e, `receipt = ?, receipt_at = ?, refused_at = NULL, refused_reason = NULL`, o.Name, o.Version, receipt)
}

// KeepRefusal keeps why an agent did not open its payload. One about another version
// than there is, is ErrNotFound.
func (s *Store) KeepRefusal(ctx context.Context, e Enrolment, r wire.PayloadRefusal) error {
	return s.aboutPayload(ctx, e, `refused_reason = ?, refused_at = ?`, r.Name, r.Version, r.Reason)
}

// aboutPayload sets what an agent says of a version, and when.
func (s *Store) aboutPayload(ctx context.Context, e Enrolment, set, name string, version uint64, what any) error {
	return s.changePayload(ctx, e.Agent, func(tx *sql.Tx, now time.Time) error {
		err := one(tx, `UPDATE payload SET rev = rev + 1, `+set+` WHERE enrolment = ? AND name = ? AND version = ?`,
			what, millis(now), e.ID, name, int64(version))
		if err == ErrConflict {
			return ErrNotFound
		}
		return err
	})
}
