// Package api serves the registrar's REST API over its store. Routes, bodies and
// errors are those of quicklime/wire/rest; who may call what is decided there,
// before a handler runs.
package api

import (
	"errors"
	"log/slog"
	"net/http"

	"quicklime/registrar/store"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// api holds what the handlers need.
type api struct {
	store *store.Store
	log   *slog.Logger
}

// Handlers returns the handler of every route in rest.RegistrarRoutes.
func Handlers(s *store.Store, log *slog.Logger) map[rest.Route]rest.Handler {
	a := api{s, log}
	return map[rest.Route]rest.Handler{
		rest.ListMachines:    a.listMachines,
		rest.GetMachine:      a.getMachine,
		rest.DeleteMachine:   a.deleteMachine,
		rest.AcceptKeys:      a.acceptKeys,
		rest.CreateJoinToken: a.createToken,
		rest.ListJoinTokens:  a.listTokens,
		rest.DeleteJoinToken: a.deleteToken,
	}
}

func (a api) listMachines(w http.ResponseWriter, r *http.Request) error {
	l, err := a.store.Machines(r.Context())
	if err != nil {
		return err
	}
	a.complain("machine", l.Unreadable)
	return rest.WriteJSON(w, http.StatusOK, rest.MachineList{Agents: orEmpty(l.Rows), Unreadable: len(l.Unreadable)})
}

// complain logs rows that could not be read (I10).
func (a api) complain(what string, unreadable []error) {
	for _, err := range unreadable {
		a.log.Error("a row of the database cannot be read and was left out", "of", what, "err", err)
	}
}

// orEmpty makes an empty list [] in JSON, not null.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (a api) getMachine(w http.ResponseWriter, r *http.Request) error {
	id, err := machineID(r)
	if err != nil {
		return err
	}
	return a.answerMachine(w, r, id)
}

func (a api) deleteMachine(w http.ResponseWriter, r *http.Request) error {
	id, err := machineID(r)
	if err != nil {
		return err
	}
	if err := a.store.Delete(r.Context(), id); err != nil {
		return explain(err, id)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a api) acceptKeys(w http.ResponseWriter, r *http.Request) error {
	id, err := machineID(r)
	if err != nil {
		return err
	}
	var req rest.AcceptKeysRequest
	if err := rest.ReadJSON(r, rest.MaxSmallBody, &req); err != nil {
		return err
	}
	if !wire.ValidID(req.KeysHash) {
		return rest.Errorf(rest.CodeInvalid, "keys_hash is not 64 lower-case hexadecimal digits")
	}
	if err := a.store.AcceptKeys(r.Context(), id, req.KeysHash); err != nil {
		return explain(err, id)
	}
	return a.answerMachine(w, r, id)
}

func (a api) answerMachine(w http.ResponseWriter, r *http.Request, id string) error {
	m, err := a.store.Machine(r.Context(), id)
	if err != nil {
		return explain(err, id)
	}
	return rest.WriteJSON(w, http.StatusOK, m)
}

// machineID returns the id in the request's path (I03).
func machineID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !wire.ValidID(id) {
		return "", rest.Errorf(rest.CodeBadRequest, "%q is not an agent id: 64 lower-case hexadecimal digits", id)
	}
	return id, nil
}

// explain turns what the store says of a machine into what the client is told.
func explain(err error, id string) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return rest.Errorf(rest.CodeNotFound, "the registrar knows no agent %s", id)
	case errors.Is(err, store.ErrKeysChanged):
		return rest.Errorf(rest.CodeConflict, "agent %s does not offer these keys, or not any more", id).
			WithHint("look at the keys that it offers now, and accept those")
	}
	return err
}
