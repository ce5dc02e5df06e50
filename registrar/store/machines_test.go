package store

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/registrar/credentialtest"
	"quicklime/wire"
	"quicklime/wire/rest"
)

func TestI11_AcceptKeys(t *testing.T) {
	s, m := open(t), credentialtest.New(t)
	id := m.EK.AgentID()
	s.register(t, m, s.token(t, ""), wire.OutcomeNew)
	first := s.machine(t, m)
	inForce := rest.KeysHash(first.AKPublic, first.Transport)
	m.Clear(t)
	tok := s.token(t, "")
	s.register(t, m, tok, wire.OutcomeOtherKeys)
	offered := rest.KeysHash(m.AK.Bytes(), m.Transport.Bytes())

	before := s.dump(t)
	for name, hash := range map[string]string{"nothing": "", "other keys": strings.Repeat("0", 64), "in capitals": strings.ToUpper(offered)} {
		if err := s.AcceptKeys(t.Context(), id, hash); !errors.Is(err, ErrKeysChanged) {
			t.Errorf("accept %s: %v, want ErrKeysChanged", name, err)
		}
	}
	if err := s.AcceptKeys(t.Context(), id, inForce); err != nil {
		t.Errorf("accept the keys in force: %v", err)
	}
	if err := s.AcceptKeys(t.Context(), strings.Repeat("0", 64), offered); !errors.Is(err, ErrNotFound) {
		t.Errorf("accept keys of no machine: %v, want ErrNotFound", err)
	}
	if diff := cmp.Diff(before, s.dump(t)); diff != "" {
		t.Errorf("nothing was accepted, yet changed (-before +after):\n%s", diff)
	}

	for range 2 { // the second time changes nothing
		if err := s.AcceptKeys(t.Context(), id, offered); err != nil {
			t.Fatal(err)
		}
		want := first
		want.Transport, want.TokenID = m.Transport.Bytes(), tok.ID
		if diff := cmp.Diff(want, s.machine(t, m)); diff != "" {
			t.Errorf("machine differs (-want +got):\n%s", diff)
		}
	}
	if err := s.AcceptKeys(t.Context(), id, inForce); !errors.Is(err, ErrKeysChanged) {
		t.Errorf("accept the old keys again: %v, want ErrKeysChanged", err)
	}
	s.register(t, m, tok, wire.OutcomeSame)
}

func TestAcceptKeysOfOneMachine(t *testing.T) {
	s, m, other := open(t), credentialtest.New(t), credentialtest.New(t)
	for _, m := range []*credentialtest.Machine{m, other} {
		s.register(t, m, s.token(t, ""), wire.OutcomeNew)
		m.Clear(t)
		s.register(t, m, s.token(t, ""), wire.OutcomeOtherKeys)
	}
	before := s.machine(t, other)
	if err := s.AcceptKeys(t.Context(), m.EK.AgentID(), rest.KeysHash(m.AK.Bytes(), m.Transport.Bytes())); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, s.machine(t, other)); diff != "" {
		t.Errorf("the other machine changed (-before +after):\n%s", diff)
	}
}

func TestDelete(t *testing.T) {
	s, m, other := open(t), credentialtest.New(t), credentialtest.New(t)
	for _, m := range []*credentialtest.Machine{m, other} {
		s.register(t, m, s.token(t, ""), wire.OutcomeNew)
		m.Clear(t)
		s.register(t, m, s.token(t, ""), wire.OutcomeOtherKeys)
	}
	before := s.machine(t, other)
	if err := s.Delete(t.Context(), m.EK.AgentID()); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), m.EK.AgentID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete it again: %v, want ErrNotFound", err)
	}
	if _, err := s.Machine(t.Context(), m.EK.AgentID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("the deleted machine: %v, want ErrNotFound", err)
	}
	if diff := cmp.Diff(before, s.machine(t, other)); diff != "" {
		t.Errorf("the other machine changed (-before +after):\n%s", diff)
	}
	s.register(t, m, s.token(t, ""), wire.OutcomeNew)
	if got := s.machine(t, m).Offered; got != nil {
		t.Errorf("a machine that came again has offers of its former life: %+v", got)
	}
}

func TestI10_I11_UnreadableRowsHideNothing(t *testing.T) {
	s := open(t)
	good := credentialtest.New(t)
	s.register(t, good, s.token(t, ""), wire.OutcomeNew)
	damage := []string{
		"UPDATE machines SET ek_public = x'00' WHERE id = ?",
		"UPDATE machines SET ek_public = (SELECT ek_public FROM machines WHERE id != ?1 LIMIT 1) WHERE id = ?1",
		"UPDATE machines SET ak_public = x'' WHERE id = ?",
		"UPDATE machines SET transport_public = x'ff' WHERE id = ?",
		"UPDATE machines SET label = char(27) WHERE id = ?",
		"UPDATE machines SET token_id = '' WHERE id = ?",
		"UPDATE machines SET registered_at = 1 << 62 WHERE id = ?",
		"UPDATE machines SET seen_at = -1 WHERE id = ?",
		"UPDATE offered_keys SET ak_public = x'' WHERE machine_id = ?",
		"UPDATE offered_keys SET seen_at = 1 << 62 WHERE machine_id = ?",
	}
	for _, query := range damage {
		m := credentialtest.New(t)
		s.register(t, m, s.token(t, ""), wire.OutcomeNew)
		m.Clear(t)
		s.register(t, m, s.token(t, ""), wire.OutcomeOtherKeys)
		s.exec(t, query, m.EK.AgentID())
		if _, err := s.Machine(t.Context(), m.EK.AgentID()); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("%s: reading the row: %v, want another error", query, err)
		}
	}
	l, err := s.Machines(t.Context())
	if err != nil || len(l.Rows) != 1 || l.Rows[0].ID != good.EK.AgentID() || len(l.Unreadable) != len(damage) {
		t.Errorf("%d machines, %d unreadable, error %v, want 1 and %d", len(l.Rows), len(l.Unreadable), err, len(damage))
	}
}

