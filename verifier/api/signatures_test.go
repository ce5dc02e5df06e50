package api

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/verifier/policy/dsse"
	"quicklime/wire/rest"
)

// signedBy returns a policy that a new key signed, and the key.
func signedBy(t *testing.T, text string) (envelope string, by dsse.Signer, public []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e, by, err := dsse.Sign(rand.Reader, []byte(text), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(e), by, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func signatures(t *testing.T, required bool, public ...[]byte) Signatures {
	t.Helper()
	s := Signatures{Keys: new(dsse.Keys), Required: required, Now: time.Now}
	if err := s.Keys.Add(bytes.Join(public, nil)); err != nil {
		t.Fatal(err)
	}
	return s
}

// What is stored is the policy; the envelope is there to the byte, beside it.
func TestSignedPolicyIsKeptWithItsEnvelope(t *testing.T) {
	text := `{"meta":{"version":1},"excludes":["/tmp/.*"]}`
	envelope, by, public := signedBy(t, text)
	h := serveSigned(t, newMemory(), rest.RoleOperator, signatures(t, true, public))
	added := decode[rest.RuntimePolicy](t, call(t, h, "POST", "/v1/policies", `{"name":"web","text":`+quoted(t, envelope)+`}`), 201)
	want := rest.RuntimePolicy{Name: "web", Digest: sha(text), Excludes: 1, SignedBy: []rest.Signer{{KeyID: by.KeyID}}}
	if diff := cmp.Diff(want, added); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
	if got := decode[rest.RuntimePolicy](t, call(t, h, "GET", "/v1/policies/web", nil), 200); got.Text != text || len(got.SignedBy) != 1 {
		t.Errorf("%+v", got)
	}
	if got := decode[rest.RuntimePolicy](t, call(t, h, "GET", "/v1/policies/web/signed", nil), 200); got.Envelope != envelope || got.Text != "" {
		t.Errorf("%+v", got)
	}
}

// The policy in force stays in force.
func TestI12_PoliciesThatNobodyTrustedSignedAreRefused(t *testing.T) {
	text := `{"meta":{"version":1}}`
	envelope, by, public := signedBy(t, text)
	broken, _, _ := signedBy(t, `{"meta":{"version":2}}`)
	_, _, other := signedBy(t, text)
	tampered := strings.Replace(envelope, `"payload":"eyJtZXRh`, `"payload":"eyJNZXRh`, 1)
	for _, c := range []struct {
		name, text    string
		s             Signatures
		message, hint string
	}{
		{"nobody is trusted", envelope, Signatures{Keys: new(dsse.Keys), Now: time.Now}, "trusted are: nobody", "policy_keys"},
		{"another is trusted", envelope, signatures(t, false, other), by.KeyID, "policy_keys"},
		{"changed", tampered, signatures(t, false, public), "one of them was changed", "policy_keys"},
		{"malformed", `{"payload":"e30=","payload":"e30="}`, signatures(t, false, public), "there twice", "policy sign"},
		{"not signed", text, signatures(t, true, public), "not signed", "policy sign"},
		{"not an envelope to some", `{"x":1,` + envelope[1:], signatures(t, true, public), "not signed", "policy sign"},
		{"untrusted, and no policy", broken, signatures(t, false, public), "signed by nobody who is trusted", "policy_keys"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory()
			before := rest.RuntimePolicy{Name: "web", Text: "before"}
			m.policies["web"] = before
			h := serveSigned(t, m, rest.RoleOperator, c.s)
			for path, method := range map[string]string{"/v1/policies": "POST", "/v1/policies/web": "PUT"} {
				e := errorOf(t, call(t, h, method, path, `{"name":"web","text":`+quoted(t, c.text)+`}`))
				if e.Code != rest.CodeInvalid || !strings.Contains(e.Message, c.message) || !strings.Contains(e.Hint, c.hint) {
					t.Errorf("%s: %+v", method, e)
				}
			}
			if diff := cmp.Diff(map[string]rest.RuntimePolicy{"web": before}, m.policies); diff != "" {
				t.Errorf("the policies changed (-want +got):\n%s", diff)
			}
		})
	}
}

// A policy that somebody trusted signed must still be one.
func TestSignedPolicyIsCompiled(t *testing.T) {
	envelope, _, public := signedBy(t, `{"meta":{"version":2}}`)
	h := serveSigned(t, newMemory(), rest.RoleOperator, signatures(t, true, public))
	if e := errorOf(t, call(t, h, "POST", "/v1/policies", `{"name":"web","text":`+quoted(t, envelope)+`}`)); e.Code != rest.CodeInvalid || !strings.Contains(e.Message, "meta.version") {
		t.Errorf("%+v", e)
	}
}
