package tenant

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

func TestAgentUpdate(t *testing.T) {
	id := strings.Repeat("a", 64)
	cases := []struct {
		flags         []string
		label, policy string
		stdout        string
		warned        bool
	}{
		{[]string{"--policy", "db"}, "web", "db", "updated aaaaaaaaaaaa  web: runtime policy db, boot policy not evaluated, TPM policy not evaluated, trusted\n", false},
		{[]string{"--label", "front"}, "front", "web", "updated aaaaaaaaaaaa  front: runtime policy web, boot policy not evaluated, TPM policy not evaluated, trusted\n", false},
		{[]string{"--no-policy"}, "web", wire.NotEvaluated, "updated aaaaaaaaaaaa  web: runtime policy not evaluated, boot policy not evaluated, TPM policy not evaluated, trusted\n", true},
	}
	for _, c := range cases {
		f := start(t)
		f.set(rest.Agent{ID: id, Label: "web", Trust: wire.Trusted, Policies: rest.Policies{Runtime: "web", Boot: wire.NotEvaluated}})
		o := f.run(t, append([]string{"agent", "update", "web"}, c.flags...)...)
		if o.code != 0 || o.stdout != c.stdout || (o.stderr != "") != c.warned {
			t.Errorf("%v: %+v", c.flags, o)
		}
		if a := f.agents[id]; a.Label != c.label || a.Policies.Runtime != c.policy {
			t.Errorf("%v: %+v", c.flags, a)
		}
	}
}

func TestAgentClear(t *testing.T) {
	f := start(t)
	f.set(bad())
	unasked := f.run(t, "agent", "clear", "aaaaaa")
	if unasked.code != 2 || !strings.Contains(unasked.stderr, "Failures: 3") || !strings.Contains(unasked.stderr, "clearing 3 failures of aaaaaaaaaaaa needs your consent") {
		t.Errorf("exit code %d, %s", unasked.code, unasked.stderr)
	}
	f.run(t, "agent", "clear", "--yes", "aaaaaa").want(t, 0, `cleared 3 failures of aaaaaaaaaaaa  web\x1b[0m: pending`+"\n", "")
	one := bad()
	one.FailureCount = 1
	f.set(one)
	f.run(t, "agent", "clear", "--yes", "aaaaaa").want(t, 0, `cleared 1 failure of aaaaaaaaaaaa  web\x1b[0m: pending`+"\n", "")
	f.set(bad())
	f.untied = true
	f.run(t, "agent", "clear", "--yes", "aaaaaa").want(t, 0, `cleared 2 failures of aaaaaaaaaaaa  web\x1b[0m: untrusted`+"\n", "")
}

// Whatever is to be done with an agent that is not enrolled, what the registrar
// knows of it decides what the operator is told.
func TestAgentThatIsNotEnrolled(t *testing.T) {
	id := strings.Repeat("b", 64)
	const enrol = "\nhint: enrol it with \"quicklime-tenant agent add bbbbbbbbbbbb\"\n"
	for _, args := range [][]string{{"status"}, {"clear", "--yes"}, {"update", "--policy", "web"}, {"delete", "--yes"}, {"rebind", "--yes"}} {
		args = append([]string{"agent"}, append(args, id)...)
		f := start(t)
		f.run(t, args...).want(t, exitFailed, "", "quicklime-tenant: agent bbbbbbbbbbbb is neither enrolled nor registered\n"+
			"hint: \"quicklime-tenant agent list\" shows every agent\n")
		f.register(rest.Machine{ID: id, Label: "web"})
		f.run(t, args...).want(t, exitFailed, "", "quicklime-tenant: agent bbbbbbbbbbbb is registered but not enrolled"+enrol)
		f.failures[rest.GetMachine] = rest.Errorf(rest.CodeInternal, "no disk")
		f.run(t, args...).want(t, exitFailed, "", "quicklime-tenant: agent bbbbbbbbbbbb is not enrolled, and whether it is registered cannot be told: internal error\n"+
			"hint: if it is registered, enrol it with \"quicklime-tenant agent add bbbbbbbbbbbb\"\n")
	}
}

// A policy that is not there is not mistaken for an agent that is not.
func TestAgentUpdateToAPolicyThatIsNotThere(t *testing.T) {
	f := start(t)
	f.set(bad())
	f.failures[rest.UpdateAgent] = rest.Errorf(rest.CodeNotFound, "there is no policy db").WithHint("add it")
	f.run(t, "agent", "update", "aaaaaa", "--policy", "db").want(t, exitFailed, "", "quicklime-tenant: there is no policy db\nhint: add it\n")
}

