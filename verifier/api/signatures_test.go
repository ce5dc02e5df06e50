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

// bootText is a boot policy.
const bootText = `{"scrtm_and_bios":[],"pk":[],"kek":[],"db":[],"dbx":[],"mokdig":[],"mokxdig":[],"kernels":[{}]}`

// signedBy returns a policy that a new key signed, and the key.
func signedBy(t *testing.T, of dsse.Type, text string) (envelope string, by dsse.Signer, public []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e, by, err := dsse.Sign(rand.Reader, of, []byte(text), key, nil)
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
	envelope, by, public := signedBy(t, dsse.RuntimePolicy, text)
	h := serveSigned(t, newMemory(), rest.RoleOperator, signatures(t, true, public))
	added := decode[rest.RuntimePolicy](t, call(t, h, "POST", "/v1/policies", `{"name":"web","text":`+quoted(t, envelope)+`}`), 201)
	want := rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: sha(text), SignedBy: []rest.Signer{{KeyID: by.KeyID}}}, Excludes: 1}
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

// The policy in force stays in force, of both kinds.
func TestI12_PoliciesThatNobodyTrustedSignedAreRefused(t *testing.T) {
	refusesUnsigned(t, dsse.RuntimePolicy, "/v1/policies", "policy sign", `{"meta":{"version":1}}`, `{"meta":{"version":2}}`,
		rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Text: "before"}}, func(m *memory) map[string]rest.RuntimePolicy { return m.policies })
	refusesUnsigned(t, dsse.BootPolicy, "/v1/boot-policies", "boot-policy sign", bootText, `{"scrtm_and_bios":[]}`,
		rest.BootPolicy{Policy: rest.Policy{Name: "web", Text: "before"}}, func(m *memory) map[string]rest.BootPolicy { return m.boots })
}

// refusesUnsigned sends policies of one kind in place of one that is there: text is
// good, noPolicy is signed and says nothing.
func refusesUnsigned[T any](t *testing.T, of dsse.Type, path, sign, text, noPolicy string, before T, all func(*memory) map[string]T) {
	t.Helper()
	envelope, by, public := signedBy(t, of, text)
	broken, _, _ := signedBy(t, of, noPolicy)
	_, _, other := signedBy(t, of, text)
	tampered := strings.Replace(envelope, `"payload":"eyJ`, `"payload":"eyI`, 1)
	otherKind, _, _ := signedBy(t, map[dsse.Type]dsse.Type{dsse.RuntimePolicy: dsse.BootPolicy, dsse.BootPolicy: dsse.RuntimePolicy}[of], text)
	for _, c := range []struct {
		name, text    string
		s             Signatures
		message, hint string
	}{
		{"nobody is trusted", envelope, Signatures{Keys: new(dsse.Keys), Now: time.Now}, "trusted are: nobody", "policy_keys"},
		{"another is trusted", envelope, signatures(t, false, other), by.KeyID, "policy_keys"},
		{"changed", tampered, signatures(t, false, public), "one of them was changed", "policy_keys"},
		{"malformed", `{"payload":"e30=","payload":"e30="}`, signatures(t, false, public), "there twice", sign},
		{"of the other kind", otherKind, signatures(t, false, public), "payloadType: ", sign},
		{"not signed", text, signatures(t, true, public), "not signed", sign},
		{"not an envelope to some", `{"x":1,` + envelope[1:], signatures(t, true, public), "not signed", sign},
		{"untrusted, and no policy", broken, signatures(t, false, public), "signed by nobody who is trusted", "policy_keys"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory()
			all(m)["web"] = before
			h := serveSigned(t, m, rest.RoleOperator, c.s)
			for path, method := range map[string]string{path: "POST", path + "/web": "PUT"} {
				e := errorOf(t, call(t, h, method, path, `{"name":"web","text":`+quoted(t, c.text)+`}`))
				if e.Code != rest.CodeInvalid || !strings.Contains(e.Message, c.message) || !strings.Contains(e.Hint, c.hint) {
					t.Errorf("%s: %+v", method, e)
				}
			}
			if diff := cmp.Diff(map[string]T{"web": before}, all(m)); diff != "" {
				t.Errorf("the policies changed (-want +got):\n%s", diff)
			}
		})
	}
}

// A boot policy is kept with its envelope, too.
func TestSignedBootPolicyIsKeptWithItsEnvelope(t *testing.T) {
	envelope, by, public := signedBy(t, dsse.BootPolicy, bootText)
	h := serveSigned(t, newMemory(), rest.RoleOperator, signatures(t, true, public))
	added := decode[rest.BootPolicy](t, call(t, h, "POST", "/v1/boot-policies", `{"name":"web","text":`+quoted(t, envelope)+`}`), 201)
	if diff := cmp.Diff([]rest.Signer{{KeyID: by.KeyID}}, added.SignedBy); diff != "" || added.Digest != sha(bootText) {
		t.Errorf("%+v: %s", added, diff)
	}
	if got := decode[rest.BootPolicy](t, call(t, h, "GET", "/v1/boot-policies/web/signed", nil), 200); got.Envelope != envelope || got.Text != "" {
		t.Errorf("%+v", got)
	}
}

// A policy that somebody trusted signed must still be one.
func TestSignedPolicyIsCompiled(t *testing.T) {
	envelope, _, public := signedBy(t, dsse.RuntimePolicy, `{"meta":{"version":2}}`)
	h := serveSigned(t, newMemory(), rest.RoleOperator, signatures(t, true, public))
	if e := errorOf(t, call(t, h, "POST", "/v1/policies", `{"name":"web","text":`+quoted(t, envelope)+`}`)); e.Code != rest.CodeInvalid || !strings.Contains(e.Message, "meta.version") {
		t.Errorf("%+v", e)
	}
}
