package registrar_test

import (
	"database/sql"
	"net/http"
	"path/filepath"
	"testing"

	"quicklime/wire"
	"quicklime/wire/rest"
)

func TestDeleteJoinToken(t *testing.T) {
	m, late := newMachine(t), newMachine(t)
	in := newInstallation(t, m, late)
	used, unused := in.token(rest.JoinTokenRequest{}), in.token(rest.JoinTokenRequest{})
	in.join(m, used, wire.OutcomeNew)
	in.call(rest.DeleteJoinToken, used.ID, nil, nil, http.StatusConflict)
	in.call(rest.DeleteJoinToken, unused.ID, nil, nil, http.StatusNoContent)
	in.call(rest.DeleteJoinToken, unused.ID, nil, nil, http.StatusNotFound)
	var l rest.JoinTokenList
	in.call(rest.ListJoinTokens, "", nil, &l, http.StatusOK)
	if len(l.Tokens) != 1 || l.Tokens[0].ID != used.ID || l.Unreadable != 0 {
		t.Errorf("%+v", l)
	}
	in.refuses(late, unused, wire.RefusedToken)
}

// A token that cannot be read is counted and hides no other (I10).
func TestI10_UnreadableJoinTokensAreCounted(t *testing.T) {
	in := newInstallation(t)
	in.token(rest.JoinTokenRequest{})
	in.token(rest.JoinTokenRequest{})
	in.stop()
	db, err := sql.Open("sqlite", filepath.Join(in.cfg.StateDir, "registrar.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("UPDATE join_tokens SET label = char(10) WHERE id = (SELECT min(id) FROM join_tokens)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	in.start()
	var l rest.JoinTokenList
	in.call(rest.ListJoinTokens, "", nil, &l, http.StatusOK)
	if len(l.Tokens) != 1 || l.Unreadable != 1 {
		t.Errorf("%+v", l)
	}
}
