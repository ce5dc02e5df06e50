package tenant

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"quicklime/verifier/policy/dsse"
	"quicklime/wire"
	"quicklime/wire/rest"
)

func (f *fake) verifierHandlers() map[rest.Route]rest.Handler {
	return map[rest.Route]rest.Handler{
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
		rest.ListPolicies: func(w http.ResponseWriter, r *http.Request) error {
			var l rest.PolicyList
			for _, p := range f.policies {
				p.Text, p.Envelope = "", ""
				l.Policies = append(l.Policies, p)
			}
			return rest.WriteJSON(w, 200, l)
		},
		rest.AddPolicy:    f.putPolicy,
		rest.UpdatePolicy: f.putPolicy,
		rest.GetPolicy: func(w http.ResponseWriter, r *http.Request) error {
			p, ok := f.policies[r.PathValue("name")]
			if !ok {
				return notFound("policy", r.PathValue("name"))
			}
			p.Envelope = ""
			return rest.WriteJSON(w, 200, p)
		},
		rest.GetSignedPolicy: func(w http.ResponseWriter, r *http.Request) error {
			p := f.policies[r.PathValue("name")]
			if p.Envelope == "" {
				return notFound("signed policy", r.PathValue("name"))
			}
			p.Text = ""
			return rest.WriteJSON(w, 200, p)
		},
		rest.GetBootLog: func(w http.ResponseWriter, r *http.Request) error {
			if _, ok := f.agents[r.PathValue("id")]; !ok {
				return notFound("agent", r.PathValue("id"))
			}
			return rest.WriteJSON(w, 200, rest.BootLog{Epoch: "0123", Log: []byte("a\x00log\x1b"), Systemd: []byte("\x1e{}\n"), Proven: []int{0, 7}})
		},
		rest.ListBootPolicies: func(w http.ResponseWriter, r *http.Request) error {
			var l rest.BootPolicyList
			for _, p := range f.boots {
				p.Text = ""
				l.Policies = append(l.Policies, p)
			}
			return rest.WriteJSON(w, 200, l)
		},
		rest.AddBootPolicy:    f.putBootPolicy,
		rest.UpdateBootPolicy: f.putBootPolicy,
		rest.GetBootPolicy: func(w http.ResponseWriter, r *http.Request) error {
			p, ok := f.boots[r.PathValue("name")]
			if !ok {
				return notFound("boot policy", r.PathValue("name"))
			}
			return rest.WriteJSON(w, 200, p)
		},
		rest.DeleteBootPolicy: func(w http.ResponseWriter, r *http.Request) error {
			delete(f.boots, r.PathValue("name"))
			w.WriteHeader(204)
			return nil
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
		rest.DeletePolicy: func(w http.ResponseWriter, r *http.Request) error {
			delete(f.policies, r.PathValue("name"))
			w.WriteHeader(204)
			return nil
		},
	}
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

// putBootPolicy keeps the text of a boot policy to the byte.
func (f *fake) putBootPolicy(w http.ResponseWriter, r *http.Request) error {
	var body rest.BootPolicyRequest
	if err := rest.ReadJSON(r, rest.MaxBody, &body); err != nil {
		return err
	}
	in := rest.BootPolicy{Name: body.Name, Text: string(body.Text), Digest: hexSum(string(body.Text)), Kernels: 1, Firmwares: 1, Agents: 2, UpdatedAt: now.Add(-time.Hour)}
	f.boots[in.Name] = in
	in.Text = ""
	return rest.WriteJSON(w, 200, in)
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

// putPolicy keeps the text of a policy to the byte.
func (f *fake) putPolicy(w http.ResponseWriter, r *http.Request) error {
	var body rest.PolicyRequest
	if err := rest.ReadJSON(r, rest.MaxBody, &body); err != nil {
		return err
	}
	in := rest.RuntimePolicy{Name: body.Name, Text: string(body.Text)}
	if e, err := dsse.Parse([]byte(body.Text)); err == nil { // who signed the real verifier finds out
		in.Text, in.Envelope, in.SignedBy = string(e.Unverified()), string(body.Text), []rest.Signer{{KeyID: hexSum("key"), Subject: "CN=release\x1b"}}
	}
	sum := sha256.Sum256([]byte(in.Text))
	in.Digest, in.Paths, in.Agents, in.UpdatedAt = hex.EncodeToString(sum[:]), 1, 2, now.Add(-time.Hour)
	f.policies[in.Name] = in
	in.Text, in.Envelope = "", ""
	return rest.WriteJSON(w, 200, in)
}
