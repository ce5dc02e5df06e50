package api

import (
	"context"
	"net/http"

	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dsse"
	"quicklime/wire/rest"
)

// policies answers the routes of one kind of policies.
type policies[T any] struct {
	v          Policies[T]
	kind       string // in words
	noun       string // of the tenant's commands, and the option of "agent update"
	hintList   string
	of         dsse.Type
	signatures Signatures
	maxBody    int64                        // bytes
	checkName  func(string) error           // of one that is added
	compile    func(rest.Policy) (T, error) // adds what the text says
}

func runtimePolicies(v Verifier, s Signatures) policies[rest.RuntimePolicy] {
	compile := func(common rest.Policy) (rest.RuntimePolicy, error) {
		p, err := policy.Parse([]byte(common.Text))
		if err != nil {
			return rest.RuntimePolicy{}, rest.Errorf(rest.CodeInvalid, "%v", err)
		}
		v.Compiled(p)
		common.Digest, common.Unknown, common.Warnings = p.Digest(), p.Unknown(), p.Warnings()
		return rest.RuntimePolicy{Policy: common, Paths: p.Paths(), Excludes: p.Excludes(), Empty: p.Empty()}, nil
	}
	return policies[rest.RuntimePolicy]{v.RuntimePolicies(), "policy", "policy", hintPolicies, dsse.RuntimePolicy, s, rest.MaxBody, checkName, compile}
}

// handlers returns what answers each of the routes.
func (p policies[T]) handlers(r rest.PolicyRoutes) map[rest.Route]rest.Handler {
	return map[rest.Route]rest.Handler{
		r.List: p.list, r.Add: p.add, r.Get: p.named(p.v.Get), r.GetSigned: p.named(p.v.GetSigned), r.Update: p.update, r.Delete: p.delete,
	}
}

// hints say what to do about a refusal.
func (p policies[T]) hints(r rest.PolicyRoutes) map[rest.Route]map[rest.Code]string {
	command := `"quicklime-tenant ` + p.noun
	invalid := "correct the " + p.kind + " at the places named and send it again"
	return map[rest.Route]map[rest.Code]string{
		r.Get:       {rest.CodeNotFound: p.hintList},
		r.GetSigned: {rest.CodeNotFound: p.hintList},
		r.Add:       {rest.CodeInvalid: invalid, rest.CodeConflict: `replace it with ` + command + ` update", or choose another name`},
		r.Update:    {rest.CodeInvalid: invalid, rest.CodeNotFound: `a new ` + p.kind + ` is added with ` + command + ` add"`},
		r.Delete: {
			rest.CodeNotFound: p.hintList,
			rest.CodeConflict: `give its agents another ` + p.kind + ` first with "quicklime-tenant agent update --` + p.noun + `"`,
		},
	}
}

func (p policies[T]) list(w http.ResponseWriter, r *http.Request) error {
	all, err := p.v.List(r.Context())
	return answer(w, http.StatusOK, rest.PolicyList[T]{Policies: all}, err)
}

// named answers with what get has by the name in the path.
func (p policies[T]) named(get func(context.Context, string) (T, error)) rest.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		name, err := policyName(r)
		if err != nil {
			return err
		}
		out, err := get(r.Context(), name)
		return answer(w, http.StatusOK, out, err)
	}
}

func (p policies[T]) add(w http.ResponseWriter, r *http.Request) error {
	in, err := p.read(r, "")
	if err != nil {
		return err
	}
	out, err := p.v.Add(r.Context(), in)
	return answer(w, http.StatusCreated, out, err)
}

func (p policies[T]) update(w http.ResponseWriter, r *http.Request) error {
	name, err := policyName(r)
	if err != nil {
		return err
	}
	in, err := p.read(r, name)
	if err != nil {
		return err
	}
	out, err := p.v.Update(r.Context(), in)
	return answer(w, http.StatusOK, out, err)
}

func (p policies[T]) delete(w http.ResponseWriter, r *http.Request) error {
	name, err := policyName(r)
	if err != nil {
		return err
	}
	return answerNothing(w, p.v.Delete(r.Context(), name))
}

// uploads bounds the policies that are read at one time, each of which may take
// some times rest.MaxBody of memory; others wait.
var uploads = make(chan struct{}, 2)

// read reads a policy that is signed as it must be, and compiles. name is what it is
// called; empty: as the body says. Only name and text of the body count; the other
// members are there so that what Get answers can be sent back, and are derived from the
// text anew.
func (p policies[T]) read(r *http.Request, name string) (out T, err error) {
	select {
	case uploads <- struct{}{}:
		defer func() { <-uploads }()
	case <-r.Context().Done():
		return out, r.Context().Err()
	}
	var in rest.PolicyRequest
	if err := rest.ReadJSON(r, p.maxBody, &in); err != nil {
		return out, err
	}
	if name == "" {
		name, err = in.Name, p.checkName(in.Name)
	} else if in.Name != "" && in.Name != name {
		err = rest.Errorf(rest.CodeBadRequest, "the body names %s %q, the path %q", p.kind, in.Name, name)
	}
	if err == nil && in.Text == "" {
		err = rest.Errorf(rest.CodeBadRequest, "the body has no text")
	}
	if err != nil {
		return out, err
	}
	common, err := p.open(string(in.Text))
	if err != nil {
		return out, err
	}
	common.Name = name
	return p.compile(common)
}
