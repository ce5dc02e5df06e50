package api

import (
	"errors"
	"maps"
	"net/http"

	"quicklime/wire"
	"quicklime/wire/rest"
)

// Handlers returns a handler for every route of rest.VerifierRoutes, as
// rest.NewMux takes them. s says whose policies are taken.
func Handlers(v Verifier, s Signatures) map[rest.Route]rest.Handler {
	a, l, e := agents{v}, payloads{v}, events{v}
	runtime, boot := runtimePolicies(v, s), bootPolicies(v, s)
	table := map[rest.Route]rest.Handler{
		rest.ListAgents:  a.list,
		rest.EnrolAgent:  a.enrol,
		rest.GetAgent:    a.get,
		rest.UpdateAgent: a.update,
		rest.RebindAgent: a.rebind,
		rest.ClearAgent:  a.clear,
		rest.DeleteAgent: a.delete,
		rest.GetBootLog:  a.bootLog,

		rest.ListPayloads:    l.list,
		rest.ListAllPayloads: l.listAll,
		rest.AddPayload:      l.add,
		rest.GetPayload:      l.get,
		rest.PutPayload:      l.put,
		rest.DeletePayload:   l.delete,

		rest.SearchMeasurements: measurements{v}.search,

		rest.ListEvents:        e.list,
		rest.GetRevocationKeys: e.keys,
		rest.ListDeadLetters:   e.dead,
		rest.RetryDeadLetters:  e.retry,
		rest.DropDeadLetters:   e.drop,
	}
	maps.Copy(table, runtime.handlers(rest.RuntimePolicyRoutes))
	maps.Copy(table, boot.handlers(rest.BootPolicyRoutes))
	all := maps.Clone(hints)
	maps.Copy(all, runtime.hints(rest.RuntimePolicyRoutes))
	maps.Copy(all, boot.hints(rest.BootPolicyRoutes))
	for route, h := range table {
		table[route] = hinted(h, all[route])
	}
	return table
}

// hinted gives h's refusals the route's hint for their code, unless they come
// with their own.
func hinted(h rest.Handler, hints map[rest.Code]string) rest.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		var refusal *rest.Error
		if errors.As(err, &refusal) && refusal.Hint == "" && hints[refusal.Code] != "" {
			return refusal.WithHint("%s", hints[refusal.Code])
		}
		return err
	}
}

const (
	hintAgents   = `"quicklime-tenant agent list" shows the agents that are enrolled`
	hintPolicies = `"quicklime-tenant policy list" shows the policies there are`
	hintPayloads = `"quicklime-tenant payload list" shows the payloads of an agent`
	hintPolicy   = `add the policy first with "quicklime-tenant policy add" or "quicklime-tenant boot-policy add", or name another`
	hintBoot     = `"quicklime-tenant boot-policy list" shows the boot policies there are`
	hintIdentity = `let the machine register again and enrol it with "quicklime-tenant agent add"`
)

// hints say what to do about a refusal. Those of policies say it themselves.
var hints = map[rest.Route]map[rest.Code]string{
	rest.EnrolAgent: {
		rest.CodeConflict: `change its policy with "quicklime-tenant agent update", or remove it first with "quicklime-tenant agent delete"`,
		rest.CodeNotFound: hintPolicy,
		rest.CodeInvalid:  hintIdentity,
	},
	rest.GetAgent: {rest.CodeNotFound: hintAgents},
	rest.UpdateAgent: {
		rest.CodeNotFound: hintAgents + "; " + hintPolicies + "; " + hintBoot,
		rest.CodeInvalid:  "send a label or a policy",
	},
	rest.RebindAgent: {
		rest.CodeNotFound: `an agent that is not enrolled is added with "quicklime-tenant agent add"`,
		rest.CodeConflict: `"quicklime-tenant agent status" shows the agent as it is now`,
		rest.CodeInvalid:  hintIdentity,
	},
	rest.ClearAgent: {
		rest.CodeNotFound: hintAgents,
		rest.CodeConflict: `look at them with "quicklime-tenant agent status", and clear again`,
	},
	rest.DeleteAgent:  {rest.CodeNotFound: hintAgents},
	rest.ListPayloads: {rest.CodeNotFound: hintAgents},
	rest.AddPayload: {
		rest.CodeNotFound: hintAgents,
		rest.CodeConflict: `send it again: "quicklime-tenant payload send" chooses a newer version`,
		rest.CodeTooLarge: `withdraw what is not needed any more with "quicklime-tenant payload delete"`,
	},
	rest.GetPayload:    {rest.CodeNotFound: hintPayloads},
	rest.PutPayload:    {rest.CodeNotFound: hintPayloads, rest.CodeInvalid: `send it again with "quicklime-tenant payload send"`},
	rest.DeletePayload: {rest.CodeNotFound: hintPayloads},
	rest.GetBootLog:    {rest.CodeNotFound: hintAgents},
}

// agentID returns the id in the path (I03).
func agentID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !wire.ValidID(id) {
		return "", rest.Errorf(rest.CodeBadRequest, "%q is not an agent id", id).
			WithHint("an agent id is 64 lower-case hexadecimal digits")
	}
	return id, nil
}

// policyName returns the name in the path (I03).
func policyName(r *http.Request) (string, error) {
	name := r.PathValue("name")
	return name, checkName(name)
}

func checkName(name string) error {
	if wire.ValidName(name) {
		return nil
	}
	return rest.Errorf(rest.CodeBadRequest, "%q cannot name a policy", name).
		WithHint("a name is 1 to 64 of a–z, A–Z, 0–9, '.', '_' and '-', the first a letter or digit")
}
