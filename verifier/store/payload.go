package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"quicklime/wire"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
	"quicklime/wire/sqlite"
)

// ErrFull says that there is no more room for payloads.
var ErrFull = fmt.Errorf("no room")

// Payload is one that a session offers to its agent.
type Payload struct {
	ID      int64
	Name    string
	Version uint64
	Size    uint64 // of the ciphertext
	Offer   wire.Offer
}

// Payloads returns what is offered to an enrolment's agent: of each name the newest
// complete version, unless it was withdrawn. ever reports whether there has been
// any, so that the agent may hold one that is withdrawn.
func (s *Store) Payloads(ctx context.Context, e Enrolment) (offered []Payload, ever bool, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT id, name, version, size, manifest, object, secret, complete AND withdrawn_at IS NULL
		FROM payload WHERE enrolment = ? ORDER BY name, version`, e.ID)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var p Payload
		var offer bool
		if err := rows.Scan(&p.ID, &p.Name, &p.Version, &p.Size, &p.Offer.Manifest, &p.Offer.Object, &p.Offer.Secret, &offer); err != nil {
			return nil, false, err
		}
		ever = true
		if offer {
			offered = append(offered, p)
		}
	}
	if err := rows.Err(); err != nil || ever {
		return offered, ever, err
	}
	floor, err := payloadFloor(s.db.Read().QueryRowContext(ctx, selectFloor, e.ID))
	return nil, floor > 0, err
}

// PayloadPart returns ciphertext from offset on: at most max bytes, and as few as
// the stored part has left. It is empty behind the end, and of a payload that has
// been withdrawn.
func (s *Store) PayloadPart(ctx context.Context, id int64, offset, max uint64) ([]byte, error) {
	var b []byte
	row := s.db.Read().QueryRowContext(ctx, `SELECT substr(bytes, ?, ?) FROM payload_part WHERE payload = ? AND number = ?`,
		int64(offset%partSize)+1, int64(max), id, int64(offset/partSize))
	err := row.Scan(&b)
	if err == sql.ErrNoRows {
		return nil, nil
	}
	return b, err
}

// enrolmentOf returns the enrolment in force of an agent, or ErrNotFound.
func enrolmentOf(tx *sql.Tx, agent string) (id int64, err error) {
	err = tx.QueryRow(`SELECT id FROM enrolment WHERE agent = ?`, agent).Scan(&id)
	return id, notFound(err)
}

// AddPayload begins a version of a payload for m.Agent, whose ciphertext comes with
// WritePayload. The same again changes nothing, so that an upload can be resumed.
// The error is ErrNotFound if the agent is not enrolled, ErrConflict if this version
// or a newer one is there and is not the same, ErrFull if the agent or the verifier
// has too much.
func (s *Store) AddPayload(ctx context.Context, m payload.Manifest, up rest.PayloadUpload) error {
	return s.changePayload(ctx, m.Agent, func(tx *sql.Tx, now time.Time) error {
		e, err := enrolmentOf(tx, m.Agent)
		if err != nil {
			return err
		}
		var newest int64
		var same bool
		err = tx.QueryRow(`SELECT version, manifest = ? AND object = ? AND secret = ? AND share IS ? FROM payload
			WHERE enrolment = ? AND name = ? ORDER BY version DESC LIMIT 1`, up.Manifest, up.Object, up.Secret, up.Share, e, m.Name).Scan(&newest, &same)
		switch {
		case err == nil && newest == int64(m.Version) && same:
			return nil
		case err == nil && newest >= int64(m.Version):
			return ErrConflict
		case err != nil && err != sql.ErrNoRows:
			return err
		}
		if floor, err := payloadFloor(tx.QueryRow(selectFloor, e)); err != nil || m.Version <= floor {
			return errors.Join(err, ErrConflict)
		}
		// One that never became complete makes place for the next.
		if _, err := tx.Exec(`DELETE FROM payload WHERE enrolment = ? AND name = ? AND NOT complete AND withdrawn_at IS NULL`, e, m.Name); err != nil {
			return err
		}
		if err := roomForPayload(tx, e, m); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO payload (enrolment, name, version, manifest, object, secret, share, size, expires_at, added_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, e, m.Name, int64(m.Version), up.Manifest, up.Object, up.Secret, up.Share,
			int64(m.SealedSize()), millis(m.Expires), millis(now))
		return err
	})
}

// roomForPayload refuses a payload beyond the limits, with ErrFull.
func roomForPayload(tx *sql.Tx, e int64, m payload.Manifest) error {
	var names, size, all int64
	err := tx.QueryRow(`SELECT count(DISTINCT name), coalesce(sum(size), 0) FROM payload WHERE enrolment = ? AND withdrawn_at IS NULL AND name != ?`, e, m.Name).Scan(&names, &size)
	if err != nil {
		return err
	}
	if err := tx.QueryRow(`SELECT coalesce(sum(size), 0) FROM payload WHERE withdrawn_at IS NULL`).Scan(&all); err != nil {
		return err
	}
	switch sealed := int64(m.SealedSize()); {
	case names >= wire.MaxPayloads:
		return fmt.Errorf("%w: the agent has %d payloads, the most there may be", ErrFull, names)
	case size+sealed > maxAgentPayloads:
		return fmt.Errorf("%w: with this one the agent's payloads have more than %d bytes", ErrFull, int64(maxAgentPayloads))
	case all+sealed > maxAllPayloads:
		return fmt.Errorf("%w: with this one all payloads have more than %d bytes", ErrFull, int64(maxAllPayloads))
	}
	return nil
}

// WithdrawPayload withdraws every version of an agent's payload: V and ciphertext
// are forgotten, and what is left says so. The error is ErrNotFound if there is
// none.
func (s *Store) WithdrawPayload(ctx context.Context, agent, name string) error {
	return s.changePayload(ctx, agent, func(tx *sql.Tx, now time.Time) error {
		e, err := enrolmentOf(tx, agent)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM payload WHERE enrolment = ?1 AND name = ?2
			AND version < (SELECT max(version) FROM payload WHERE enrolment = ?1 AND name = ?2)`, e, name); err != nil {
			return err
		}
		var id int64
		err = tx.QueryRow(`UPDATE payload SET rev = rev + 1, withdrawn_at = ?, share = NULL, received = 0, complete = 0
			WHERE enrolment = ? AND name = ? AND withdrawn_at IS NULL RETURNING id`, millis(now), e, name).Scan(&id)
		if err != nil {
			return notFound(err)
		}
		if _, err = tx.Exec(`DELETE FROM payload_part WHERE payload = ?`, id); err != nil {
			return err
		}
		return forgetPayloads(tx, `enrolment = ?1 AND id NOT IN
			(SELECT id FROM payload WHERE enrolment = ?1 AND withdrawn_at IS NOT NULL ORDER BY withdrawn_at DESC, id DESC LIMIT ?2)`, e, maxWithdrawn)
	})
}

// changePayload runs change and tells whoever waits for the agent's record.
func (s *Store) changePayload(ctx context.Context, agent string, change func(tx *sql.Tx, now time.Time) error) error {
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		return change(tx, now)
	})
	if err == nil {
		s.changes.announce(agent)
	}
	return err
}
