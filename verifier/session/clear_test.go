package session_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

var good, bad = pcr.SHA256.Sum([]byte("good")), pcr.SHA256.Sum([]byte("bad"))

// web is the policy of that name that allows paths.
func web(paths ...string) rest.RuntimePolicy {
	text := `{"meta":{"version":1},"digests":{`
	for i, p := range paths {
		if i > 0 {
			text += ","
		}
		text += `"` + p + `":["` + hex.EncodeToString(good) + `"]`
	}
	text += `}}`
	return rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: hex.EncodeToString(pcr.SHA256.Sum([]byte(text))), Text: text}, Paths: len(paths)}
}

// under enrols the agent under a policy that allows paths.
func (a *agent) under(paths ...string) {
	a.v.t.Helper()
	if err := a.v.store.RuntimePolicies.Add(a.v.t.Context(), web(paths...)); err != nil {
		a.v.t.Fatal(err)
	}
	a.enrol(pcr.SHA256, "web")
}

func (v *verifier) clear() {
	v.t.Helper()
	if err := v.store.Clear(v.t.Context(), verifiertest.AgentID, v.seen()); err != nil {
		v.t.Fatal(err)
	}
}

// seen is what an operator sees now.
func (v *verifier) seen() rest.ClearRequest {
	v.t.Helper()
	_, listed, err := v.store.Failures(v.t.Context(), verifiertest.AgentID)
	if err != nil {
		v.t.Fatal(err)
	}
	return rest.ClearRequest{Failures: v.status().FailureCount, Listed: listed}
}

func (v *verifier) assign(policy string) {
	v.t.Helper()
	if err := v.store.Update(v.t.Context(), verifiertest.AgentID, rest.AgentUpdate{Policy: &policy}); err != nil {
		v.t.Fatal(err)
	}
	v.server.PolicyChanged()
}

// I14: what is cleared, be it nothing, is cleared of one boot. The entries of the
// next are others.
func TestI14_ClearingEndsWithTheBoot(t *testing.T) {
	for _, baits := range []int{0, 1, 10} {
		v := newVerifier(t, calm)
		a := v.agent()
		a.under("/bin/a")
		a.File("/bin/a", good)
		for i := range baits {
			a.File(fmt.Sprintf("/tmp/bait%d", i), bad)
		}
		a.begin()
		if got := a.attest(0); got.Failures != uint64(baits) {
			t.Fatalf("%+v", got)
		}
		v.clear()
		a.Reboot()
		a.File("/bin/a", good)
		a.File("/usr/bin/rootkit", bad) // where a bait was
		a.begin()
		if got := a.attest(0); got.Trust != wire.Untrusted || got.Failures != 1 {
			t.Errorf("after %d baits: %+v", baits, got)
		}
		if err := v.store.RuntimePolicies.Update(t.Context(), web("/bin/a", "/bin/z")); err != nil {
			t.Fatal(err)
		}
		v.server.PolicyChanged()
		if got := a.attest(3); got.Trust != wire.Untrusted || got.Failures != 1 {
			t.Errorf("after %d baits, judged again: %+v", baits, got)
		}
	}
}

