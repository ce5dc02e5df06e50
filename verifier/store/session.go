package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"

	"quicklime/wire"
)

// Establish records that the agent has sent evidence in a session, and from where.
// Of two sessions the one with the larger number stays.
func (s *Store) Establish(ctx context.Context, e Enrolment, number uint64, peer string) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE state SET rev = rev + 1, session = ?2, session_peer = ?3 WHERE enrolment = ?1 AND session < ?2`,
			e.ID, int64(number), peer)
		return err
	})
}

// Peers returns from where agents sent evidence last, by the SHA-256 of their
// transport key's SubjectPublicKeyInfo. A row that does not say is left out (I10).
func (s *Store) Peers(ctx context.Context) (map[[32]byte]netip.AddrPort, error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT spki, session_peer FROM state JOIN enrolment ON enrolment.id = enrolment`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[[32]byte]netip.AddrPort{}
	for rows.Next() {
		var spki []byte
		var peer string
		if err := rows.Scan(&spki, &peer); err != nil {
			return nil, err
		}
		if a, err := netip.ParseAddrPort(peer); err == nil && len(spki) == 32 {
			all[[32]byte(spki)] = a
		}
	}
	return all, rows.Err()
}

// Duplicate records that an agent went on from an older session than st.Session:
// another with the same TPM has attested meanwhile. It returns the new state. The
// error is ErrConflict if st is not the state now, ErrNotFound if the enrolment
// has ended.
func (s *Store) Duplicate(ctx context.Context, e Enrolment, st Standing, peer string) (Standing, error) {
	var r wire.Result
	r.Fail(wire.Failure{
		ID:      wire.IdentityDuplicate,
		Message: fmt.Sprintf("two agents with this TPM take turns: one at %s, one at %s", st.SessionPeer, peer),
		Hint:    "look for a cloned or restored virtual machine, or a second quicklime-agent on the machine; stop it, then enrol the machine anew",
	})
	epoch := st.EpochID
	if epoch == nil {
		epoch = []byte{} // no boot was accepted yet
	}
	return s.fail(ctx, e, st, epoch, r)
}
