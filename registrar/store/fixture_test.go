package store

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"quicklime/registrar/credentialtest"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// open opens a store that writes until the test ends.
func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "registrar.db"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *Store) token(t *testing.T, label string) rest.JoinTokenSecret {
	t.Helper()
	tok, err := s.CreateToken(t.Context(), label, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// registrationOf is an honest registration of m with a token.
func registrationOf(t *testing.T, m *credentialtest.Machine, tok rest.JoinTokenSecret) Registration {
	t.Helper()
	return Registration{Keys: m.Prove(t), Label: "host", TokenID: tok.ID, TokenSecret: tok.Secret}
}

// register registers m and wants an outcome.
func (s *Store) register(t *testing.T, m *credentialtest.Machine, tok rest.JoinTokenSecret, want wire.Outcome) {
	t.Helper()
	if got, err := s.Register(t.Context(), registrationOf(t, m, tok)); err != nil || got != want {
		t.Fatalf("Register = %q, %v, want %q", got, err, want)
	}
}

func (s *Store) machine(t *testing.T, m *credentialtest.Machine) rest.Machine {
	t.Helper()
	got, err := s.Machine(t.Context(), m.EK.AgentID())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// tokenOf reads a token back.
func (s *Store) tokenOf(t *testing.T, id string) rest.JoinToken {
	t.Helper()
	l, err := s.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tok := range l.Rows {
		if tok.ID == id {
			return tok
		}
	}
	t.Fatalf("no token %s", id)
	return rest.JoinToken{}
}

// exec changes the database behind the store's back.
func (s *Store) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	err := s.db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dump is everything in the database, to see that nothing changed.
func (s *Store) dump(t *testing.T) (all []string) {
	t.Helper()
	for _, query := range []string{
		"SELECT 'machine', id, label, hex(ak_public), hex(transport_public), token_id, seen_at FROM machines ORDER BY id",
		"SELECT 'offered', machine_id, hex(ak_public), hex(transport_public), token_id, count, seen_at FROM offered_keys ORDER BY machine_id",
		"SELECT 'token', id, label, expires_at, ifnull(used_by, ''), ifnull(used_at, 0), '' FROM join_tokens ORDER BY id",
	} {
		rows, err := s.db.Read().Query(query)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var c [7]string
			if err := rows.Scan(&c[0], &c[1], &c[2], &c[3], &c[4], &c[5], &c[6]); err != nil {
				t.Fatal(err)
			}
			for _, v := range c {
				all = append(all, v)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	return all
}
