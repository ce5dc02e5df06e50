package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"quicklime/registrar/credential"
	"quicklime/registrar/ekcert"
	"quicklime/wire"
	"quicklime/wire/sqlite"
)

// Registration is a registration whose keys were proven.
type Registration struct {
	Keys        credential.Proven
	Endorsement ekcert.Endorsement // zero: the EK has no certificate that counts
	Label       string             // what the machine calls itself
	TokenID     string             // empty: no token
	TokenSecret []byte
}

// Register records a registration in one transaction:
//
//   - a TPM that is not known needs a valid token, which is used up;
//   - the keys in force again: nothing but the time changes, and no token is
//     needed. A valid one is used up and becomes the one that binds the machine;
//   - other keys under a known EK need a valid token too, which is used up. They
//     are recorded and counted, and not in force (I11). To repeat such a
//     registration with the same keys, its own token is good enough.
//
// A token's label, if it has one, becomes the machine's. The error is ErrToken,
// or the database's; then nothing has changed.
func (s *Store) Register(ctx context.Context, r Registration) (out wire.Outcome, err error) {
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		out, err = registration{r, tx, now, r.Keys.ID()}.run()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("register %s: %w", r.Keys.ID(), err)
	}
	return out, nil
}

// registration is a Registration in its transaction.
type registration struct {
	Registration
	tx  *sql.Tx
	now time.Time
	id  string
}

func (r registration) run() (wire.Outcome, error) {
	in, err := keysInForce(r.tx, r.id)
	switch {
	case errors.Is(err, ErrNotFound):
		return wire.OutcomeNew, r.insert()
	case err != nil:
		return "", err
	}
	if err := r.endorse(); err != nil {
		return "", err
	}
	if in.equal(r.keys()) {
		return wire.OutcomeSame, r.again()
	}
	return wire.OutcomeOtherKeys, r.offer()
}

// keys is a pair of an AK and a transport key, as TPMT_PUBLIC.
type keys struct{ ak, transport []byte }

func (k keys) equal(o keys) bool {
	return bytes.Equal(k.ak, o.ak) && bytes.Equal(k.transport, o.transport)
}

func (r registration) keys() keys {
	return keys{r.Keys.AK().Bytes(), r.Keys.Transport().Bytes()}
}

// keysInForce returns the keys in force of a machine, or ErrNotFound.
func keysInForce(q querier, id string) (k keys, err error) {
	err = q.QueryRow("SELECT ak_public, transport_public FROM machines WHERE id = ?", id).Scan(&k.ak, &k.transport)
	if errors.Is(err, sql.ErrNoRows) {
		return k, ErrNotFound
	}
	return k, err
}

func (r registration) insert() error {
	label, err := spend(r.tx, r.now, r.TokenID, r.TokenSecret, r.id)
	if err != nil {
		return err
	}
	if label == "" {
		label = r.Label
	}
	k, now := r.keys(), r.now.UnixMilli()
	_, err = r.tx.Exec(`INSERT INTO machines
		(id, label, ek_public, ek_certificate, ek_vendor, ak_public, transport_public, token_id, registered_at, seen_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.id, label, r.Keys.EK().Bytes(), r.Endorsement.Certificate(), r.Endorsement.Vendor(), k.ak, k.transport, r.TokenID, now, now)
	return err
}

// endorse keeps the certificate of a known EK: anchors and certificates may have
// come since it was registered. What was once trusted stays.
func (r registration) endorse() error {
	if !r.Endorsement.Trusted() {
		return nil
	}
	_, err := r.tx.Exec("UPDATE machines SET ek_certificate = ?, ek_vendor = ? WHERE id = ?",
		r.Endorsement.Certificate(), r.Endorsement.Vendor(), r.id)
	return err
}

// again records that the machine was seen with the keys in force.
func (r registration) again() error {
	_, err := r.tx.Exec("UPDATE machines SET seen_at = ? WHERE id = ?", r.now.UnixMilli(), r.id)
	if err != nil {
		return err
	}
	label, err := spend(r.tx, r.now, r.TokenID, r.TokenSecret, r.id)
	if errors.Is(err, ErrToken) {
		return nil // the keys are enough
	}
	if err != nil {
		return err
	}
	_, err = r.tx.Exec("UPDATE machines SET token_id = ?, label = iif(? = '', label, ?) WHERE id = ?", r.TokenID, label, label, r.id)
	return err
}

// offer records keys that are not in force.
func (r registration) offer() error {
	repeated, err := r.repeated()
	if err != nil {
		return err
	}
	if !repeated {
		if _, err := spend(r.tx, r.now, r.TokenID, r.TokenSecret, r.id); err != nil {
			return err
		}
	}
	k := r.keys()
	_, err = r.tx.Exec(`INSERT INTO offered_keys (machine_id, ak_public, transport_public, token_id, count, seen_at)
		VALUES (?, ?, ?, ?, 1, ?)
		ON CONFLICT (machine_id) DO UPDATE SET ak_public = excluded.ak_public, transport_public = excluded.transport_public,
			token_id = excluded.token_id, count = count + 1, seen_at = excluded.seen_at`,
		r.id, k.ak, k.transport, r.TokenID, r.now.UnixMilli())
	return err
}

// repeated reports whether the machine offers these very keys already, under
// this very token.
func (r registration) repeated() (bool, error) {
	var offered keys
	err := r.tx.QueryRow(`SELECT o.ak_public, o.transport_public FROM offered_keys o JOIN join_tokens t ON t.id = o.token_id
		WHERE o.machine_id = ? AND t.id = ? AND t.secret_hash = ? AND t.used_by = o.machine_id`,
		r.id, r.TokenID, hashOf(r.TokenSecret)).Scan(&offered.ak, &offered.transport)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return offered.equal(r.keys()), err
}
