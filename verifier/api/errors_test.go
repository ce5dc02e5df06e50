package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

func sha(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestI03_I06_Refusals(t *testing.T) {
	good := enrolment(t)
	with := func(change func(*rest.Enrolment)) rest.Enrolment {
		e := good
		change(&e)
		return e
	}
	other := strings.Repeat("0", 64)
	enrolled, nobody := "/v1/agents/"+good.ID, "/v1/agents/"+other
	const policy = `{"meta":{"version":1}}`
	cases := []struct {
		name, method, path string
		body               any
		code               rest.Code
		message, hint      string // parts of them
	}{
		{"id with a space", "GET", "/v1/agents/%20" + good.ID[1:], nil, rest.CodeBadRequest, "is not an agent id", "64 lower-case"},
		{"id in capitals", "DELETE", "/v1/agents/" + strings.Repeat("A", 64), nil, rest.CodeBadRequest, "is not an agent id", "64 lower-case"},
		{"short id", "PATCH", "/v1/agents/" + good.ID[:12], `{"label":"x"}`, rest.CodeBadRequest, "is not an agent id", "64 lower-case"},
		{"clear a short id", "POST", "/v1/agents/" + good.ID[:12] + "/clear", nil, rest.CodeBadRequest, "is not an agent id", "64 lower-case"},
		{"unknown agent", "GET", nobody, nil, rest.CodeNotFound, "not enrolled", "agent list"},
		{"poll for an unknown agent", "GET", nobody + "?after=1", nil, rest.CodeNotFound, "not enrolled", "agent list"},
		{"after is no number", "GET", enrolled + "?after=x", nil, rest.CodeBadRequest, `after="x"`, "the last answer"},
		{"after is empty", "GET", enrolled + "?after=", nil, rest.CodeBadRequest, `after=""`, "the last answer"},
		{"after is negative", "GET", enrolled + "?after=-1", nil, rest.CodeBadRequest, `after="-1"`, "the last answer"},
		{"clear unseen", "POST", enrolled + "/clear", `{"failures":7}`, rest.CodeConflict, "failures", "agent status"},
		{"clear without a count", "POST", enrolled + "/clear", nil, rest.CodeBadRequest, "empty", ""},
		{"clear an unknown agent", "POST", nobody + "/clear", `{"failures":0}`, rest.CodeNotFound, "not enrolled", "agent list"},
		{"delete an unknown agent", "DELETE", nobody, nil, rest.CodeNotFound, "not enrolled", "agent list"},

		{"enrol twice", "POST", "/v1/agents", good, rest.CodeConflict, "already enrolled", "agent update"},
		{"enrol nothing", "POST", "/v1/agents", nil, rest.CodeBadRequest, "empty", ""},
		{"enrol with an unknown member", "POST", "/v1/agents", `{"id":"` + good.ID + `","trusted":true}`, rest.CodeBadRequest, "trusted", ""},
		{"enrol with too much", "POST", "/v1/agents", strings.Repeat(" ", rest.MaxSmallBody+1), rest.CodeTooLarge, "larger than", ""},
		{"enrol without id", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.ID = "" }), rest.CodeBadRequest, "is not an agent id", "64 lower-case"},
		{"enrol under another's id", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.ID = other }), rest.CodeInvalid, "the EK is that of " + good.ID, "register again"},
		{"enrol with half an EK", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.EKPublic = e.EKPublic[:40] }), rest.CodeInvalid, "EK: ", "register again"},
		{"enrol with another kind of AK", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.AKPublic = e.Transport }), rest.CodeInvalid, "AK is not of", "register again"},
		{"enrol with another kind of transport key", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.Transport = e.AKPublic }), rest.CodeInvalid, "transport key is not of", "register again"},
		{"enrol with a label of two lines", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.Label = "a\nb" }), rest.CodeBadRequest, "label", ""},
		{"enrol without a bank", "POST", "/v1/agents", `{"id":"` + good.ID + `","label":""}`, rest.CodeInvalid, "lowest_bank", "sha256"},
		{"enrol with an unknown bank", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.LowestBank = pcr.Bank(0x12) }), rest.CodeInvalid, "lowest_bank", "sha256"},
		{"enrol under a path", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.Policy = "../web" }), rest.CodeBadRequest, "cannot name a policy", "1 to 64"},

		{"update nothing", "PATCH", enrolled, `{}`, rest.CodeInvalid, "changes nothing", "a label or a policy"},
		{"update to a label of two lines", "PATCH", enrolled, `{"label":"a\u001bb"}`, rest.CodeBadRequest, "label", ""},
		{"update to a path", "PATCH", enrolled, `{"policy":"a/b"}`, rest.CodeBadRequest, "cannot name a policy", "1 to 64"},
		{"update to no such policy", "PATCH", enrolled, `{"policy":"none"}`, rest.CodeNotFound, "no policy none", "policy list"},
		{"update an unknown agent", "PATCH", nobody, `{"label":"x"}`, rest.CodeNotFound, "not enrolled", "agent list"},
		{"update what cannot be", "PATCH", enrolled, `{"lowest_bank":"sha1"}`, rest.CodeBadRequest, "lowest_bank", ""},

		{"enrol under a boot policy that is a path", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.BootPolicy = "../web" }), rest.CodeBadRequest, "cannot name a policy", "1 to 64"},
		{"enrol under a TPM policy of PCR 10", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.TPMPolicy = `{"10":["00"]}` }), rest.CodeInvalid, "PCR 10 is what the measurement list", "tpm_policy"},
		{"enrol under a TPM policy that is too weak", "POST", "/v1/agents", with(func(e *rest.Enrolment) { e.TPMPolicy = rest.Text(`{"16":"` + strings.Repeat("0", 40) + `"}`) }), rest.CodeInvalid, "no value of bank sha256 or a stronger one for PCRs [16]", "stronger bank"},
		{"update to a boot policy that is a path", "PATCH", enrolled, `{"boot_policy":"a/b"}`, rest.CodeBadRequest, "cannot name a policy", "1 to 64"},
		{"update to a TPM policy that is none", "PATCH", enrolled, `{"tpm_policy":"{\"24\":[]}"}`, rest.CodeInvalid, "from 0 to 23", "tpm_policy"},

		{"rebind another", "POST", nobody + "/rebind", good, rest.CodeBadRequest, "the path names " + other, ""},
		{"rebind to the same keys", "POST", enrolled + "/rebind", good, rest.CodeConflict, "enrolled now", "agent status"},
		{"rebind to another kind of AK", "POST", enrolled + "/rebind", with(func(e *rest.Enrolment) { e.AKPublic = e.Transport }), rest.CodeInvalid, "AK is not of", "register again"},
		{"rebind a short id", "POST", "/v1/agents/abc/rebind", good, rest.CodeBadRequest, "is not an agent id", "64 lower-case"},

		{"boot log of an unknown agent", "GET", nobody + "/boot-log", nil, rest.CodeNotFound, "not enrolled", "agent list"},
		{"boot log of a short id", "GET", "/v1/agents/abc/boot-log", nil, rest.CodeBadRequest, "is not an agent id", "64 lower-case"},
		{"boot policy that is there", "POST", "/v1/boot-policies", `{"name":"web","text":` + quoted(t, bootText) + `}`, rest.CodeConflict, "there is a boot policy", "boot-policy update"},
		{"boot policy with a bad name", "POST", "/v1/boot-policies", `{"name":".web","text":` + quoted(t, bootText) + `}`, rest.CodeBadRequest, "cannot name a policy", "1 to 64"},
		{"boot policy with a name of Keylime's", "POST", "/v1/boot-policies", `{"name":"accept-all","text":` + quoted(t, bootText) + `}`, rest.CodeBadRequest, "accept-all", "choose another name"},
		{"boot policy without text", "POST", "/v1/boot-policies", `{"name":"x"}`, rest.CodeBadRequest, "no text", ""},
		{"boot policy that does not compile", "POST", "/v1/boot-policies", `{"name":"x","text":"{}"}`, rest.CodeInvalid, "it says nothing", "places named"},
		{"update to a boot policy that does not compile", "PUT", "/v1/boot-policies/web", `{"text":"{}"}`, rest.CodeInvalid, "it says nothing", "places named"},
		{"update of a boot policy under another name", "PUT", "/v1/boot-policies/web", `{"name":"db","text":` + quoted(t, bootText) + `}`, rest.CodeBadRequest, `the path "web"`, ""},
		{"update of no such boot policy", "PUT", "/v1/boot-policies/none", `{"text":` + quoted(t, bootText) + `}`, rest.CodeNotFound, "no boot policy none", "boot-policy add"},
		{"no such boot policy", "GET", "/v1/boot-policies/none", nil, rest.CodeNotFound, "no boot policy none", "boot-policy list"},
		{"delete no such boot policy", "DELETE", "/v1/boot-policies/none", nil, rest.CodeNotFound, "no boot policy none", "boot-policy list"},

		{"policy that is there", "POST", "/v1/policies", `{"name":"web","text":` + quoted(t, policy) + `}`, rest.CodeConflict, "there is a policy", "policy update"},
		{"policy with a bad name", "POST", "/v1/policies", `{"name":".web","text":` + quoted(t, policy) + `}`, rest.CodeBadRequest, "cannot name a policy", "1 to 64"},
		{"policy without text", "POST", "/v1/policies", `{"name":"x"}`, rest.CodeBadRequest, "no text", ""},
		{"policy that does not compile", "POST", "/v1/policies", `{"name":"x","text":` + quoted(t, `{"meta":{"version":1},"excludes":["(?=a)"]}`) + `}`, rest.CodeInvalid, "excludes[0]", "places named"},
		{"update to what does not compile", "PUT", "/v1/policies/web", `{"text":` + quoted(t, `{"meta":{"version":9}}`) + `}`, rest.CodeInvalid, "version", "places named"},
		{"update under another name", "PUT", "/v1/policies/web", `{"name":"db","text":` + quoted(t, policy) + `}`, rest.CodeBadRequest, `the path "web"`, ""},
		{"update an unknown policy", "PUT", "/v1/policies/none", `{"text":` + quoted(t, policy) + `}`, rest.CodeNotFound, "no policy none", "policy add"},
		{"update under a bad name", "PUT", "/v1/policies/.x", `{"text":` + quoted(t, policy) + `}`, rest.CodeBadRequest, "cannot name", "1 to 64"},
		{"get an unknown policy", "GET", "/v1/policies/none", nil, rest.CodeNotFound, "no policy none", "policy list"},
		{"get a bad name", "GET", "/v1/policies/a%20b", nil, rest.CodeBadRequest, "cannot name", "1 to 64"},
		{"delete a policy in use", "DELETE", "/v1/policies/web", nil, rest.CodeConflict, "is used", "agent update --policy"},
		{"delete an unknown policy", "DELETE", "/v1/policies/none", nil, rest.CodeNotFound, "no policy none", "policy list"},
		{"delete a bad name", "DELETE", "/v1/policies/-", nil, rest.CodeBadRequest, "cannot name", "1 to 64"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newMemory()
			m.policies["web"] = rest.RuntimePolicy{Policy: rest.Policy{Name: "web"}}
			m.boots["web"] = rest.BootPolicy{Policy: rest.Policy{Name: "web"}}
			m.agents[good.ID] = rest.Agent{ID: good.ID, Revision: 1, Policies: rest.Policies{Runtime: "web"}}
			m.enrolled = []rest.Enrolment{good}
			w := call(t, serve(t, m, rest.RoleOperator), c.method, c.path, c.body)
			e := errorOf(t, w)
			if e.Code != c.code || w.Code != rest.Status[c.code] {
				t.Fatalf("status %d, %+v, want %s", w.Code, e, c.code)
			}
			if !strings.Contains(e.Message, c.message) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("message %q, hint %q", e.Message, e.Hint)
			}
			if len(m.enrolled) != 1 || m.agents[good.ID].Revision != 1 {
				t.Error("a refused call changed something")
			}
		})
	}
}

