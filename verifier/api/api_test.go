package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-tpm/tpm2"

	"quicklime/verifier/policy/dsse"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
	"quicklime/wire/tpm/softtpm"
)

// area returns a TPMT_PUBLIC of the template with a fresh key in it.
func area(t *testing.T, template tpm2.TPMTPublic) []byte {
	t.Helper()
	b, _ := softtpm.Area(t, template)
	return b
}

// enrolment returns one that checks, with the EK of a real TPM.
func enrolment(t *testing.T) rest.Enrolment {
	t.Helper()
	b, err := os.ReadFile("../../testdata/captures/direct-6.1-ima-ng/ek_rsa2048.pub.tpm2b_public.bin")
	if err != nil {
		t.Fatal(err)
	}
	ek, err := tpm.ParsePublic(b[2:]) // TPM2B: size u16 | TPMT_PUBLIC
	if err != nil {
		t.Fatal(err)
	}
	return rest.Enrolment{
		ID: ek.AgentID(), Label: "web-1", EKPublic: ek.Bytes(),
		AKPublic: area(t, tpm.AKTemplate()), Transport: area(t, tpm.TransportTemplate()),
		LowestBank: pcr.SHA256,
	}
}

// serve returns the API on top of v, for callers of the given role; nobody is
// trusted to sign policies.
func serve(t *testing.T, v Verifier, role rest.Role) http.Handler {
	t.Helper()
	return serveSigned(t, v, role, Signatures{Keys: new(dsse.Keys), Now: time.Now})
}

func serveSigned(t *testing.T, v Verifier, role rest.Role, s Signatures) http.Handler {
	t.Helper()
	roleOf := func(*http.Request) rest.Role { return role }
	h, err := rest.NewMux(rest.VerifierRoutes, Handlers(v, s), roleOf, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// call makes a call. A body that is no string goes as JSON.
func call(t *testing.T, h http.Handler, method, path string, body any) *httptest.ResponseRecorder {
	t.Helper()
	text, ok := body.(string)
	if !ok && body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(text)))
	return w
}

// errorOf reads the error of an answer; the zero Error if it is none.
func errorOf(t *testing.T, w *httptest.ResponseRecorder) rest.Error {
	t.Helper()
	var e rest.ErrorBody
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Error == nil {
		return rest.Error{}
	}
	return *e.Error
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder, status int) (v T) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// A walk over every route with nobody's and with somebody else's certificate.
func TestI12_EveryRouteNeedsItsRole(t *testing.T) {
	for role, want := range map[rest.Role]rest.Code{"": rest.CodeUnauthorised, "agent": rest.CodeForbidden} {
		m := newMemory()
		m.broken = rest.Errorf(rest.CodeConflict, "a handler was reached")
		h := serve(t, m, role)
		for _, r := range rest.VerifierRoutes {
			path := strings.NewReplacer("{id}", strings.Repeat("a", 64), "{name}", "web").Replace(r.Pattern)
			if e := errorOf(t, call(t, h, r.Method, path, nil)); e.Code != want {
				t.Errorf("%s %s as %q: %+v, want %s", r.Method, path, role, e, want)
			}
		}
	}
}

func TestAgentLifeCycle(t *testing.T) {
	m := newMemory()
	m.policies["web"] = rest.RuntimePolicy{Policy: rest.Policy{Name: "web"}}
	h := serve(t, m, rest.RoleOperator)
	e := enrolment(t)
	e.Policy = "web"

	added := decode[rest.Agent](t, call(t, h, "POST", "/v1/agents", e), 201)
	if added.ID != e.ID || added.Policies.Runtime != "web" {
		t.Errorf("enrolled %+v", added)
	}
	if diff := cmp.Diff([]rest.Enrolment{e}, m.enrolled); diff != "" {
		t.Errorf("what reached the verifier (-want +got):\n%s", diff)
	}
	path := "/v1/agents/" + e.ID
	if got := decode[rest.Agent](t, call(t, h, "GET", path, nil), 200); !cmp.Equal(got, added) {
		t.Errorf("got %+v, enrolled %+v", got, added)
	}
	l := decode[rest.AgentList](t, call(t, h, "GET", "/v1/agents", nil), 200)
	if diff := cmp.Diff([]rest.Agent{added}, l.Agents); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	updated := decode[rest.Agent](t, call(t, h, "PATCH", path, `{"label": "web-2", "policy": ""}`), 200)
	if updated.Label != "web-2" || updated.Policies.Runtime != "" {
		t.Errorf("updated %+v", updated)
	}
	e.AKPublic, e.Transport = area(t, tpm.AKTemplate()), area(t, tpm.TransportTemplate())
	decode[rest.Agent](t, call(t, h, "POST", path+"/rebind", e), 200)
	if got := m.enrolled[len(m.enrolled)-1]; !bytes.Equal(got.AKPublic, e.AKPublic) {
		t.Error("the new keys did not reach the verifier")
	}
	if got := decode[rest.Agent](t, call(t, h, "POST", path+"/clear", `{"failures":0}`), 200); got.Revision != 4 {
		t.Errorf("revision %d after update, rebind and clear of 1", got.Revision)
	}
	if w := call(t, h, "DELETE", path, nil); w.Code != 204 || w.Body.Len() != 0 || len(m.agents) != 0 {
		t.Errorf("delete: %d %s", w.Code, w.Body)
	}
}

// The text keeps its white space, its "<" and its escapes, and the digest is of
// just these bytes.
func TestPolicyKeepsItsTextToTheByte(t *testing.T) {
	h := serve(t, newMemory(), rest.RoleOperator)
	text := `{ "meta":{"version":1},` + "\n\t" + `"digests":{"/usr/bin/a<b>\u00e9":["` + strings.Repeat("ab", 32) + `"]}, "mine": 1 }`

	added := decode[rest.RuntimePolicy](t, call(t, h, "POST", "/v1/policies", `{"name":"web","text":`+quoted(t, text)+`}`), 201)
	want := rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: sha(text), Unknown: []string{"mine"}}, Paths: 1}
	if diff := cmp.Diff(want, added); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
	w := call(t, h, "GET", "/v1/policies/web", nil)
	want.Text = text
	if diff := cmp.Diff(want, decode[rest.RuntimePolicy](t, w, 200)); diff != "" {
		t.Errorf("got (-want +got):\n%s", diff)
	}
	if l := decode[rest.PolicyList[rest.RuntimePolicy]](t, call(t, h, "GET", "/v1/policies", nil), 200); len(l.Policies) != 1 {
		t.Errorf("list %+v", l)
	}
	if w := call(t, h, "DELETE", "/v1/policies/web", nil); w.Code != 204 {
		t.Errorf("delete: %d %s", w.Code, w.Body)
	}
}

func quoted(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
