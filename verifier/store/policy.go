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
	rows, err := s.db.Read().QueryContext(ctx, fmt.Sprintf(selectPolicy, `''`)+` ORDER BY name`)
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
	return s.policy(ctx, name, `text`)
}

// PolicySummary returns a policy by name without its text, or ErrNotFound.
func (s *Store) PolicySummary(ctx context.Context, name string) (rest.RuntimePolicy, error) {
	return s.policy(ctx, name, `''`)
}

func (s *Store) policy(ctx context.Context, name, text string) (rest.RuntimePolicy, error) {
	p, err := scanPolicy(s.db.Read().QueryRowContext(ctx, fmt.Sprintf(selectPolicy, text)+` WHERE name = ?`, name))
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

// selectPolicy wants the column of the text, or an empty string in its place: texts
// are large.
const selectPolicy = `SELECT name, digest, %s, paths, excludes, empty, unknown, updated_at,
	(SELECT count(*) FROM state WHERE policy = name) FROM policy`

func scanPolicy(row interface{ Scan(...any) error }) (p rest.RuntimePolicy, err error) {
	var text, unknown []byte
	var updated int64
	if err := row.Scan(&p.Name, &p.Digest, &text, &p.Paths, &p.Excludes, &p.Empty, &unknown, &updated, &p.Agents); err != nil {
		return p, err
	}
	p.Text, p.UpdatedAt = string(text), fromMillis(updated)
	return p, json.Unmarshal(unknown, &p.Unknown)
}

// AddPolicy stores a policy, or returns ErrConflict if the name is taken.
func (s *Store) AddPolicy(ctx context.Context, p rest.RuntimePolicy) error {
	unknown, err := json.Marshal(p.Unknown)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		return one(tx, `INSERT INTO policy (name, digest, text, paths, excludes, empty, unknown, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			p.Name, p.Digest, []byte(p.Text), p.Paths, p.Excludes, p.Empty, string(unknown), millis(now))
	})
}

// UpdatePolicy replaces a policy and raises the revision of every agent under it,
// or returns ErrNotFound.
func (s *Store) UpdatePolicy(ctx context.Context, p rest.RuntimePolicy) error {
	unknown, err := json.Marshal(p.Unknown)
	if err != nil {
		return err
	}
	var agents []string
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		err = one(tx, `UPDATE policy SET digest = ?, text = ?, paths = ?, excludes = ?, empty = ?, unknown = ?, updated_at = ? WHERE name = ?`,
			p.Digest, []byte(p.Text), p.Paths, p.Excludes, p.Empty, string(unknown), millis(now), p.Name)
		if err == ErrConflict {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		agents, err = raise(tx, p.Name)
		return err
	})
	for _, a := range agents {
		s.changes.announce(a)
	}
	return err
}

// raise raises the revision of every agent under a policy and returns their ids.
func raise(tx *sql.Tx, policy string) (agents []string, err error) {
	rows, err := tx.Query(`UPDATE state SET rev = rev + 1 WHERE policy = ?
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
