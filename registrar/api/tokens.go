package api

import (
	"errors"
	"net/http"
	"time"

	"quicklime/registrar/store"
	"quicklime/wire"
	"quicklime/wire/rest"
)

const (
	// tokenLifetime is how long a join token lives if nobody says: a day's work.
	tokenLifetime = 24 * time.Hour

	// maxTokenLifetime bounds how long a join token lives: one that is forgotten
	// in an image or a chat must not let machines in for ever.
	maxTokenLifetime = 30 * 24 * time.Hour
)

func (a api) listTokens(w http.ResponseWriter, r *http.Request) error {
	l, err := a.store.Tokens(r.Context())
	if err != nil {
		return err
	}
	a.complain("join token", l.Unreadable)
	return rest.WriteJSON(w, http.StatusOK, rest.JoinTokenList{Tokens: orEmpty(l.Rows), Unreadable: len(l.Unreadable)})
}

func (a api) createToken(w http.ResponseWriter, r *http.Request) error {
	var req rest.JoinTokenRequest
	if err := rest.ReadJSON(r, rest.MaxSmallBody, &req); err != nil {
		return err
	}
	if !wire.Printable(req.Label, wire.MaxLabel) {
		return rest.Errorf(rest.CodeInvalid, "label is longer than %d bytes or not printable", wire.MaxLabel)
	}
	lifetime, err := lifetimeOf(req.ExpiresIn)
	if err != nil {
		return err
	}
	tok, err := a.store.CreateToken(r.Context(), req.Label, lifetime)
	if err != nil {
		return err
	}
	a.log.Info("join token created", "token", tok.ID, "label", tok.Label, "expires", tok.ExpiresAt)
	return rest.WriteJSON(w, http.StatusCreated, tok)
}

// lifetimeOf reads JoinTokenRequest.ExpiresIn, in seconds.
func lifetimeOf(seconds int64) (time.Duration, error) {
	switch {
	case seconds == 0:
		return tokenLifetime, nil
	case seconds < 0 || seconds > int64(maxTokenLifetime/time.Second):
		return 0, rest.Errorf(rest.CodeInvalid, "expires_in is %d seconds, want 1 to %d", seconds, int64(maxTokenLifetime/time.Second))
	}
	return time.Duration(seconds) * time.Second, nil
}

func (a api) deleteToken(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if !wire.ValidTokenID(id) {
		return rest.Errorf(rest.CodeBadRequest, "%q is not a join token's id: 16 lower-case hexadecimal digits", id)
	}
	switch err := a.store.DeleteToken(r.Context(), id); {
	case errors.Is(err, store.ErrNotFound):
		return rest.Errorf(rest.CodeNotFound, "the registrar knows no join token %s", id).
			WithHint(`"quicklime-tenant join-token list" shows the tokens there are`)
	case errors.Is(err, store.ErrTokenUsed):
		return rest.Errorf(rest.CodeConflict, "join token %s was used: it is kept as the record of which machine it let in", id).
			WithHint(`"quicklime-tenant agent delete --registrar" makes the registrar forget the machine`)
	case err != nil:
		return err
	}
	a.log.Info("join token deleted", "token", id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