func TestAgentDelete(t *testing.T) {
	id := strings.Repeat("a", 64)
	const ended, forgot = "ended the enrolment of aaaaaaaaaaaa\n", "the registrar forgot aaaaaaaaaaaa\n"
	cases := []struct {
		name                 string
		enrolled, registered bool
		flags                []string
		code                 int
		stdout, stderr       string // stderr: a part
		left                 [2]int // agents, machines
	}{
		{"without consent", true, true, nil, 2, "", "hint: repeat the command with --yes", [2]int{1, 1}},
		{"the enrolment", true, true, []string{"--yes"}, 0, ended, "", [2]int{0, 1}},
		{"both", true, true, []string{"--yes", "--registrar"}, 0, ended + forgot, "", [2]int{0, 0}},
		{"both of one that is not enrolled", false, true, []string{"--yes", "--registrar"}, 0, forgot, "", [2]int{0, 0}},
		{"both of one that is not registered", true, false, []string{"--yes", "--registrar"}, 0, ended, "", [2]int{0, 0}},
		{"both of nothing", false, false, []string{"--yes", "--registrar"}, 1, "", "no machine " + id, [2]int{0, 0}},
		{"the enrolment of nothing", false, true, []string{"--yes"}, 1, "", "is registered but not enrolled", [2]int{0, 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			if c.enrolled {
				f.set(rest.Agent{ID: id, Label: "web"})
			}
			if c.registered {
				f.register(rest.Machine{ID: id, Label: "web"})
			}
			o := f.run(t, append([]string{"agent", "delete", id}, c.flags...)...)
			if o.code != c.code || o.stdout != c.stdout || !strings.Contains(o.stderr, c.stderr) {
				t.Errorf("%+v", o)
			}
			if left := [2]int{len(f.agents), len(f.machines)}; left != c.left {
				t.Errorf("left %v, want %v", left, c.left)
			}
		})
	}
}

func TestAgentDeleteWarnsOfPayloads(t *testing.T) {
	f, id := sender(t)
	for _, name := range []string{"waits", "there"} {
		if o := f.run(t, "payload", "send", id, f.write(t, name, "x"), "--accept-ek", id); o.code != 0 {
			t.Fatalf("%+v", o)
		}
	}
	f.say(id, "there", func(p *fakePayload) { p.Releases = 1 })
	o := f.run(t, "agent", "delete", id)
	if o.code != 2 || !strings.Contains(o.stderr, "warning: it may keep 1 payload until it reboots; \"quicklime-tenant payload delete --wait "+short(id)+" NAME\" has it wipe one while it is enrolled") {
		t.Errorf("%+v", o)
	}
	o = f.run(t, "agent", "delete", id, "--yes")
	if o.code != 0 || !strings.Contains(o.stderr, "warning: it may keep 1 payload until it reboots, and cannot be told to wipe them any more") {
		t.Errorf("%+v", o)
	}
}

func TestAgentDeleteThatStopsHalfway(t *testing.T) {
	f := start(t)
	id := strings.Repeat("a", 64)
	f.set(rest.Agent{ID: id})
	f.failures[rest.DeleteMachine] = rest.Errorf(rest.CodeConflict, "busy")
	o := f.run(t, "agent", "delete", id, "--yes", "--registrar", "--json")
	if o.code != 1 || o.stdout != "" || !strings.Contains(o.stderr, "the enrolment of aaaaaaaaaaaa is ended, but") {
		t.Errorf("%+v", o)
	}
}

