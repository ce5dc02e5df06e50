package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/fxamacker/cbor/v2"

	"quicklime/verifier/appraise"
	"quicklime/wire"
	"quicklime/wire/sqlite"
)

// Accepted is an accepted evidence on its way to disk.
type Accepted struct {
	Begun        *appraise.Begun
	Outcome      appraise.Outcome
	Entries      Sequence      // the new entries, from AddEntries
	Logs         appraise.Logs // that came
	Evidence     Evidence
	NonceIssued  time.Time
	TrustedUntil time.Time // from the nonce; never lowers what was
	Replay       time.Duration
	Opinion      Opinion
}

// Evidence is what proves the last accepted verdict: with it and the stored
// entries the whole epoch can be judged again.
type Evidence struct {
	Envelope []byte            `cbor:"1,keyasint"`
	PCRs     [][]byte          `cbor:"2,keyasint"`
	Question appraise.Question `cbor:"3,keyasint"`
}

// Commit moves the state of an enrolment to an accepted evidence, and returns the
// new state. st is the state that it was computed from: the error is ErrConflict
// if the enrolment has another one now, ErrNotFound if it has ended.
func (s *Store) Commit(ctx context.Context, e Enrolment, st Standing, a Accepted) (Standing, error) {
	return s.commit(ctx, e, st, a, func(*sql.Tx, time.Time) error { return nil })
}

// commit is Commit with what else is done in the transaction once the state has
// moved.
func (s *Store) commit(ctx context.Context, e Enrolment, st Standing, a Accepted, also func(*sql.Tx, time.Time) error) (Standing, error) {
	proof, err := cbor.Marshal(a.Evidence)
	if err != nil {
		return st, err
	}
	id := a.Begun.Epoch().ID(e.ID)
	var next Standing
	var added addition
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		if err := compareAndSwap(tx, e, st); err != nil {
			return err
		}
		if err := judgedInForce(tx, e, a.Outcome.Result); err != nil {
			return err
		}
		if err := move(tx, e, st, a, id[:], proof, now); err != nil {
			return err
		}
		if added, err = appendEntries(tx, e, a, id[:], now); err != nil {
			return err
		}
		if err := addFailures(tx, s.severity, e, id[:], a.Outcome.Result, a.Outcome.Failed, now); err != nil {
			return err
		}
		if err := replaceConditions(tx, e.ID, partList, s.severity, a.Outcome.Conditions); err != nil {
			return err
		}
		if err := opine(tx, s.severity, e, st, id[:], a.Opinion, now); err != nil {
			return err
		}
		if err := noteSeverity(tx, e.ID, now); err != nil {
			return err
		}
		if next, err = scanStanding(tx.QueryRow(selectStanding, e.ID), e); err != nil {
			return err
		}
		return also(tx, now)
	})
	if err == nil {
		s.changes.announce(e.Agent)
		s.remember(a.Entries.generation, &added)
	}
	return next, err
}

// Fail records the failures of an evidence that was not accepted, under the epoch
// in force if there is one, so that the same again is the same. The state stays
// where it was but for its revision; trust that older evidence brought ends.
func (s *Store) Fail(ctx context.Context, e Enrolment, st Standing, r wire.Result) (Standing, error) {
	id := st.EpochID
	if st.Epoch == nil {
		id = []byte{} // whatever boot the quote shows, it is the same again
	}
	return s.fail(ctx, e, st, id, r)
}

func (s *Store) fail(ctx context.Context, e Enrolment, st Standing, epoch []byte, r wire.Result) (Standing, error) {
	var next Standing
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		if err := compareAndSwap(tx, e, st); err != nil {
			return err
		}
		if err := one(tx, `UPDATE state SET trusted_until = 0 WHERE enrolment = ?`, e.ID); err != nil {
			return err
		}
		if err := addFailures(tx, s.severity, e, epoch, r, nil, now); err != nil {
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

// Reject records evidence that proved nothing.
func (s *Store) Reject(ctx context.Context, e Enrolment, id wire.FailureID, message string) error {
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		err = one(tx, `UPDATE state SET rev = rev + 1, rejected_at = ?, rejected_id = ?, rejected_message = ?,
			rejected_count = rejected_count + 1 WHERE enrolment = ?`, millis(now), id, message, e.ID)
		if err == ErrConflict {
			return ErrNotFound
		}
		return err
	})
	if err == nil {
		s.changes.announce(e.Agent)
	}
	return err
}

