package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"time"

	"quicklime/wire/payload"
)

// ErrContent says that a ciphertext is not the one that the manifest is about.
var ErrContent = fmt.Errorf("another ciphertext than the manifest's")

// WritePayload adds what it reads from r, at most to the end of the ciphertext, to
// one that has offset bytes so far, and returns how many it has then: what came
// before an error stays. The error is ErrNotFound if nobody began this version,
// ErrConflict if another number of bytes is there, and ErrContent if all of them
// came and have another digest; then they are forgotten.
func (s *Store) WritePayload(ctx context.Context, agent, name string, version, offset uint64, r io.Reader) (received uint64, err error) {
	up, err := s.upload(ctx, agent, name, version)
	switch {
	case err != nil:
		return 0, err
	case up.received != offset:
		return up.received, ErrConflict
	}
	part := make([]byte, partSize)
	for up.received < up.size {
		room := min(partSize-up.received%partSize, up.size-up.received)
		n, err := io.ReadFull(r, part[:room])
		if n > 0 {
			if err := s.writePart(ctx, &up, part[:n]); err != nil {
				return up.received, err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return up.received, nil
		}
		if err != nil {
			return up.received, err
		}
	}
	return up.received, s.completePayload(ctx, up)
}

// upload is a payload on its way here.
type upload struct {
	id             int64
	agent          string
	size, received uint64
	manifest       payload.Manifest
}

func (s *Store) upload(ctx context.Context, agent, name string, version uint64) (up upload, err error) {
	up.agent = agent
	var manifest []byte
	row := s.db.Read().QueryRowContext(ctx, `SELECT payload.id, size, received, manifest FROM payload JOIN enrolment ON enrolment.id = enrolment
		WHERE agent = ? AND name = ? AND version = ? AND withdrawn_at IS NULL`, agent, name, int64(version))
	if err := row.Scan(&up.id, &up.size, &up.received, &manifest); err != nil {
		return up, notFound(err)
	}
	up.manifest, err = payload.Read(manifest)
	return up, err
}

// writePart adds bytes, of one part, behind those that are there.
func (s *Store) writePart(ctx context.Context, up *upload, b []byte) error {
	err := s.changePayload(ctx, up.agent, func(tx *sql.Tx, _ time.Time) error {
		if err := one(tx, `UPDATE payload SET rev = rev + 1, received = received + ? WHERE id = ? AND received = ? AND withdrawn_at IS NULL`,
			len(b), up.id, int64(up.received)); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO payload_part (payload, number, bytes) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET bytes = CAST(bytes || excluded.bytes AS BLOB)`, up.id, int64(up.received/partSize), b)
		return err
	})
	if err == nil {
		up.received += uint64(len(b))
	}
	return err
}

// completePayload offers a version whose ciphertext is all there, in the place of
// those before.
func (s *Store) completePayload(ctx context.Context, up upload) error {
	sum := sha256.New()
	for offset := uint64(0); offset < up.size; {
		b, err := s.PayloadPart(ctx, up.id, offset, partSize)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return ErrNotFound // it was withdrawn meanwhile
		}
		sum.Write(b)
		offset += uint64(len(b))
	}
	good := [sha256.Size]byte(sum.Sum(nil)) == up.manifest.Content
	err := s.changePayload(ctx, up.agent, func(tx *sql.Tx, _ time.Time) error {
		if !good {
			if _, err := tx.Exec(`DELETE FROM payload_part WHERE payload = ?`, up.id); err != nil {
				return err
			}
			return one(tx, `UPDATE payload SET rev = rev + 1, received = 0 WHERE id = ?`, up.id)
		}
		if err := one(tx, `UPDATE payload SET rev = rev + 1, complete = 1 WHERE id = ? AND withdrawn_at IS NULL`, up.id); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM payload WHERE id IN (SELECT older.id FROM payload AS older JOIN payload AS newer
			ON newer.enrolment = older.enrolment AND newer.name = older.name AND newer.version > older.version WHERE newer.id = ?)`, up.id)
		return err
	})
	if err == nil && !good {
		return ErrContent
	}
	return err
}
