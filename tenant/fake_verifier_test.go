package tenant

import (
	"bytes"
	"fmt"
	"net/http"

	"quicklime/verifier/policy/dsse"
	"quicklime/wire"
	"quicklime/wire/rest"
)

func (f *fake) verifierHandlers() map[rest.Route]rest.Handler {
	table := map[rest.Route]rest.Handler{
		rest.ListAgents: func(w http.ResponseWriter, r *http.Request) error {
			var l rest.AgentList
			for _, a := range f.agents {
				a.Failures = nil
				l.Agents = append(l.Agents, a)
			}
			return rest.WriteJSON(w, 200, l)
		},
		rest.EnrolAgent: func(w http.ResponseWriter, r *http.Request) error {
			var e rest.Enrolment
			if err := rest.ReadJSON(r, rest.MaxSmallBody, &e); err != nil {
				return err
			}
			if _, ok := f.agents[e.ID]; ok {
				return rest.Errorf(rest.CodeConflict, "agent %s is already enrolled", e.ID).WithHint("delete it first")
			}
			return f.enrol(w, e)
		},
		rest.RebindAgent: func(w http.ResponseWriter, r *http.Request) error {
			var e rest.Enrolment
			if err := rest.ReadJSON(r, rest.MaxSmallBody, &e); err != nil {
				return err
			}
			if n := len(f.enrolled); n > 0 && bytes.Equal(f.enrolled[n-1].Transport, e.Transport) {
				return rest.Errorf(rest.CodeConflict, "agent %s is enrolled with these keys", e.ID)
			}
			return f.enrol(w, e)
		},
		rest.GetAgent: f.getAgent,
		rest.UpdateAgent: func(w http.ResponseWriter, r *http.Request) error {
			var u rest.AgentUpdate
			if err := rest.ReadJSON(r, rest.MaxSmallBody, &u); err != nil {
				return err
			}
			return f.onAgent(w, r, func(a *rest.Agent) {
				if u.Label != nil {
					a.Label = *u.Label
				}
				if u.Policy != nil {
					a.Policies.Runtime = orNotEvaluated(*u.Policy)
				}
				if u.BootPolicy != nil {
					a.Policies.Boot = orNotEvaluated(*u.BootPolicy)
				}
				if u.TPMPolicy != nil {
					a.TPMPolicy, a.Policies.TPM = string(*u.TPMPolicy), tpmDigest(*u.TPMPolicy)
				}
			})
		},
		rest.ClearAgent: func(w http.ResponseWriter, r *http.Request) error {
			var in rest.ClearRequest
			if err := rest.ReadJSON(r, rest.MaxSmallBody, &in); err != nil {
				return err
			}
			if n := f.agents[r.PathValue("id")].FailureCount; n != in.Failures {
				return rest.Errorf(rest.CodeConflict, "%d failures", n)
			}
			return f.onAgent(w, r, func(a *rest.Agent) {
				a.Cleared = &rest.Cleared{Count: clearedOf(*a) + a.FailureCount}
				a.Trust, a.Reason, a.Failures, a.FailureCount = wire.Pending, "", nil, 0
				if f.untied {
					a.Trust, a.FailureCount, a.Cleared.Count = wire.Untrusted, 1, a.Cleared.Count-1
				}
			})
		},
		rest.DeleteAgent: func(w http.ResponseWriter, r *http.Request) error {
			if _, ok := f.agents[r.PathValue("id")]; !ok {
				return notFound("agent", r.PathValue("id"))
			}
			delete(f.agents, r.PathValue("id"))
			w.WriteHeader(204)
			return nil
		},
		rest.GetBootLog: func(w http.ResponseWriter, r *http.Request) error {
			if _, ok := f.agents[r.PathValue("id")]; !ok {
				return notFound("agent", r.PathValue("id"))
			}
			return rest.WriteJSON(w, 200, rest.BootLog{Epoch: "0123", Log: []byte("a\x00log\x1b"), Systemd: []byte("\x1e{}\n"), Proven: []int{0, 7}})
		},
		rest.SearchMeasurements: func(w http.ResponseWriter, _ *http.Request) error {
			return rest.WriteJSON(w, 200, rest.MeasurementList{})
		},
		rest.ListEvents:        f.listEvents,
		rest.GetRevocationKeys: f.revocationKeys,
		rest.ListDeadLetters: func(w http.ResponseWriter, _ *http.Request) error {
			return rest.WriteJSON(w, 200, rest.DeadLetterList{DeadLetters: f.deadLetters, Waiting: 1})
		},
		rest.RetryDeadLetters: f.changeDeadLetters,
		rest.DropDeadLetters:  f.changeDeadLetters,
	}
	fakePolicies[rest.RuntimePolicy]{f.policies, dsse.RuntimePolicy, "policy", (*rest.RuntimePolicy).Common, func(p *rest.RuntimePolicy) { p.Paths = 1 }}.add(table, rest.RuntimePolicyRoutes)
	fakePolicies[rest.BootPolicy]{f.boots, dsse.BootPolicy, "boot policy", (*rest.BootPolicy).Common, func(p *rest.BootPolicy) { p.Kernels, p.Firmwares = 1, 1 }}.add(table, rest.BootPolicyRoutes)
	return table
}

func orNotEvaluated(policy string) string {
	if policy == "" {
		return wire.NotEvaluated
	}
	return policy
}

// tpmDigest is what stands for a TPM policy.
func tpmDigest(text rest.Text) string {
	if text == "" {
		return wire.NotEvaluated
	}
	return hexSum(string(text))
}

// enrol keeps what was asked for, and answers with the agent it makes.
func (f *fake) enrol(w http.ResponseWriter, e rest.Enrolment) error {
	f.enrolled = append(f.enrolled, e)
	return rest.WriteJSON(w, 201, f.change(rest.Agent{
		ID: e.ID, Label: e.Label, Trust: wire.Pending, EnrolledAt: now,
		Policies: rest.Policies{Runtime: orNotEvaluated(e.Policy), Boot: orNotEvaluated(e.BootPolicy), TPM: tpmDigest(e.TPMPolicy)}, TPMPolicy: string(e.TPMPolicy),
	}))
}

// onAgent changes an agent and answers with it.
func (f *fake) onAgent(w http.ResponseWriter, r *http.Request, change func(*rest.Agent)) error {
	a, ok := f.agents[r.PathValue("id")]
	if !ok {
		return notFound("agent", r.PathValue("id"))
	}
	change(&a)
	return rest.WriteJSON(w, 200, f.change(a))
}

// getAgent waits for the revision after the one in the query, if there is one.
func (f *fake) getAgent(w http.ResponseWriter, r *http.Request) error {
	after := r.URL.Query().Get("after")
	if after != "" {
		f.polls++
	}
	for {
		a, ok := f.agents[r.PathValue("id")]
		if !ok {
			return notFound("agent", r.PathValue("id"))
		}
		if after != fmt.Sprint(a.Revision) {
			return rest.WriteJSON(w, 200, a)
		}
		moved := f.moved
		f.mu.Unlock()
		select {
		case <-moved:
		case <-r.Context().Done():
		}
		f.mu.Lock()
		if err := r.Context().Err(); err != nil {
			return err
		}
	}
}
