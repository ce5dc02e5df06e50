package tenant

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

func TestAgentAdd(t *testing.T) {
	f := start(t)
	m := f.register(machine(t, "web-1"))
	f.run(t, "agent", "add", "web-1", "--policy", "web").want(t, 0, "enrolled "+m.ID[:12]+"  web-1: pending\n", "")
	want := rest.Enrolment{
		ID: m.ID, Label: "web-1", EKPublic: m.EKPublic, AKPublic: m.AKPublic, Transport: m.Transport,
		LowestBank: pcr.SHA256, Policy: "web",
	}
	if diff := cmp.Diff([]rest.Enrolment{want}, f.enrolled); diff != "" {
		t.Errorf("enrolment (-want +got):\n%s", diff)
	}
	o := f.run(t, "agent", "add", m.ID)
	o.want(t, exitFailed, "", "quicklime-tenant: agent "+m.ID+" is already enrolled\nhint: delete it first\n")
}

func TestAgentAddWithItsFlags(t *testing.T) {
	f := start(t)
	m := f.register(machine(t, "web-1"))
	o := f.run(t, "agent", "add", m.ID[:8], "--label", "front", "--lowest-bank", "sha384")
	if o.code != 0 || !strings.Contains(o.stderr, "warning: runtime policy: not evaluated") {
		t.Errorf("%+v", o)
	}
	if e := f.enrolled[0]; e.Label != "front" || e.LowestBank != pcr.SHA384 || e.Policy != "" {
		t.Errorf("enrolled %+v", e)
	}
}

func TestAgentAddSaysThatOtherKeysWereOffered(t *testing.T) {
	f := start(t)
	m := f.register(offer(t, machine(t, "web-1")))
	if o := f.run(t, "agent", "add", m.ID, "--policy", "web"); o.code != 0 || !strings.Contains(o.stderr, "agent rebind") {
		t.Errorf("%+v", o)
	}
	if string(f.enrolled[0].AKPublic) != string(m.AKPublic) {
		t.Error("enrolled a key that is not in force")
	}
}

// The EK of a TPM that nobody vouches for enrols only if the operator names it
// (I23), and nothing that the registrar says is believed unchecked (I11).
func TestI11_I23_AgentAddRefuses(t *testing.T) {
	good := machine(t, "web-1")
	other := machine(t, "web-2")
	untrusted := good
	untrusted.EKTrusted, untrusted.EKVendor = false, ""
	wrongKey := good
	wrongKey.EKPublic = other.EKPublic
	wrongAK := good
	wrongAK.AKPublic = good.Transport
	cases := []struct {
		name          string
		m             rest.Machine
		flags         []string
		code          int
		message, hint string
	}{
		{"an untrusted EK", untrusted, nil, 1, "nothing vouches for the EK of " + good.ID[:12], "--accept-ek " + good.ID},
		{"half of its hash", untrusted, []string{"--accept-ek", good.ID[:12]}, 1, "--accept-ek names " + good.ID[:12], "repeat it whole"},
		{"another's hash", untrusted, []string{"--accept-ek", other.ID}, 1, "--accept-ek names " + other.ID, "on the machine itself"},
		{"another's hash for a trusted EK", good, []string{"--accept-ek", other.ID}, 1, "--accept-ek names " + other.ID, "on the machine itself"},
		{"its hash", untrusted, []string{"--accept-ek", good.ID}, 0, "", ""},
		{"another's EK", wrongKey, []string{"--accept-ek", good.ID}, 1, "the EK is that of " + other.ID, "do not enrol it"},
		{"another kind of AK", wrongAK, nil, 1, "the AK is not of", "do not enrol it"},
		{"an unknown bank", good, []string{"--lowest-bank", "md5"}, 1, `PCR bank "md5"`, "sha256"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			f.machines[good.ID] = c.m
			o := f.run(t, append([]string{"agent", "add", good.ID}, c.flags...)...)
			if o.code != c.code || !strings.Contains(o.stderr, c.message) || !strings.Contains(o.stderr, c.hint) {
				t.Errorf("%+v", o)
			}
			if enrolled := len(f.enrolled) > 0; enrolled != (c.code == 0) {
				t.Errorf("enrolled: %v", enrolled)
			}
		})
	}
}

func TestAgentAddOfUnknownMachine(t *testing.T) {
	o := start(t).run(t, "agent", "add", strings.Repeat("a", 64))
	if o.code != 1 || !strings.Contains(o.stderr, "no machine") || !strings.Contains(o.stderr, "hint: the machine registers with") {
		t.Errorf("%+v", o)
	}
}

// eventually changes the agent until it is told to stop, so that whoever waits
// for a change meets one.
func eventually(t *testing.T, f *fake, id string, change func(*rest.Agent)) (stop func()) {
	t.Helper()
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			f.mu.Lock()
			if a, ok := f.agents[id]; ok {
				change(&a)
				f.change(a)
			}
			f.mu.Unlock()
		}
	}()
	return func() { close(done); <-gone }
}

func TestAgentAddWaits(t *testing.T) {
	f := start(t)
	m := f.register(machine(t, "web-1"))
	stop := eventually(t, f, m.ID, func(a *rest.Agent) { a.Trust = wire.Trusted })
	defer stop()
	f.run(t, "agent", "add", m.ID, "--policy", "web", "--wait", "trusted").want(t, 0,
		"enrolled "+m.ID[:12]+"  web-1: trusted\n", "waiting for trusted: pending\n")
}

func TestAgentAddWaitsInVain(t *testing.T) {
	f := start(t)
	m := f.register(machine(t, "web-1"))
	o := f.run(t, "agent", "add", m.ID, "--policy", "web", "--wait", "trusted", "--timeout", "20ms")
	o.want(t, exitOtherState, "", "waiting for trusted: pending\n"+
		"quicklime-tenant: agent "+m.ID[:12]+" is pending and not trusted after 20ms\n"+
		"hint: the agent is not connected to the verifier: is quicklime-agent running there?\n")
}
