package api

import (
	"net/http"

	"quicklime/verifier/policy"
	"quicklime/wire/rest"
)

// policies answers the routes under /v1/policies.
type policies struct {
	v          Policies
	signatures Signatures
}

func (p policies) list(w http.ResponseWriter, r *http.Request) error {
	l, err := p.v.ListPolicies(r.Context())
	return answer(w, http.StatusOK, l, err)
}

func (p policies) add(w http.ResponseWriter, r *http.Request) error {
	in, compiled, err := p.read(r)
	if err != nil {
		return err
	}
	if err := checkName(in.Name); err != nil {
		return err
	}
	out, err := p.v.AddPolicy(r.Context(), in, compiled)
	return answer(w, http.StatusCreated, out, err)
}

func (p policies) update(w http.ResponseWriter, r *http.Request) error {
	name, err := policyName(r)
	if err != nil {
		return err
	}
	in, compiled, err := p.read(r)
	if err != nil {
		return err
	}
	if in.Name != "" && in.Name != name {
		return rest.Errorf(rest.CodeBadRequest, "the body names policy %q, the path %q", in.Name, name)
	}
	in.Name = name
	out, err := p.v.UpdatePolicy(r.Context(), in, compiled)
	return answer(w, http.StatusOK, out, err)
}

func (p policies) get(w http.ResponseWriter, r *http.Request) error {
	name, err := policyName(r)
	if err != nil {
		return err
	}
	out, err := p.v.GetPolicy(r.Context(), name)
	return answer(w, http.StatusOK, out, err)
}

func (p policies) getSigned(w http.ResponseWriter, r *http.Request) error {
	name, err := policyName(r)
	if err != nil {
		return err
	}
	out, err := p.v.GetSignedPolicy(r.Context(), name)
	return answer(w, http.StatusOK, out, err)
}

func (p policies) delete(w http.ResponseWriter, r *http.Request) error {
	name, err := policyName(r)
	if err != nil {
		return err
	}
	return answerNothing(w, p.v.DeletePolicy(r.Context(), name))
}

// uploads bounds the policies that are read at one time, each of which may take
// some times rest.MaxBody of memory; others wait.
var uploads = make(chan struct{}, 2)

// read reads a policy that is signed as it must be, and compiles. Only name and text
// of the body count; the other members are there so that an answer of GetPolicy can
// be sent back, and are derived from the text anew.
func (p policies) read(r *http.Request) (rest.RuntimePolicy, *policy.Policy, error) {
	select {
	case uploads <- struct{}{}:
		defer func() { <-uploads }()
	case <-r.Context().Done():
		return rest.RuntimePolicy{}, nil, r.Context().Err()
	}
	var in rest.PolicyRequest
	if err := rest.ReadJSON(r, rest.MaxBody, &in); err != nil {
		return rest.RuntimePolicy{}, nil, err
	}
	if len(in.Text) == 0 {
		return rest.RuntimePolicy{}, nil, rest.Errorf(rest.CodeBadRequest, "the body has no text")
	}
	out, err := p.signatures.open(string(in.Text))
	if err != nil {
		return rest.RuntimePolicy{}, nil, err
	}
	compiled, err := policy.Parse([]byte(out.Text))
	if err != nil {
		return rest.RuntimePolicy{}, nil, rest.Errorf(rest.CodeInvalid, "%v", err)
	}
	out.Name, out.Digest, out.Paths, out.Excludes = in.Name, compiled.Digest(), compiled.Paths(), compiled.Excludes()
	out.Unknown, out.Empty, out.Warnings = compiled.Unknown(), compiled.Empty(), compiled.Warnings()
	return out, compiled, nil
}
