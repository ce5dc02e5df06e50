package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"quicklime/wire/rest"
	"quicklime/wire/sqlite"
)

// Policies are the named policies of one kind: T is rest.RuntimePolicy or
// rest.BootPolicy.
type Policies[T any] struct {
	db      *sqlite.DB
	changes *changes

	table  string   // and the column of state that names one of them
	own    []string // columns that the other kind does not have
	common func(*T) *rest.Policy
	fields func(*T) []any // pointers to what is in own
}

func (s *Store) runtimePolicies() Policies[rest.RuntimePolicy] {
	return Policies[rest.RuntimePolicy]{
		db: s.db, changes: &s.changes, table: "policy", own: []string{"paths", "excludes", "empty"}, common: (*rest.RuntimePolicy).Common,
		fields: func(p *rest.RuntimePolicy) []any { return []any{&p.Paths, &p.Excludes, &p.Empty} },
	}
}

func (s *Store) bootPolicies() Policies[rest.BootPolicy] {
	return Policies[rest.BootPolicy]{
		db: s.db, changes: &s.changes, table: "boot_policy", own: []string{"kernels", "firmwares", "secure_boot"}, common: (*rest.BootPolicy).Common,
		fields: func(p *rest.BootPolicy) []any { return []any{&p.Kernels, &p.Firmwares, &p.SecureBoot} },
	}
}

// List returns every policy without its text, by name.
func (s Policies[T]) List(ctx context.Context) ([]T, error) {
	rows, err := s.db.Read().QueryContext(ctx, s.selecting(none, none)+` ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []T{} // an empty list is none in JSON, not null
	for rows.Next() {
		p, err := s.scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// Get returns a policy by name with its text, or ErrNotFound.
func (s Policies[T]) Get(ctx context.Context, name string) (T, error) {
	return s.get(ctx, name, `text`, none)
}

// Summary returns a policy by name without its text, or ErrNotFound.
func (s Policies[T]) Summary(ctx context.Context, name string) (T, error) {
	return s.get(ctx, name, none, none)
}

// Signed returns a policy by name with its text and its envelope, which is empty if
// nobody signed it, or ErrNotFound.
func (s Policies[T]) Signed(ctx context.Context, name string) (T, error) {
	return s.get(ctx, name, `text`, `coalesce(envelope, x'')`)
}

func (s Policies[T]) get(ctx context.Context, name, text, envelope string) (T, error) {
	p, err := s.scan(s.db.Read().QueryRowContext(ctx, s.selecting(text, envelope)+` WHERE name = ?`, name))
	return p, notFound(err)
}

// Text returns the text of the policy with this digest, or ErrNotFound if it has been
// replaced.
func (s Policies[T]) Text(ctx context.Context, digest string) (text []byte, err error) {
	err = s.db.Read().QueryRowContext(ctx, `SELECT text FROM `+s.table+` WHERE digest = ? LIMIT 1`, digest).Scan(&text)
	return text, notFound(err)
}

// Digests returns the digests of all policies.
func (s Policies[T]) Digests(ctx context.Context) (all []string, err error) {
	rows, err := s.db.Read().QueryContext(ctx, `SELECT DISTINCT digest FROM `+s.table)
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

// selecting is the query that scan reads a row of. It wants the columns of text and
// envelope, or none in their place.
func (s Policies[T]) selecting(text, envelope string) string {
	return fmt.Sprintf(`SELECT name, digest, %s, %s, signers, unknown, updated_at, (SELECT count(*) FROM state WHERE %[3]s = name), %[4]s FROM %[3]s`,
		text, envelope, s.table, strings.Join(s.own, ", "))
}

func (s Policies[T]) scan(row interface{ Scan(...any) error }) (all T, err error) {
	p := s.common(&all)
	var text, envelope, signers, unknown []byte
	var updated int64
	if err := row.Scan(append([]any{&p.Name, &p.Digest, &text, &envelope, &signers, &unknown, &updated, &p.Agents}, s.fields(&all)...)...); err != nil {
		return all, err
	}
	p.Text, p.Envelope, p.UpdatedAt = string(text), string(envelope), fromMillis(updated)
	if err := json.Unmarshal(signers, &p.SignedBy); err != nil {
		return all, fmt.Errorf("policy %s: signers: %w", p.Name, err)
	}
	return all, json.Unmarshal(unknown, &p.Unknown)
}

// columns are those that are written beside the name and the time, and their values.
func (s Policies[T]) columns(all T) (names []string, values []any, err error) {
	p := s.common(&all)
	unknown, err := json.Marshal(p.Unknown)
	if err != nil {
		return nil, nil, err
	}
	signers, err := json.Marshal(p.SignedBy)
	if err != nil {
		return nil, nil, err
	}
	var envelope any // NULL
	if p.Envelope != "" {
		envelope = []byte(p.Envelope)
	}
	names = append([]string{"digest", "text", "envelope", "signers", "unknown"}, s.own...)
	return names, append([]any{p.Digest, []byte(p.Text), envelope, string(signers), string(unknown)}, s.fields(&all)...), nil
}

// Add stores a policy, or returns ErrConflict if the name is taken.
func (s Policies[T]) Add(ctx context.Context, p T) error {
	names, values, err := s.columns(p)
	if err != nil {
		return err
	}
	statement := fmt.Sprintf(`INSERT INTO %s (%s, updated_at, name) VALUES (%s?, ?) ON CONFLICT DO NOTHING`,
		s.table, strings.Join(names, ", "), strings.Repeat("?, ", len(names)))
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		return one(tx, statement, append(slices.Clone(values), millis(now), s.common(&p).Name)...)
	})
}

// Update replaces a policy and raises the revision of every agent under it, or returns
// ErrNotFound.
func (s Policies[T]) Update(ctx context.Context, p T) error {
	names, values, err := s.columns(p)
	if err != nil {
		return err
	}
	name := s.common(&p).Name
	statement := fmt.Sprintf(`UPDATE %s SET %s = ?, updated_at = ? WHERE name = ?`, s.table, strings.Join(names, " = ?, "))
	var agents []string
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		now, err := sqlite.Now(tx)
		if err != nil {
			return err
		}
		err = one(tx, statement, append(slices.Clone(values), millis(now), name)...)
		if err == ErrConflict {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		agents, err = s.raise(tx, name)
		return err
	})
	for _, a := range agents {
		s.changes.announce(a)
	}
	return err
}

// raise raises the revision of every agent under a policy, and returns their ids.
func (s Policies[T]) raise(tx *sql.Tx, name string) (agents []string, err error) {
	rows, err := tx.Query(`UPDATE state SET rev = rev + 1 WHERE `+s.table+` = ?
		RETURNING (SELECT agent FROM enrolment WHERE id = state.enrolment)`, name)
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

// Delete deletes a policy, or returns ErrNotFound, or ErrInUse if an agent is judged by
// it.
func (s Policies[T]) Delete(ctx context.Context, name string) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		var agents int
		if err := tx.QueryRow(`SELECT count(*) FROM state WHERE `+s.table+` = ?`, name).Scan(&agents); err != nil {
			return err
		}
		if agents > 0 {
			return ErrInUse
		}
		err := one(tx, `DELETE FROM `+s.table+` WHERE name = ?`, name)
		if err == ErrConflict {
			return ErrNotFound
		}
		return err
	})
}
