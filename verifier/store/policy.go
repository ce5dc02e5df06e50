package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"quicklime/wire/rest"
	"quicklime/wire/sqlite"
)

// Policies returns every policy without its text, by name.
func (s *Store) Policies(ctx context.Context) ([]rest.RuntimePolicy, error) {
	rows, err := s.db.Read().QueryContext(ctx, fmt.Sprintf(selectPolicy, none, none)+` ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []rest.RuntimePolicy{} // an empty list is none in JSON, not null
	for rows.Next() {
		p, err := scanPolicy(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// Policy returns a policy by name with its text, or ErrNotFound.
func (s *Store) Policy(ctx context.Context, name string) (rest.RuntimePolicy, error) {
	return s.policy(ctx, name, `text`, none)
}

// PolicySummary returns a policy by name without its text, or ErrNotFound.
func (s *Store) PolicySummary(ctx context.Context, name string) (rest.RuntimePolicy, error) {
	return s.policy(ctx, name, none, none)
}

// SignedPolicy returns a policy by name with its text and its envelope, which is
// empty if nobody signed it, or ErrNotFound.
func (s *Store) SignedPolicy(ctx context.Context, name string) (rest.RuntimePolicy, error) {
	return s.policy(ctx, name, `text`, `coalesce(envelope, x'')`)
}

func (s *Store) policy(ctx context.Context, name, text, envelope string) (rest.RuntimePolicy, error) {
	p, err := scanPolicy(s.db.Read().QueryRowContext(ctx, fmt.Sprintf(selectPolicy, text, envelope)+` WHERE name = ?`, name))
	return p, notFound(err)
}

// PolicyText returns the text of the policy with this digest, or ErrNotFound if
// it has been replaced.
func (s *Store) PolicyText(ctx context.Context, digest string) (text []byte, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT text FROM policy WHERE digest = ? LIMIT 1`, digest).Scan(&text)
	return text, notFound(err)
}

// PolicyDigests returns the digests of all policies.
func (s *Store) PolicyDigests(ctx context.Context) (all []string, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT DISTINCT digest FROM policy`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d string
		if err := rows.Scan(&d); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// none stands for a column of text that is not wanted: texts are large.
const none = `x''`

// selectPolicy wants the columns of text and envelope, or none in their place.
const selectPolicy = `SELECT name, digest, %s, %s, signers, paths, excludes, empty, unknown, updated_at,
	(SELECT count(*) FROM state WHERE policy = name) FROM policy`

func scanPolicy(row interface{ Scan(...any) error }) (p rest.RuntimePolicy, err error) {
	var text, envelope, signers, unknown []byte
	var updated int64
	if err := row.Scan(&p.Name, &p.Digest, &text, &envelope, &signers, &p.Paths, &p.Excludes, &p.Empty, &unknown, &updated, &p.Agents); err != nil {
		return p, err
	}
	p.Text, p.Envelope, p.UpdatedAt = string(text), string(envelope), fromMillis(updated)
	if err := json.Unmarshal(signers, &p.SignedBy); err != nil {
		return p, fmt.Errorf("policy %s: signers: %w", p.Name, err)
	}
	return p, json.Unmarshal(unknown, &p.Unknown)
}

// columnsOf returns what is stored of a policy, but for its name and the time, in
// the order digest, text, envelope, signers, paths, excludes, empty, unknown.
func columnsOf(p rest.RuntimePolicy) ([]any, error) {
	unknown, err := json.Marshal(p.Unknown)
	if err != nil {
		return nil, err
	}
	signers, err := json.Marshal(p.SignedBy)
	if err != nil {
		return nil, err
	}
	var envelope any // NULL
	if p.Envelope != "" {
		envelope = []byte(p.Envelope)
	}
	return []any{p.Digest, []byte(p.Text), envelope, string(signers), p.Paths, p.Excludes, p.Empty, string(unknown)}, nil
}

// AddPolicy stores a policy, or returns ErrConflict if the name is taken.
func (s *Store) AddPolicy(ctx context.Context, p rest.RuntimePolicy) error {
	c, err := columnsOf(p)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		return one(tx, `INSERT INTO policy (digest, text, envelope, signers, paths, excludes, empty, unknown, updated_at, name)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, append(c, millis(now), p.Name)...)
	})
}

// UpdatePolicy replaces a policy and raises the revision of every agent under it,
// or returns ErrNotFound.
func (s *Store) UpdatePolicy(ctx context.Context, p rest.RuntimePolicy) error {
	c, err := columnsOf(p)
	if err != nil {
		return err
	}
	var agents []string
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		err = one(tx, `UPDATE policy SET digest = ?, text = ?, envelope = ?, signers = ?, paths = ?, excludes = ?, empty = ?, unknown = ?, updated_at = ?
			WHERE name = ?`, append(c, millis(now), p.Name)...)
		if err == ErrConflict {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		agents, err = raise(tx, `policy`, p.Name)
		return err
	})
	for _, a := range agents {
		s.changes.announce(a)
	}
	return err
}

// raise raises the revision of every agent under a policy, which a column of state
// names, and returns their ids.
func raise(tx *sql.Tx, column, policy string) (agents []string, err error) {
	rows, err := tx.Query(`UPDATE state SET rev = rev + 1 WHERE `+column+` = ?
		RETURNING (SELECT agent FROM enrolment WHERE id = state.enrolment)`, policy)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var a string
		if err := rows.Scan(&a); err != nil {
			return nil, err
		}
		agents = append(agents, a)
	}
	return agents, rows.Err()
}

// DeletePolicy deletes a policy, or returns ErrNotFound, or ErrInUse if an agent
// is judged by it.
func (s *Store) DeletePolicy(ctx context.Context, name string) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		var agents int
		if err := tx.QueryRow(`SELECT count(*) FROM state WHERE policy = ?`, name).Scan(&agents); err != nil {
			return err
		}
		if agents > 0 {
			return ErrInUse
		}
		err := one(tx, `DELETE FROM policy WHERE name = ?`, name)
		if err == ErrConflict {
			return ErrNotFound
		}
		return err
	})
}