func TestAgentRebind(t *testing.T) {
	f := start(t)
	m := f.register(offer(t, machine(t, "web-1")))
	m.Offered.AKPublic = m.AKPublic // TPM2_Clear changes the transport key alone
	f.set(rest.Agent{ID: m.ID, Label: "front", LowestBank: pcr.SHA384, TPMPolicy: tpmPolicy16, Policies: rest.Policies{Runtime: "web", Boot: "front"}})

	o := f.run(t, "agent", "rebind", "front")
	if o.code != exitUsage || f.machines[m.ID].Offered == nil || len(f.enrolled) != 0 {
		t.Fatalf("without consent: %+v", o)
	}
	o = f.run(t, "agent", "rebind", "front", "--yes")
	o.want(t, 0, "rebound "+m.ID[:12]+"  front: pending\n", m.ID[:12]+` came with other keys 2 times, last 2026-03-04T05:05:07Z (1 min ago):
SHA-256 OF     IN FORCE                                                          NEW
AK             `+hashOf(m.AKPublic)+`  the same
transport key  `+hashOf(m.Transport)+`  `+hashOf(m.Offered.Transport)+"\n")
	if f.machines[m.ID].Offered != nil {
		t.Error("the keys were not accepted at the registrar")
	}
	want := rest.Enrolment{
		ID: m.ID, Label: "front", EKPublic: m.EKPublic, AKPublic: m.AKPublic, Transport: m.Offered.Transport,
		LowestBank: pcr.SHA384, Policy: "web", BootPolicy: "front", TPMPolicy: tpmPolicy16,
	}
	if diff := cmp.Diff([]rest.Enrolment{want}, f.enrolled); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A rebind that was interrupted after the registrar's part is done by another.
func TestAgentRebindToKeysInForce(t *testing.T) {
	f := start(t)
	m := f.register(machine(t, "web-1"))
	f.set(rest.Agent{ID: m.ID, Policies: rest.Policies{Runtime: wire.NotEvaluated}})
	o := f.run(t, "agent", "rebind", m.ID, "--yes")
	if o.code != 0 || !strings.Contains(o.stderr, "came with no other keys") || strings.Contains(o.stderr, "warning") {
		t.Errorf("%+v", o)
	}
	if e := f.enrolled[0]; string(e.Transport) != string(m.Transport) || e.Policy != "" {
		t.Errorf("%+v", e)
	}
}

// A machine that came with no other keys than the verifier pins has to join again.
func TestAgentRebindToNothing(t *testing.T) {
	f := start(t)
	m := f.register(machine(t, "web-1"))
	f.run(t, "agent", "add", m.ID, "--policy", "web")
	o := f.run(t, "agent", "rebind", m.ID, "--yes")
	if o.code != exitFailed || !strings.Contains(o.stderr, "quicklime-tenant: nothing to rebind: the machine offered no other keys: ") ||
		!strings.Contains(o.stderr, "\nhint: let it join again first") || len(f.enrolled) != 1 {
		t.Errorf("%+v", o)
	}
	// A conflict over keys that were offered is another matter.
	f.register(offer(t, m))
	f.failures[rest.RebindAgent] = rest.Errorf(rest.CodeConflict, "another agent has this key")
	if o := f.run(t, "agent", "rebind", m.ID, "--yes"); o.code != exitFailed || strings.Contains(o.stderr, "nothing to rebind") {
		t.Errorf("%+v", o)
	}
}

// Standing failures are gone after a rebind, so the operator hears of them before.
func TestAgentRebindTellsOfStandingFailures(t *testing.T) {
	for n, want := range map[int]string{0: "", 1: "warning: 1 standing failure is forgotten", 2: "warning: 2 standing failures are forgotten"} {
		f := start(t)
		m := f.register(offer(t, machine(t, "web-1")))
		f.set(rest.Agent{ID: m.ID, FailureCount: n})
		o := f.run(t, "agent", "rebind", m.ID)
		if o.code != exitUsage || !strings.Contains(o.stderr, want) || strings.Contains(o.stderr, "warning") != (n > 0) {
			t.Errorf("%d failures: %+v", n, o)
		}
	}
}

func TestI11_AgentRebindRefuses(t *testing.T) {
	good := offer(t, machine(t, "web-1"))
	wrong := good
	wrong.Offered = &rest.Offered{AKPublic: good.Transport, Transport: good.Transport}
	for _, c := range []struct {
		name     string
		m        rest.Machine
		enrolled bool
		flags    []string
		message  string
	}{
		{"not enrolled", good, false, []string{"--yes"}, "but not enrolled"},
		{"another kind of key", wrong, true, []string{"--yes"}, "the AK is not of"},
	} {
		f := start(t)
		f.register(c.m)
		if c.enrolled {
			f.set(rest.Agent{ID: good.ID})
		}
		o := f.run(t, append([]string{"agent", "rebind", good.ID}, c.flags...)...)
		if o.code != 1 || !strings.Contains(o.stderr, c.message) || len(f.enrolled) != 0 || f.machines[good.ID].Offered == nil {
			t.Errorf("%s: %+v", c.name, o)
		}
	}
}

// The registrar may not slip other keys in between the question and the rebind.
func TestI11_AgentRebindSeesWhatTheRegistrarAccepted(t *testing.T) {
	f := start(t)
	m := offer(t, machine(t, "web-1"))
	p := &program{configDir: f.dir}
	s, err := p.connect()
	if err != nil {
		t.Fatal(err)
	}
	next, err := newKeys(m, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	f.register(offer(t, m)) // the machine came with yet other keys meanwhile
	if err := s.accept(t.Context(), m, next); !isCode(err, rest.CodeConflict) {
		t.Errorf("accepted keys nobody looked at: %v", err)
	}
	f.register(m)
	f.liar = true
	if err := s.accept(t.Context(), m, next); err == nil || !strings.Contains(err.Error(), "accepted other keys") {
		t.Errorf("believed a registrar that accepted nothing: %v", err)
	}
}

func TestConsentIsAskedOfNobodyButAPerson(t *testing.T) {
	p := &program{stdin: strings.NewReader("y\n"), stderr: new(strings.Builder)}
	var c confirmation
	if err := c.ask(p, "deleting"); err == nil {
		t.Error("a pipe may not consent")
	}
	c.yes = true
	if err := c.ask(p, "deleting"); err != nil {
		t.Error(err)
	}
}

func TestAgentDeleteJSON(t *testing.T) {
	f := start(t)
	id := strings.Repeat("a", 64)
	f.set(rest.Agent{ID: id})
	var d deleted
	o := f.run(t, "agent", "delete", id, "--yes", "--json")
	if err := json.Unmarshal([]byte(o.stdout), &d); err != nil || d != (deleted{ID: id, Enrolment: true}) {
		t.Errorf("%+v, %v", o, err)
	}
}