func TestEnrolUnderUnknownPolicy(t *testing.T) {
	e := enrolment(t)
	e.Policy = "none"
	got := errorOf(t, call(t, serve(t, newMemory(), rest.RoleOperator), "POST", "/v1/agents", e))
	if got.Code != rest.CodeNotFound || !strings.Contains(got.Hint, "policy add") {
		t.Errorf("%+v", got)
	}
}

// What is wrong inside the verifier is not for a client to read.
func TestInternalErrorsStayInside(t *testing.T) {
	m := newMemory()
	m.broken = errors.New("disk /dev/sda1 is full")
	h := serve(t, m, rest.RoleOperator)
	for _, path := range []string{"/v1/agents", "/v1/agents/" + strings.Repeat("a", 64), "/v1/policies"} {
		w := call(t, h, "GET", path, nil)
		if e := errorOf(t, w); e.Code != rest.CodeInternal || strings.Contains(w.Body.String(), "sda1") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// A hint that the verifier gives itself is not replaced.
func TestOwnHintsStay(t *testing.T) {
	m := newMemory()
	m.broken = rest.Errorf(rest.CodeNotFound, "gone").WithHint("deleted by another operator")
	e := errorOf(t, call(t, serve(t, m, rest.RoleOperator), "GET", "/v1/agents/"+strings.Repeat("a", 64), nil))
	if e.Hint != "deleted by another operator" {
		t.Errorf("hint %q", e.Hint)
	}
}
