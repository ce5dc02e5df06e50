package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"quicklime/wire"
	"quicklime/wire/jointoken"
	"quicklime/wire/rest"
	"quicklime/wire/sqlite"
)

// CreateToken makes a join token that is valid for lifetime and up to a second
// more, by the database's clock. The secret is in the answer and nowhere else.
func (s *Store) CreateToken(ctx context.Context, label string, lifetime time.Duration) (rest.JoinTokenSecret, error) {
	var id [8]byte
	secret := make([]byte, jointoken.SecretSize)
	rand.Read(id[:]) // never fails (crypto/rand)
	rand.Read(secret)
	t := rest.JoinToken{ID: hex.EncodeToString(id[:]), Label: label}
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		// A token's text holds whole seconds: rounded up.
		t.CreatedAt, t.ExpiresAt = now, now.Add(lifetime+time.Second-1).Truncate(time.Second)
		_, err = tx.Exec("INSERT INTO join_tokens (id, secret_hash, label, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
			t.ID, hashOf(secret), label, t.CreatedAt.UnixMilli(), t.ExpiresAt.UnixMilli())
		return err
	})
	if err != nil {
		return rest.JoinTokenSecret{}, fmt.Errorf("make a join token: %w", err)
	}
	return rest.JoinTokenSecret{JoinToken: t, Secret: secret}, nil
}

// Tokens lists the join tokens, the newest first.
func (s *Store) Tokens(ctx context.Context) (Listing[rest.JoinToken], error) {
	l, err := list(ctx, s.db.Read(), readToken,
		"SELECT id, label, created_at, expires_at, used_by, used_at FROM join_tokens ORDER BY created_at DESC, id")
	if err != nil {
		return l, fmt.Errorf("join tokens: %w", err)
	}
	return l, nil
}

func readToken(r row) (t rest.JoinToken, err error) {
	var created, expires int64
	var usedBy sql.Null[string]
	var usedAt sql.Null[int64]
	if err := r.Scan(&t.ID, &t.Label, &created, &expires, &usedBy, &usedAt); err != nil {
		return t, err
	}
	var errUsed error
	if usedAt.Valid {
		var at time.Time
		at, errUsed = millis(usedAt.V)
		t.UsedBy, t.UsedAt = usedBy.V, &at
	}
	var errCreated, errExpires error
	t.CreatedAt, errCreated = millis(created)
	t.ExpiresAt, errExpires = millis(expires)
	if !wire.ValidTokenID(t.ID) || !wire.Printable(t.Label, wire.MaxLabel) || usedBy.Valid != usedAt.Valid || usedBy.Valid && !wire.ValidID(usedBy.V) {
		err = fmt.Errorf("join token %q does not hold together", t.ID)
	}
	return t, errors.Join(err, errCreated, errExpires, errUsed)
}

// DeleteToken deletes a join token that was not used, or returns ErrNotFound. A
// used one is kept as the record of what bound a TPM to a machine (I23): the error
// is ErrTokenUsed.
func (s *Store) DeleteToken(ctx context.Context, id string) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		var used bool
		err := tx.QueryRow("SELECT used_by IS NOT NULL OR used_at IS NOT NULL FROM join_tokens WHERE id = ?", id).Scan(&used)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNotFound
		case err == nil && used:
			return ErrTokenUsed
		case err == nil:
			_, err = tx.Exec("DELETE FROM join_tokens WHERE id = ?", id)
		}
		if err != nil {
			return fmt.Errorf("delete join token %s: %w", id, err)
		}
		return nil
	})
}

// spend uses up a token for the machine id and returns the token's label. The
// error is ErrToken if it is not there to be used: one answer for all reasons.
func spend(tx *sql.Tx, now time.Time, token string, secret []byte, id string) (label string, err error) {
	ms := now.UnixMilli()
	err = tx.QueryRow(`UPDATE join_tokens SET used_by = ?, used_at = ?
		WHERE id = ? AND secret_hash = ? AND used_by IS NULL AND expires_at > ? RETURNING label`,
		id, ms, token, hashOf(secret), ms).Scan(&label)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrToken
	}
	return label, err
}

// hashOf is what is kept of a secret. A hash without salt is enough for 256
// random bits, and comparing hashes byte by byte tells nothing of the secret.
func hashOf(secret []byte) []byte {
	h := sha256.Sum256(secret)
	return h[:]
}
