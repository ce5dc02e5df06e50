package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"quicklime/wire/rest"
	"quicklime/wire/sqlite"
)

// selectBootPolicy wants the column of text, or none in its place.
const selectBootPolicy = `SELECT name, digest, %s, kernels, firmwares, secure_boot, unknown, updated_at,
	(SELECT count(*) FROM state WHERE boot_policy = name) FROM boot_policy`

// BootPolicies returns every boot policy without its text, by name.
func (s *Store) BootPolicies(ctx context.Context) ([]rest.BootPolicy, error) {
	rows, err := s.db.Read().QueryContext(ctx, fmt.Sprintf(selectBootPolicy, none)+` ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []rest.BootPolicy{} // an empty list is none in JSON, not null
	for rows.Next() {
		p, err := scanBootPolicy(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// BootPolicy returns a boot policy by name with its text, or ErrNotFound.
func (s *Store) BootPolicy(ctx context.Context, name string) (rest.BootPolicy, error) {
	p, err := scanBootPolicy(s.db.Read().QueryRowContext(ctx, fmt.Sprintf(selectBootPolicy, `text`)+` WHERE name = ?`, name))
	return p, notFound(err)
}

// BootPolicyText returns the text of the boot policy with this digest, or
// ErrNotFound if it has been replaced.
func (s *Store) BootPolicyText(ctx context.Context, digest string) (text []byte, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT text FROM boot_policy WHERE digest = ? LIMIT 1`, digest).Scan(&text)
	return text, notFound(err)
}

func scanBootPolicy(row interface{ Scan(...any) error }) (p rest.BootPolicy, err error) {
	var text, unknown []byte
	var updated int64
	if err := row.Scan(&p.Name, &p.Digest, &text, &p.Kernels, &p.Firmwares, &p.SecureBoot, &unknown, &updated, &p.Agents); err != nil {
		return p, err
	}
	p.Text, p.UpdatedAt = string(text), fromMillis(updated)
	return p, json.Unmarshal(unknown, &p.Unknown)
}

// AddBootPolicy stores a boot policy, or returns ErrConflict if the name is taken.
func (s *Store) AddBootPolicy(ctx context.Context, p rest.BootPolicy) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		return putBootPolicy(tx, p, `INSERT INTO boot_policy (digest, text, kernels, firmwares, secure_boot, unknown, updated_at, name)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
	})
}

// UpdateBootPolicy replaces a boot policy and raises the revision of every agent
// under it, or returns ErrNotFound.
func (s *Store) UpdateBootPolicy(ctx context.Context, p rest.BootPolicy) error {
	var agents []string
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		err := putBootPolicy(tx, p, `UPDATE boot_policy SET digest = ?, text = ?, kernels = ?, firmwares = ?, secure_boot = ?, unknown = ?, updated_at = ?
			WHERE name = ?`)
		if err == ErrConflict {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		agents, err = raise(tx, `boot_policy`, p.Name)
		return err
	})
	for _, a := range agents {
		s.changes.announce(a)
	}
	return err
}

// putBootPolicy runs a statement whose parameters are a policy's columns.
func putBootPolicy(tx *sql.Tx, p rest.BootPolicy, statement string) error {
	unknown, err := json.Marshal(p.Unknown)
	if err != nil {
		return err
	}
	now, err := sqlite.Now(tx)
	if err != nil {
		return err
	}
	return one(tx, statement, p.Digest, []byte(p.Text), p.Kernels, p.Firmwares, p.SecureBoot, string(unknown), millis(now), p.Name)
}

// DeleteBootPolicy deletes a boot policy, or returns ErrNotFound, or ErrInUse if an
// agent is judged by it.
func (s *Store) DeleteBootPolicy(ctx context.Context, name string) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		var agents int
		if err := tx.QueryRow(`SELECT count(*) FROM state WHERE boot_policy = ?`, name).Scan(&agents); err != nil {
			return err
		}
		if agents > 0 {
			return ErrInUse
		}
		err := one(tx, `DELETE FROM boot_policy WHERE name = ?`, name)
		if err == ErrConflict {
			return ErrNotFound
		}
		return err
	})
}
