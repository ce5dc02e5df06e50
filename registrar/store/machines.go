package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"quicklime/wire"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
)

// selectMachine reads what readMachine reads.
const selectMachine = `SELECT m.id, m.label, m.ek_public, m.ek_certificate, m.ek_vendor, m.ak_public, m.transport_public,
	m.token_id, m.registered_at, m.seen_at, o.ak_public, o.transport_public, o.token_id, o.count, o.seen_at
	FROM machines m LEFT JOIN offered_keys o ON o.machine_id = m.id`

// Machines lists the machines, by label.
func (s *Store) Machines(ctx context.Context) (Listing[rest.Machine], error) {
	l, err := list(ctx, s.db.Read(), readMachine, selectMachine+" ORDER BY m.label, m.id")
	if err != nil {
		return l, fmt.Errorf("machines: %w", err)
	}
	return l, nil
}

// Machine returns one machine, or ErrNotFound.
func (s *Store) Machine(ctx context.Context, id string) (rest.Machine, error) {
	m, err := readMachine(s.db.Read().QueryRowContext(ctx, selectMachine+" WHERE m.id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return rest.Machine{}, ErrNotFound
	}
	if err != nil {
		return rest.Machine{}, fmt.Errorf("machine %s: %w", id, err)
	}
	return m, nil
}

// Delete forgets a machine, or returns ErrNotFound. Its token stays used.
func (s *Store) Delete(ctx context.Context, id string) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		res, err := tx.Exec("DELETE FROM machines WHERE id = ?", id)
		if err != nil {
			return fmt.Errorf("delete machine %s: %w", id, err)
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return ErrNotFound
	})
}

// AcceptKeys puts the keys in force that the machine offers, if their rest.KeysHash
// is hash: the operator accepts what he looked at, not what came since. To
// accept keys that are in force changes nothing. The error is ErrNotFound or
// ErrKeysChanged, or the database's.
func (s *Store) AcceptKeys(ctx context.Context, id, hash string) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		in, err := keysInForce(tx, id)
		if err != nil {
			return err
		}
		if rest.KeysHash(in.ak, in.transport) == hash {
			return nil
		}
		var offered keys
		err = tx.QueryRow("SELECT ak_public, transport_public FROM offered_keys WHERE machine_id = ?", id).Scan(&offered.ak, &offered.transport)
		if errors.Is(err, sql.ErrNoRows) || err == nil && rest.KeysHash(offered.ak, offered.transport) != hash {
			return ErrKeysChanged
		}
		if err != nil {
			return err
		}
		return promote(tx, id)
	})
}

// promote puts the offered keys of a machine in force.
func promote(tx *sql.Tx, id string) error {
	_, err := tx.Exec(`UPDATE machines SET (ak_public, transport_public, token_id) =
		(SELECT ak_public, transport_public, token_id FROM offered_keys WHERE machine_id = id) WHERE id = ?`, id)
	if err != nil {
		return err
	}
	_, err = tx.Exec("DELETE FROM offered_keys WHERE machine_id = ?", id)
	return err
}

// readMachine reads a row of selectMachine and checks that it holds together.
func readMachine(r row) (m rest.Machine, err error) {
	var registered, seen int64
	var o offeredColumns
	err = r.Scan(&m.ID, &m.Label, &m.EKPublic, &m.EKCertificate, &m.EKVendor, &m.AKPublic, &m.Transport,
		&m.TokenID, &registered, &seen, &o.ak, &o.transport, &o.token, &o.count, &o.seen)
	if err != nil {
		return rest.Machine{}, err
	}
	var errRegistered, errSeen, errOffered error
	m.RegisteredAt, errRegistered = millis(registered)
	m.SeenAt, errSeen = millis(seen)
	m.Offered, errOffered = o.read()
	m.EKTrusted = m.EKCertificate != nil
	if err := errors.Join(checkMachine(m), errRegistered, errSeen, errOffered); err != nil {
		return rest.Machine{}, fmt.Errorf("%q does not hold together: %w", m.ID, err)
	}
	return m, nil
}

func checkMachine(m rest.Machine) error {
	ek, err := tpm.ParsePublic(m.EKPublic)
	if err != nil {
		return fmt.Errorf("EK: %w", err)
	}
	if ek.AgentID() != m.ID {
		return fmt.Errorf("it has the EK of %s", ek.AgentID())
	}
	if !wire.Printable(m.Label, wire.MaxLabel) || !wire.Printable(m.EKVendor, wire.MaxLabel) || !wire.ValidTokenID(m.TokenID) {
		return errors.New("label, vendor or token id")
	}
	return checkKeys(m.AKPublic, m.Transport)
}

func checkKeys(ak, transport []byte) error {
	if _, err := tpm.ParsePublic(ak); err != nil {
		return fmt.Errorf("AK: %w", err)
	}
	if _, err := tpm.ParsePublic(transport); err != nil {
		return fmt.Errorf("transport key: %w", err)
	}
	return nil
}

// offeredColumns are the columns of offered_keys, NULL if there is no row.
type offeredColumns struct {
	ak, transport []byte
	token         sql.Null[string]
	count, seen   sql.Null[int64]
}

// read returns the keys that are offered, nil if none are.
func (o offeredColumns) read() (*rest.Offered, error) {
	if !o.count.Valid {
		return nil, nil
	}
	seen, err := millis(o.seen.V)
	if err := errors.Join(err, checkKeys(o.ak, o.transport)); err != nil {
		return nil, fmt.Errorf("offered: %w", err)
	}
	return &rest.Offered{AKPublic: o.ak, Transport: o.transport, TokenID: o.token.V, Count: int(o.count.V), SeenAt: seen}, nil
}
