package session_test

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"quicklime/verifier/severity"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/wiretest"
)

// label configures the verifier.
func (v *verifier) label(rules ...severity.Rule) {
	v.t.Helper()
	scale, err := severity.New(severity.DefaultLabels(), rules)
	if err != nil {
		v.t.Fatal(err)
	}
	if _, err := v.store.Label(v.t.Context(), scale); err != nil {
		v.t.Fatal(err)
	}
}

// with is the policy web with a further member.
func with(more string, paths ...string) rest.RuntimePolicy {
	p := web(paths...)
	p.Text = strings.TrimSuffix(p.Text, "}") + "," + more + "}"
	p.Digest = hex.EncodeToString(pcr.SHA256.Sum([]byte(p.Text)))
	return p
}

// The agent is told of what makes it untrusted, and of nothing else.
func TestI07_VerdictsOfToleratedFailures(t *testing.T) {
	v := newVerifier(t, calm)
	v.label(severity.Rule{EventID: string(wire.IMANotInPolicy), Label: "error"})
	a := v.agent()
	a.under("/bin/a")
	for i := range wire.MaxKeptTolerated - 1 {
		a.File(fmt.Sprintf("/new/%d", i), bad)
	}
	a.begin()
	if got := a.attest(0); got.Trust != wire.Trusted || got.Failures != 0 || got.Reason != "" {
		t.Errorf("%+v", got)
	}
	if got := v.status(); got.Severity != "error" || got.FailureCount != wire.MaxKeptTolerated-1 || got.ToleratedCount != got.FailureCount {
		t.Errorf("%+v", got)
	}
	a.File("/bin/a", bad)
	if got := a.attest(len(a.List) - 1); got.Trust != wire.Untrusted || got.Failures != 1 || got.Reason != wire.IMAWrongDigest {
		t.Errorf("%+v", got)
	}
	a.File("/new", bad)
	if got := a.attest(len(a.List) - 1); got.Failures != 1 || got.Reason != wire.IMAWrongDigest {
		t.Errorf("the newest that counts is not the newest: %+v", got)
	}
}

// Every rise of severity is logged once, and no fall.
func TestRisesAreLogged(t *testing.T) {
	var log wiretest.Log
	v := newLoggingVerifier(t, calm, slog.NewTextHandler(&log, nil))
	v.label(severity.Rule{EventID: string(wire.IMANotInPolicy), Label: "error"})
	a := v.agent()
	a.under("/bin/a")
	a.File("/bin/a", good)
	a.begin()
	a.attest(0)
	for _, step := range []struct {
		path  string
		rises int
	}{{"/new", 1}, {"/newer", 1}, {"/bin/a", 2}, {"/newest", 2}} {
		a.File(step.path, bad)
		a.attest(len(a.List) - 1)
		if got := strings.Count(log.String(), "severity rose"); got != step.rises {
			t.Errorf("after %s: %d rises are logged, want %d", step.path, got, step.rises)
		}
	}
	v.clear()
	a.attest(len(a.List))
	a.File("/again", bad)
	a.attest(len(a.List) - 1)
	if text := log.String(); strings.Count(text, "severity rose") != 3 || strings.Count(text, "severity=error") != 2 || strings.Count(text, "severity=emergency") != 1 {
		t.Errorf("after what stood was cleared:\n%s", text)
	}
}

// A boot in which the root device comes into use, as an agent and its operator see
// it.
func TestI07_RequiredDeviceComesIntoUse(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	if err := v.store.RuntimePolicies.Add(t.Context(), with(verifiertest.DevicePolicy, "/bin/a")); err != nil {
		t.Fatal(err)
	}
	a.enrol(pcr.SHA256, "web")
	a.File("/bin/a", good)
	a.begin()
	if got := a.attest(0); got.Trust != wire.Untrusted || got.Failures != 1 || got.Reason != "ima.validation.dm.required_policy_not_in_use" {
		t.Errorf("no device: %+v", got)
	}
	a.DeviceLoads()
	if got := a.attest(2); got.Trust != wire.Untrusted || got.Failures != 2 {
		t.Errorf("a device that is not in use: %+v", got)
	}
	a.DeviceResumes()
	if got := a.attest(3); got.Trust != wire.Trusted || got.Failures != 0 || got.Reason != "" {
		t.Errorf("in use: %+v", got)
	}
	if got := v.status(); got.FailureCount != 0 || got.Severity != "" || got.Cleared != nil {
		t.Errorf("something is left of it: %+v", got)
	}

	// Another policy is satisfied, or not, by the same list.
	if err := v.store.RuntimePolicies.Update(t.Context(), with(strings.Replace(verifiertest.DevicePolicy, `"name":"root"`, `"name":"other"`, 1), "/bin/a")); err != nil {
		t.Fatal(err)
	}
	if got := a.attest(4); got.Trust != wire.Untrusted {
		t.Errorf("under a policy for another device: %+v", got)
	}
	if err := v.store.RuntimePolicies.Update(t.Context(), with(verifiertest.DevicePolicy, "/bin/a")); err != nil {
		t.Fatal(err)
	}
	if got := a.attest(4); got.Trust != wire.Trusted {
		t.Errorf("under the first again: %+v", got)
	}
}

// What a past boot failed in counts or not, as the policy in force says.
func TestI14_I18_PastWarningsAreJudgedAgain(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	if err := v.store.RuntimePolicies.Add(t.Context(), with(`"ima":{"violations":"warn"}`, "/bin/a")); err != nil {
		t.Fatal(err)
	}
	a.enrol(pcr.SHA256, "web")
	a.Measure(verifiertest.Violation("/x"))
	a.begin()
	if got := a.attest(0); got.Trust != wire.Trusted {
		t.Errorf("%+v", got)
	}
	a.Reboot()
	a.File("/bin/a", good)
	a.begin()
	a.attest(0)
	for _, c := range []struct {
		policy rest.RuntimePolicy
		want   wire.Trust
	}{{web("/bin/a"), wire.Untrusted}, {with(`"ima":{"violations":"warn"}`, "/bin/a"), wire.Trusted}} {
		if err := v.store.RuntimePolicies.Update(t.Context(), c.policy); err != nil {
			t.Fatal(err)
		}
		if got := a.attest(2); got.Trust != c.want {
			t.Errorf("want %s, got %+v", c.want, got)
		}
	}
	if got := v.status(); got.FailureCount != 1 || got.Severity != "warning" {
		t.Errorf("%+v", got)
	}
}
