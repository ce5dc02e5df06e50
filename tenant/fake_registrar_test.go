package tenant

import (
	"bytes"
	"net/http"
	"slices"
	"time"

	"quicklime/wire/rest"
)

func (f *fake) registrarHandlers() map[rest.Route]rest.Handler {
	return map[rest.Route]rest.Handler{
		rest.DeleteJoinToken: func(w http.ResponseWriter, r *http.Request) error {
			f.tokens = slices.DeleteFunc(f.tokens, func(t rest.JoinToken) bool { return t.ID == r.PathValue("id") })
			w.WriteHeader(204)
			return nil
		},
		rest.ListMachines: func(w http.ResponseWriter, r *http.Request) error {
			var l rest.MachineList
			for _, m := range f.machines {
				l.Agents = append(l.Agents, m)
			}
			return rest.WriteJSON(w, 200, l)
		},
		rest.GetMachine: func(w http.ResponseWriter, r *http.Request) error {
			m, ok := f.machines[r.PathValue("id")]
			if !ok {
				return notFound("machine", r.PathValue("id"))
			}
			return rest.WriteJSON(w, 200, m)
		},
		rest.DeleteMachine: func(w http.ResponseWriter, r *http.Request) error {
			if _, ok := f.machines[r.PathValue("id")]; !ok {
				return notFound("machine", r.PathValue("id"))
			}
			delete(f.machines, r.PathValue("id"))
			w.WriteHeader(204)
			return nil
		},
		rest.AcceptKeys: func(w http.ResponseWriter, r *http.Request) error {
			var in rest.AcceptKeysRequest
			if err := rest.ReadJSON(r, rest.MaxSmallBody, &in); err != nil {
				return err
			}
			m := f.machines[r.PathValue("id")]
			if m.Offered == nil || rest.KeysHash(m.Offered.AKPublic, m.Offered.Transport) != in.KeysHash {
				return rest.Errorf(rest.CodeConflict, "the keys offered are others")
			}
			if !f.liar {
				m.AKPublic, m.Transport, m.Offered = m.Offered.AKPublic, m.Offered.Transport, nil
			}
			f.machines[m.ID] = m
			return rest.WriteJSON(w, 200, m)
		},
		rest.CreateJoinToken: func(w http.ResponseWriter, r *http.Request) error {
			var in rest.JoinTokenRequest
			if err := rest.ReadJSON(r, rest.MaxSmallBody, &in); err != nil {
				return err
			}
			t := rest.JoinToken{ID: "0123456789abcdef", Label: in.Label, CreatedAt: now, ExpiresAt: now.Add(time.Duration(in.ExpiresIn) * time.Second)}
			f.tokens = append(f.tokens, t)
			return rest.WriteJSON(w, 201, rest.JoinTokenSecret{JoinToken: t, Secret: bytes.Repeat([]byte{7}, 32)})
		},
		rest.ListJoinTokens: func(w http.ResponseWriter, r *http.Request) error {
			return rest.WriteJSON(w, 200, rest.JoinTokenList{Tokens: f.tokens, Unreadable: f.unreadable})
		},
	}
}
