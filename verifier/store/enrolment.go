package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/sqlite"
	"quicklime/wire/tpm"
)

// Enrolment is the immutable record of one enrolment.
type Enrolment struct {
	ID         int64
	Agent      string
	AK         tpm.Public
	SPKI       [32]byte // SHA-256 of the transport key's SubjectPublicKeyInfo
	LowestBank pcr.Bank
}

// BySPKI returns the enrolment that pins a transport key, or ErrNotFound.
func (s *Store) BySPKI(ctx context.Context, spki [32]byte) (Enrolment, error) {
	e := Enrolment{SPKI: spki}
	var ak []byte
	row := s.db.Read().QueryRowContext(ctx, `SELECT id, agent, ak, lowest_bank FROM enrolment WHERE spki = ?`, spki[:])
	if err := row.Scan(&e.ID, &e.Agent, &ak, &e.LowestBank); err != nil {
		return e, notFound(err)
	}
	var err error
	if e.AK, err = tpm.ParsePublic(ak); err != nil {
		return e, fmt.Errorf("enrolment of %s: AK: %w", e.Agent, err)
	}
	return e, nil
}

// ByAgent returns the enrolment of an agent, or ErrNotFound.
func (s *Store) ByAgent(ctx context.Context, agent string) (Enrolment, error) {
	var spki []byte
	row := s.db.Read().QueryRowContext(ctx, `SELECT spki FROM enrolment WHERE agent = ?`, agent)
	if err := row.Scan(&spki); err != nil || len(spki) != 32 {
		return Enrolment{}, notFound(err)
	}
	return s.BySPKI(ctx, [32]byte(spki))
}

// Enrol begins an enrolment. The error is ErrConflict if the agent or the
// transport key is enrolled already, ErrNotFound if there is no such policy.
func (s *Store) Enrol(ctx context.Context, e rest.Enrolment) error {
	spki, err := transportHash(e.Transport)
	if err != nil {
		return err
	}
	if err := s.db.Write(ctx, func(tx *sql.Tx) error { return enrol(tx, e, spki) }); err != nil {
		return err
	}
	s.changes.announce(e.ID)
	s.changes.announce(string(spki[:]))
	return nil
}

// Rebind ends the agent's enrolment, whose id it returns, and begins another with
// other keys, at once. The errors are those of Enrol; ErrNotFound also if the agent is not enrolled,
// and ErrConflict if the keys are those of the enrolment in force.
func (s *Store) Rebind(ctx context.Context, e rest.Enrolment) (ended int64, err error) {
	spki, err := transportHash(e.Transport)
	if err != nil {
		return 0, err
	}
	var old []byte
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		var same bool
		row := tx.QueryRow(`SELECT id, spki, ak = ? AND transport = ? FROM enrolment WHERE agent = ?`, e.AKPublic, e.Transport, e.ID)
		if err := row.Scan(&ended, &old, &same); err != nil {
			return notFound(err)
		}
		if same {
			return ErrConflict
		}
		if err := one(tx, `DELETE FROM enrolment WHERE agent = ?`, e.ID); err != nil {
			return err
		}
		return enrol(tx, e, spki)
	})
	if err != nil {
		return 0, err
	}
	s.changes.announce(e.ID)
	s.changes.announce(string(old))
	s.changes.announce(string(spki[:]))
	return ended, nil
}

// Delete ends an agent's enrolment, whose id it returns, and forgets what is
// known of it, or returns ErrNotFound.
func (s *Store) Delete(ctx context.Context, agent string) (ended int64, err error) {
	var spki []byte
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		return notFound(tx.QueryRow(`DELETE FROM enrolment WHERE agent = ? RETURNING id, spki`, agent).Scan(&ended, &spki))
	})
	if err != nil {
		return 0, err
	}
	s.changes.announce(agent)
	s.changes.announce(string(spki))
	return ended, nil
}

func enrol(tx *sql.Tx, e rest.Enrolment, spki [32]byte) error {
	now, err := sqlite.Now(tx)
	if err != nil {
		return err
	}
	var id int64
	row := tx.QueryRow(`INSERT INTO enrolment (agent, ek, ak, transport, spki, lowest_bank, enrolled_at)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
		e.ID, e.EKPublic, e.AKPublic, e.Transport, spki[:], e.LowestBank, millis(now))
	if err := row.Scan(&id); err == sql.ErrNoRows {
		return ErrConflict
	} else if err != nil {
		return err
	}
	pcrs, digest := tpmPolicy(string(e.TPMPolicy))
	_, err = tx.Exec(`INSERT INTO state (enrolment, label, policy, boot_policy, pcr_policy, pcr_digest) VALUES (?, ?, nullif(?, ''), nullif(?, ''), ?, ?)`,
		id, e.Label, e.Policy, e.BootPolicy, pcrs, digest)
	return foreignKey(err)
}

// Update changes the label or the policies of an agent; nil leaves as it is, and
// the empty policy is none. The error is ErrNotFound for an unknown agent or
// policy.
func (s *Store) Update(ctx context.Context, agent string, u rest.AgentUpdate) error {
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		err := one(tx, `UPDATE state SET rev = rev + 1, label = coalesce(?1, label),
				policy = CASE WHEN ?2 IS NULL THEN policy ELSE nullif(?2, '') END,
				boot_policy = CASE WHEN ?3 IS NULL THEN boot_policy ELSE nullif(?3, '') END
			WHERE enrolment = (SELECT id FROM enrolment WHERE agent = ?4)`, u.Label, u.Policy, u.BootPolicy, agent)
		if err == ErrConflict {
			return ErrNotFound
		}
		if err == nil && u.TPMPolicy != nil {
			pcrs, digest := tpmPolicy(string(*u.TPMPolicy))
			err = one(tx, `UPDATE state SET pcr_policy = ?, pcr_digest = ? WHERE enrolment = (SELECT id FROM enrolment WHERE agent = ?)`, pcrs, digest, agent)
		}
		return foreignKey(err)
	})
	if err == nil {
		s.changes.announce(agent)
	}
	return err
}

// foreignKey turns a reference to a policy that is not there into ErrNotFound.
func foreignKey(err error) error {
	if err != nil && strings.Contains(err.Error(), "FOREIGN KEY constraint failed") {
		return ErrNotFound
	}
	return err
}

func transportHash(area []byte) ([32]byte, error) {
	p, err := tpm.ParsePublic(area)
	if err != nil {
		return [32]byte{}, fmt.Errorf("transport key: %w", err)
	}
	return tpm.SPKIHash(p.Key())
}
