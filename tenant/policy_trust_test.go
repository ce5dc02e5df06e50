package tenant

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"quicklime/verifier/policy"
	"quicklime/verifier/policy/dsse"
	"quicklime/wire/rest"
)

// trusting is a policy, signed and not, and its signer.
type trusting struct {
	policySigner
	plain, signed, changed, list string // files
}

func startTrusting(t *testing.T) trusting {
	t.Helper()
	f := start(t)
	s := f.newSigner(t)
	plain := f.write(t, "web.json", `{"meta":{"version":1},"excludes":["/tmp/.*"]}`)
	signed := s.sign(t, plain)
	b, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	changed := f.write(t, "changed.json", strings.Replace(string(b), `"payload":"eyJt`, `"payload":"eyJN`, 1))
	return trusting{s, plain, signed, changed, f.write(t, "list", string(listOf("boot_aggregate", "/tmp/a")))}
}

const (
	saysUnchecked = "not checked: --key or --ca names who is trusted\n"
	saysGood      = "good, by key "
)

// A signed policy is taken wherever a policy is, and what is said of its signature
// is what was checked.
func TestI12_SignedPoliciesAreReadAndTheSignatureIsTold(t *testing.T) {
	s := startTrusting(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"validate", s.signed}, "  signature    " + saysUnchecked},
		{[]string{"validate", s.signed, "--key", s.public}, "  signature    " + saysGood},
		{[]string{"validate", s.plain, "--key", s.public}, "  signature    none\n"},
		{[]string{"diff", s.plain, s.signed}, s.plain + ": signature: none\n" + s.signed + ": signature: " + saysUnchecked + "\nnothing would change for a machine\n"},
		{[]string{"diff", s.signed, s.plain, "--key", s.public}, s.signed + ": signature: " + saysGood},
		{[]string{"diff", s.signed, s.signed, "--ca", s.cert}, s.signed + `: signature: good, by "CN=release", key `},
		{[]string{"test", s.signed, s.list}, "signature of the policy: " + saysUnchecked},
		{[]string{"test", s.signed, s.list, "--key", s.public}, "signature of the policy: " + saysGood},
	} {
		o := s.f.run(t, append([]string{"policy"}, c.args...)...)
		if o.code != 0 || !strings.Contains(o.stdout, c.says) {
			t.Errorf("%v: %+v, want %q", c.args, o, c.says)
		}
	}
	var v validated[*policySummary]
	o := s.f.run(t, "policy", "validate", s.signed, s.plain, "--key", s.public, "--json")
	if json.Unmarshal([]byte(o.stdout), &v) != nil || v.Files[0].Signature.State != good || len(v.Files[0].Signature.SignedBy) != 1 || v.Files[1].Signature.State != unsigned {
		t.Errorf("%+v", o)
	}
}

// Who names whom he trusts is not shown what others signed.
func TestI12_ASignatureThatIsNotGoodIsRefused(t *testing.T) {
	s := startTrusting(t)
	other := start(t).newSigner(t)
	for _, c := range []struct {
		args    []string
		code    int
		message string
	}{
		{[]string{"validate", s.signed, "--key", other.public}, 1, "signed by nobody who is trusted"},
		{[]string{"validate", s.changed, "--key", s.public}, 1, "one of them was changed"},
		{[]string{"diff", s.plain, s.signed, "--key", other.public}, 1, "signed by nobody who is trusted"},
		{[]string{"diff", s.changed, s.plain, "--key", s.public}, 1, "one of them was changed"},
		{[]string{"test", s.signed, s.list, "--key", other.public}, 1, "signed by nobody who is trusted"},
		{[]string{"test", s.signed, s.list, "--key", s.plain}, 1, "it holds no PEM block"},
		{[]string{"test", s.signed, s.list, "--at", "2026-11-27"}, 2, "name who is trusted"},
		{[]string{"validate", s.signed, "--key", s.public, "--at", "x"}, 2, "is no time"},
	} {
		o := s.f.run(t, append([]string{"policy"}, c.args...)...)
		if o.code != c.code || !strings.Contains(o.stdout+o.stderr, c.message) || strings.Contains(o.stdout, "can be used") {
			t.Errorf("%v: %+v", c.args, o)
		}
	}
	if o := s.f.run(t, "policy", "validate", s.signed, "--key", other.public); !strings.Contains(o.stdout, "1 problem\n  the policy is signed by nobody who is trusted:\n    signature 1: ") {
		t.Errorf("%+v", o)
	}
	if o := s.f.run(t, "policy", "validate", s.changed); o.code != 1 || !strings.Contains(o.stdout, "problem in the policy that was signed, whose lines are counted") {
		t.Errorf("%+v", o)
	}
	cut := s.f.write(t, "cut.json", `{"payload":"e30=`)
	if o := s.f.run(t, "policy", "test", cut, s.list); o.code != 1 || !strings.Contains(o.stderr, cut+": not a signed policy: line 1, column 12: payload: the text ends inside a value") {
		t.Errorf("%+v", o)
	}
}

// What the verifier found of a signature is told as such; who names whom he trusts
// has the signature checked here.
func TestI12_TheSignatureOfAStoredPolicy(t *testing.T) {
	s := startTrusting(t)
	if o := s.f.run(t, "policy", "add", "web", s.signed); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	o := s.f.run(t, "policy", "diff", "@web", s.plain)
	if o.code != 0 || !strings.Contains(o.stdout, `@web: signature: good, by "CN=release\x1b", key `+hexSum("key")+", as the verifier found ") {
		t.Errorf("%+v", o)
	}
	o = s.f.run(t, "policy", "diff", "@web", s.plain, "--key", s.public)
	if o.code != 0 || !strings.Contains(o.stdout, "@web: signature: "+saysGood) || strings.Contains(o.stdout, hexSum("key")) {
		t.Errorf("%+v", o)
	}
	other := start(t).newSigner(t)
	if o := s.f.run(t, "policy", "diff", "@web", s.plain, "--key", other.public); o.code != 1 || !strings.Contains(o.stderr, "policy web: the policy is signed by nobody who is trusted") {
		t.Errorf("%+v", o)
	}
}

// The largest policy can be sent to the verifier when it is signed, too.
func TestTheLargestPolicyFitsSigned(t *testing.T) {
	const wrapping = 4 << 10 // the request around an envelope, which escapes some quotes of it
	if dsse.MaxEnvelope+wrapping > rest.MaxBody || dsse.MaxEnvelope < policy.MaxPolicy/3*4 {
		t.Errorf("a policy of %d bytes is one of %d when it is signed, and a request has at most %d", policy.MaxPolicy, dsse.MaxEnvelope, rest.MaxBody)
	}
}