// I07: nothing is cleared that was not found yet: not what runs while nobody
// evaluates, nor what a tighter policy finds later.
func TestI07_ClearingHidesNothingUnseen(t *testing.T) {
	t.Run("no policy", func(t *testing.T) {
		v := newVerifier(t, calm)
		a := v.agent()
		if err := v.store.RuntimePolicies.Add(t.Context(), web("/bin/a")); err != nil {
			t.Fatal(err)
		}
		a.enrol(pcr.SHA256, "")
		a.File("/usr/bin/rootkit", bad)
		a.begin()
		a.attest(0)
		a.after = 1 // a failure of another kind
		a.begin()
		a.attest(2)
		v.clear()
		v.assign("web")
		if got := a.attest(2); got.Trust != wire.Untrusted || got.Reason != wire.IMANotInPolicy {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a tighter policy", func(t *testing.T) {
		v := newVerifier(t, calm)
		a := v.agent()
		a.under("/bin/a", "/bin/old")
		a.File("/bin/old", good)
		a.File("/bin/x", good)
		a.begin()
		a.attest(0)
		v.clear()
		if err := v.store.RuntimePolicies.Update(t.Context(), web("/bin/a")); err != nil {
			t.Fatal(err)
		}
		v.server.PolicyChanged()
		if got := a.attest(3); got.Trust != wire.Untrusted || got.Failures != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// I21: that nobody evaluates for a while judges nothing away.
func TestI21_NoPolicyLaundersNothing(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.under("/bin/a")
	a.File("/usr/bin/rootkit", bad)
	a.begin()
	a.attest(0)
	v.assign("")
	if got := a.attest(2); got.Trust != wire.Untrusted || got.Failures != 1 {
		t.Errorf("without a policy: %+v", got)
	}
	a.Reboot()
	a.File("/bin/a", good)
	a.begin()
	a.attest(0)
	v.assign("web")
	if got := a.attest(2); got.Trust != wire.Untrusted || got.Failures != 1 {
		t.Errorf("with it again: %+v", got)
	}
}

// I19: a boot_aggregate of another boot, behind any number of failures, is not
// cleared with them.
func TestI19_AWrongBootAggregateIsNotCleared(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.under("/bin/a")
	for i := range wire.MaxKeptFailures {
		a.File(fmt.Sprintf("/x/%d", i), good)
	}
	a.File("boot_aggregate", bad)
	a.begin()
	a.attest(0)
	for range 2 { // the second time it is the only one that is seen
		v.clear()
		if got := a.attest(len(a.List)); got.Trust != wire.Untrusted || got.Reason != wire.IMABootAggregate {
			t.Errorf("%+v", got)
		}
	}
}

// I07: what is not listed is not cleared, and what is listed is what was looked at.
func TestI07_OnlyWhatIsListedIsCleared(t *testing.T) {
	t.Run("behind the limit of the list", func(t *testing.T) {
		v := newVerifier(t, calm)
		a := v.agent()
		a.under("/bin/a")
		for i := range wire.MaxKeptFailures {
			a.File(fmt.Sprintf("/x/%d", i), bad)
		}
		a.begin()
		a.attest(0)
		a.after = 1 // one more, about no entry: it is kept, and not listed
		a.begin()
		if got := a.attest(len(a.List)); got.Failures != wire.MaxKeptFailures+1 {
			t.Fatalf("%+v", got)
		}
		v.clear()
		if got := a.attest(len(a.List)); got.Reason != wire.IdentityDuplicate || got.Failures != 1 {
			t.Errorf("%+v", got)
		}
		v.clear()
		if got := a.attest(len(a.List)); got.Trust != wire.Trusted {
			t.Errorf("%+v", got)
		}
	})
	t.Run("another in its place", func(t *testing.T) {
		v := newVerifier(t, calm)
		a := v.agent()
		a.under("/bin/a")
		a.File("/x", good)
		a.begin()
		a.attest(0)
		seen := v.seen()
		if err := v.store.RuntimePolicies.Update(t.Context(), web("/bin/a", "/x")); err != nil {
			t.Fatal(err)
		}
		v.server.PolicyChanged()
		a.File("/usr/bin/rootkit", bad)
		if got := a.attest(2); got.Failures != uint64(seen.Failures) {
			t.Fatalf("%+v", got)
		}
		if err := v.store.Clear(t.Context(), verifiertest.AgentID, seen); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%v", err)
		}
	})
}

// What nobody can judge any more can be cleared, without a policy too.
func TestClearingWithoutAPolicyComesToAnEnd(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.under("/bin/a")
	for i := range wire.MaxKeptFailures + 5 {
		a.File(fmt.Sprintf("/x/%d", i), bad)
	}
	a.begin()
	a.attest(0)
	v.assign("")
	for range 3 {
		a.attest(len(a.List))
		v.clear()
	}
	if got := a.attest(len(a.List)); got.Failures != 0 || got.Trust != wire.Unjudged {
		t.Errorf("%+v", got)
	}
}
