package tenant

import (
	"net/http"
	"time"

	"quicklime/verifier/policy/dsse"
	"quicklime/wire/rest"
)

// fakePolicies are the policies of one kind at the fake verifier.
type fakePolicies[T any] struct {
	all    map[string]T
	of     dsse.Type
	word   string
	common func(*T) *rest.Policy
	say    func(*T) // something of the text
}

// add adds the handlers.
func (f fakePolicies[T]) add(table map[rest.Route]rest.Handler, r rest.PolicyRoutes) {
	table[r.List] = f.list
	table[r.Add], table[r.Update] = f.put, f.put
	table[r.Get] = f.get(func(p *rest.Policy) { p.Envelope = "" })
	table[r.GetSigned] = f.get(func(p *rest.Policy) { p.Text = "" })
	table[r.Delete] = func(w http.ResponseWriter, r *http.Request) error {
		delete(f.all, r.PathValue("name"))
		w.WriteHeader(204)
		return nil
	}
}

func (f fakePolicies[T]) list(w http.ResponseWriter, r *http.Request) error {
	var l rest.PolicyList[T]
	for _, p := range f.all {
		f.common(&p).Text, f.common(&p).Envelope = "", ""
		l.Policies = append(l.Policies, p)
	}
	return rest.WriteJSON(w, 200, l)
}

// get answers with a policy, of which less drops what is not asked for.
func (f fakePolicies[T]) get(less func(*rest.Policy)) rest.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		p, ok := f.all[r.PathValue("name")]
		less(f.common(&p))
		if c := f.common(&p); !ok || c.Text == "" && c.Envelope == "" {
			return notFound(f.word, r.PathValue("name"))
		}
		return rest.WriteJSON(w, 200, p)
	}
}

// put keeps the text of a policy to the byte. Who signed it the real verifier finds out.
func (f fakePolicies[T]) put(w http.ResponseWriter, r *http.Request) error {
	var body rest.PolicyRequest
	if err := rest.ReadJSON(r, rest.MaxBody, &body); err != nil {
		return err
	}
	var p T
	in := f.common(&p)
	in.Name, in.Text, in.Agents, in.UpdatedAt = body.Name, string(body.Text), 2, now.Add(-time.Hour)
	if e, err := dsse.Parse(f.of, []byte(body.Text)); err == nil {
		in.Text, in.Envelope, in.SignedBy = string(e.Unverified()), string(body.Text), []rest.Signer{{KeyID: hexSum("key"), Subject: "CN=release\x1b"}}
	}
	in.Digest = hexSum(in.Text)
	f.say(&p)
	f.all[in.Name] = p
	in.Text, in.Envelope = "", ""
	return rest.WriteJSON(w, 200, p)
}
