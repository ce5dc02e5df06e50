package api

import (
	"net/http"

	"quicklime/verifier/bootpolicy"
	"quicklime/wire/rest"
)

// bootPolicies answers the routes under /v1/boot-policies, and for boot logs.
type bootPolicies struct{ v BootPolicies }

func (p bootPolicies) log(w http.ResponseWriter, r *http.Request) error {
	id, err := agentID(r)
	if err != nil {
		return err
	}
	out, err := p.v.GetBootLog(r.Context(), id)
	return answer(w, http.StatusOK, out, err)
}

func (p bootPolicies) list(w http.ResponseWriter, r *http.Request) error {
	l, err := p.v.ListBootPolicies(r.Context())
	return answer(w, http.StatusOK, l, err)
}

func (p bootPolicies) add(w http.ResponseWriter, r *http.Request) error {
	in, err := readBootPolicy(r)
	if err != nil {
		return err
	}
	if err := checkBootName(in.Name); err != nil {
		return err
	}
	out, err := p.v.AddBootPolicy(r.Context(), in)
	return answer(w, http.StatusCreated, out, err)
}

func (p bootPolicies) update(w http.ResponseWriter, r *http.Request) error {
	name, err := policyName(r)
	if err != nil {
		return err
	}
	in, err := readBootPolicy(r)
	if err != nil {
		return err
	}
	if in.Name != "" && in.Name != name {
		return rest.Errorf(rest.CodeBadRequest, "the body names boot policy %q, the path %q", in.Name, name)
	}
	in.Name = name
	out, err := p.v.UpdateBootPolicy(r.Context(), in)
	return answer(w, http.StatusOK, out, err)
}

func (p bootPolicies) get(w http.ResponseWriter, r *http.Request) error {
	name, err := policyName(r)
	if err != nil {
		return err
	}
	out, err := p.v.GetBootPolicy(r.Context(), name)
	return answer(w, http.StatusOK, out, err)
}

func (p bootPolicies) delete(w http.ResponseWriter, r *http.Request) error {
	name, err := policyName(r)
	if err != nil {
		return err
	}
	return answerNothing(w, p.v.DeleteBootPolicy(r.Context(), name))
}

// maxBootPolicyBody bounds the body of a boot policy: each byte of its text may
// take two, as quotes and line breaks do, and few take more.
const maxBootPolicyBody = 2*bootpolicy.MaxReference + 4<<10 // bytes

// readBootPolicy reads a boot policy that compiles. What it says besides name and
// text is derived from the text.
func readBootPolicy(r *http.Request) (out rest.BootPolicy, err error) {
	select {
	case uploads <- struct{}{}:
		defer func() { <-uploads }()
	case <-r.Context().Done():
		return out, r.Context().Err()
	}
	var in rest.BootPolicyRequest
	if err := rest.ReadJSON(r, maxBootPolicyBody, &in); err != nil {
		return out, err
	}
	if len(in.Text) == 0 {
		return out, rest.Errorf(rest.CodeBadRequest, "the body has no text")
	}
	p, err := bootpolicy.Parse([]byte(in.Text))
	if err != nil {
		return out, rest.Errorf(rest.CodeInvalid, "%v", err)
	}
	return rest.BootPolicy{
		Name: in.Name, Text: string(in.Text), Digest: p.Digest(), SecureBoot: p.SecureBoot(), Firmwares: p.Firmwares(), Kernels: p.Kernels(),
		Unknown: p.Unknown(), Warnings: p.Warnings(),
	}, nil
}

// checkBootName refuses what cannot name a boot policy that judges something.
func checkBootName(name string) error {
	if _, ok := bootpolicy.Named(name); ok {
		return rest.Errorf(rest.CodeBadRequest, "%q is no reference state of yours, but the name of a policy of Keylime's", name).
			WithHint("choose another name; an agent without a boot policy is what accept-all would be, and its status says so")
	}
	return checkName(name)
}