// compareAndSwap takes the state from the revision it was read at to the next.
func compareAndSwap(tx *sql.Tx, e Enrolment, st Standing) error {
	err := one(tx, `UPDATE state SET rev = rev + 1 WHERE enrolment = ? AND rev = ?`, e.ID, st.Revision)
	if err != ErrConflict {
		return err
	}
	var there bool
	if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM state WHERE enrolment = ?)`, e.ID).Scan(&there); err != nil {
		return err
	}
	if !there {
		return ErrNotFound
	}
	return ErrConflict
}

// judgedInForce refuses a result by another policy than the one in force, with
// ErrConflict. The revision says the same; this does not depend on everybody
// raising it.
func judgedInForce(tx *sql.Tx, e Enrolment, r wire.Result) error {
	var now string
	row := tx.QueryRow(`SELECT `+inForce+` FROM state LEFT JOIN policy ON policy.name = state.policy WHERE enrolment = ?`, e.ID)
	if err := row.Scan(&now); err != nil {
		return notFound(err)
	}
	if now != r.Runtime {
		return ErrConflict
	}
	return nil
}

func move(tx *sql.Tx, e Enrolment, st Standing, a Accepted, id, proof []byte, now time.Time) error {
	ep, q, r := a.Begun.Epoch(), a.Begun.Quote(), a.Outcome.Certified.Replayed()
	from, to := r.From(), r.To()
	until := trustedUntil(st, a, now)
	learned, err := a.Outcome.Learned.MarshalBinary()
	if err != nil {
		return err
	}
	if a.Begun.New() {
		if err := newEpoch(tx, e, id, now); err != nil {
			return err
		}
	}
	if err := keepLogs(tx, e, id, a.Logs); err != nil {
		return err
	}
	return one(tx, `UPDATE state SET judged = ?, epoch = ?, reset_count = ?, restart_count = ?, boot = ?, bank = ?, padded = ?, entries = ?, pcr = ?, learned = ?,
			clock = ?, list_bytes = ?, evidence = ?, trusted_until = ?, trusted_for = ?, attested_at = ?, nonce_at = ?, trigger = ?, first_entry = ?, new_entries = ?,
			replay_nanos = ?, firmware = ? WHERE enrolment = ?`,
		a.Outcome.Result.Runtime, id, ep.Counters.Reset, ep.Counters.Restart, ep.Boot[:], to.Bank(), to.Padded(), int64(to.Entries()), to.PCR(), learned,
		int64(q.Clock()), int64(a.Begun.Bytes()+r.Size()), proof, millis(until), a.trustedFor().Milliseconds(), millis(now), millis(a.NonceIssued), a.Begun.Trigger(), int64(from.Entries()), a.Entries.Len(),
		a.Replay.Nanoseconds(), firmware(q.Firmware()), e.ID)
}

// keepLogs keeps the boot log that came first in an epoch, and beside it the log of
// systemd's that came last: it grows.
func keepLogs(tx *sql.Tx, e Enrolment, id []byte, l appraise.Logs) error {
	if l.Boot != nil {
		if _, err := tx.Exec(`INSERT OR IGNORE INTO boot_log (enrolment, epoch, bytes) VALUES (?, ?, ?)`, e.ID, id, l.Boot); err != nil {
			return err
		}
	}
	if l.Systemd == nil {
		return nil
	}
	_, err := tx.Exec(`UPDATE boot_log SET systemd = ? WHERE enrolment = ? AND epoch = ?`, l.Systemd, e.ID, id)
	return err
}

// trustedUntil returns until when an agent is trusted after an evidence: as long
// as the newest nonce that it has answered allows, and never further ahead than
// any nonce could, should the clock have been set back.
func trustedUntil(st Standing, a Accepted, now time.Time) time.Time {
	until := a.TrustedUntil
	if st.TrustedUntil.After(until) {
		until = st.TrustedUntil
	}
	if last := now.Add(a.trustedFor()); until.After(last) {
		until = last
	}
	return until
}

// trustedFor is T.
func (a Accepted) trustedFor() time.Duration { return a.TrustedUntil.Sub(a.NonceIssued) }