func TestTokens(t *testing.T) {
	s := open(t)
	short, err := s.CreateToken(t.Context(), "rack 7", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	long := s.token(t, "")
	s.exec(t, "UPDATE join_tokens SET created_at = created_at + 1000 WHERE id = ?", long.ID)
	long.CreatedAt = long.CreatedAt.Add(time.Second)
	l, err := s.Tokens(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Rows) != 2 || len(l.Unreadable) != 0 {
		t.Fatalf("%d tokens, %d unreadable", len(l.Rows), len(l.Unreadable))
	}
	if diff := cmp.Diff(long.JoinToken, l.Rows[0]); diff != "" {
		t.Errorf("newest token differs (-made +listed):\n%s", diff)
	}
	if diff := cmp.Diff(short.JoinToken, l.Rows[1]); diff != "" {
		t.Errorf("oldest token differs (-made +listed):\n%s", diff)
	}
	if !wire.ValidTokenID(short.ID) || short.ID == long.ID || len(short.Secret) != 32 || slices.Equal(short.Secret, long.Secret) {
		t.Errorf("tokens %+v and %+v", short, long)
	}
	if life := short.ExpiresAt.Sub(short.CreatedAt); life < time.Minute || life >= time.Minute+time.Second {
		t.Errorf("it lives for %v, want a minute, rounded up to a second", life)
	}

	for _, query := range []string{
		"UPDATE join_tokens SET label = char(10) WHERE id = ?",
		"UPDATE join_tokens SET used_by = 'me' WHERE id = ?",
		"UPDATE join_tokens SET used_by = 'me', used_at = 1 WHERE id = ?",
		"UPDATE join_tokens SET used_by = NULL, used_at = 1 << 62 WHERE id = ?",
		"UPDATE join_tokens SET expires_at = 1 << 62 WHERE id = ?",
		"UPDATE join_tokens SET created_at = -1 WHERE id = ?",
		"UPDATE join_tokens SET id = 'A' WHERE id = ?",
	} {
		bad := s.token(t, "")
		s.exec(t, query, bad.ID)
	}
	if l, err := s.Tokens(t.Context()); err != nil || len(l.Rows) != 2 || len(l.Unreadable) != 7 {
		t.Errorf("%d tokens, %d unreadable, error %v, want 2 and 7", len(l.Rows), len(l.Unreadable), err)
	}
}

func TestI23_DeleteToken(t *testing.T) {
	s, m := open(t), credentialtest.New(t)
	used, unused, other := s.token(t, ""), s.token(t, ""), s.token(t, "")
	s.register(t, m, used, wire.OutcomeNew)
	s.exec(t, "UPDATE join_tokens SET expires_at = 1 WHERE id = ?", unused.ID) // to expire is not to be used
	before := s.dump(t)
	if err := s.DeleteToken(t.Context(), used.ID); !errors.Is(err, ErrTokenUsed) {
		t.Errorf("delete a used token: %v, want ErrTokenUsed", err)
	}
	if err := s.DeleteToken(t.Context(), strings.Repeat("0", 16)); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete no token: %v, want ErrNotFound", err)
	}
	if diff := cmp.Diff(before, s.dump(t)); diff != "" {
		t.Errorf("nothing was deleted, yet changed (-before +after):\n%s", diff)
	}
	if err := s.DeleteToken(t.Context(), unused.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteToken(t.Context(), unused.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("delete it again: %v, want ErrNotFound", err)
	}
	l, err := s.Tokens(t.Context())
	if err != nil || len(l.Rows) != 2 {
		t.Errorf("%d tokens, %v, want 2", len(l.Rows), err)
	}
	if err := s.DeleteToken(t.Context(), other.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Register(t.Context(), registrationOf(t, credentialtest.New(t), other)); !errors.Is(err, ErrToken) {
		t.Errorf("register with a deleted token: %v, want ErrToken", err)
	}
}

// A row that says half of being used is no reason to lose a record.
func TestDeleteTokenThatIsDamaged(t *testing.T) {
	s := open(t)
	for _, query := range []string{"UPDATE join_tokens SET used_by = 'me' WHERE id = ?", "UPDATE join_tokens SET used_at = 1 WHERE id = ?"} {
		tok := s.token(t, "")
		s.exec(t, query, tok.ID)
		if err := s.DeleteToken(t.Context(), tok.ID); !errors.Is(err, ErrTokenUsed) {
			t.Errorf("%s: %v, want ErrTokenUsed", query, err)
		}
	}
}

func TestSecretsAreNotStored(t *testing.T) {
	s := open(t)
	tok := s.token(t, "")
	var n int
	err := s.db.Read().QueryRow("SELECT count(*) FROM join_tokens WHERE secret_hash = ? OR instr(secret_hash, ?) > 0", tok.Secret, tok.Secret).Scan(&n)
	if err != nil || n != 0 {
		t.Errorf("%d tokens hold their secret, error %v", n, err)
	}
}
