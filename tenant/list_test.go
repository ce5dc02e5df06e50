package tenant

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// fleet fills f with a machine in every state that the list tells apart.
func fleet(f *fake) {
	id := func(digit string) string { return strings.Repeat(digit, 64) }
	f.register(rest.Machine{ID: id("1"), Label: "db-1", EKVendor: "id:49465800", EKTrusted: true, SeenAt: now.Add(-time.Hour)})
	f.register(rest.Machine{ID: id("2"), Label: "new-1", EKVendor: "id:00001014", SeenAt: now.Add(-30 * time.Second)})
	f.register(rest.Machine{ID: id("3"), Label: "odd\x1b[31m\u202e", SeenAt: now.Add(-72 * time.Hour), Offered: &rest.Offered{Count: 4}})
	f.set(rest.Agent{
		ID: id("1"), Label: "database", Trust: wire.Trusted, Policies: rest.Policies{Runtime: "db", Boot: "front"},
		Epoch: &rest.Epoch{Entries: 1407, IMABank: pcr.SHA256}, Last: &rest.Attestation{At: now.Add(-2 * time.Hour)},
	})
	f.set(rest.Agent{ID: id("4"), Label: "gone", Trust: wire.Stale, Cleared: &rest.Cleared{Count: 1, At: now}, Policies: rest.Policies{Runtime: wire.NotEvaluated, Boot: wire.NotEvaluated}})
}

func TestAgentListTable(t *testing.T) {
	f := start(t)
	fleet(f)
	f.run(t, "agent", "list").want(t, 0, `
ID            LABEL              EK                         STATE       POLICY         BOOT POLICY    ENTRIES  LAST SEEN  NOTE
111111111111  database           IFX, verified              trusted     db             front          1407     2 h ago
444444444444  gone               -                          stale       not evaluated  not evaluated  0        -          not at the registrar; 1 failure cleared
222222222222  new-1              id:00001014, not verified  registered  -              -              -        -
333333333333  odd\x1b[31m\u202e  not verified               registered  -              -              -        -          came with other keys 4 times: agent rebind
`[1:], "")
}

// A server that does not answer hides what it alone knows, and nothing else.
func TestAgentListWithHalfTheServers(t *testing.T) {
	t.Run("no verifier", func(t *testing.T) {
		f := start(t)
		fleet(f)
		f.verifier.Close()
		o := f.run(t, "agent", "list")
		if o.code != exitFailed || !strings.Contains(o.stdout, "db-1") || strings.Contains(o.stdout, "registered") || strings.Contains(o.stdout, "gone") || strings.Contains(o.stdout, "ago") {
			t.Errorf("%+v", o)
		}
		if !strings.Contains(o.stderr, "cannot reach verifier at https://127.0.0.1:") || !strings.Contains(o.stderr, "hint: is quicklime-verifier running there?") {
			t.Errorf("stderr:\n%s", o.stderr)
		}
	})
	t.Run("no registrar", func(t *testing.T) {
		f := start(t)
		fleet(f)
		f.registrar.Close()
		o := f.run(t, "agent", "list")
		if o.code != exitFailed || !strings.Contains(o.stdout, "database") || strings.Contains(o.stdout, "not at the registrar") || strings.Contains(o.stdout, "new-1") {
			t.Errorf("%+v", o)
		}
		if !strings.Contains(o.stderr, "cannot reach registrar") {
			t.Errorf("stderr:\n%s", o.stderr)
		}
	})
	t.Run("neither", func(t *testing.T) {
		f := start(t)
		f.registrar.Close()
		f.verifier.Close()
		if o := f.run(t, "agent", "list"); o.code != exitFailed || o.stdout != "" {
			t.Errorf("%+v", o)
		}
	})
}

// A registration is no attestation.
func TestAgentListJSONTellsRegistrationFromAttestation(t *testing.T) {
	f := start(t)
	fleet(f)
	var l listing
	if err := json.Unmarshal([]byte(f.run(t, "agent", "list", "--json").stdout), &l); err != nil || len(l.Agents) != 4 {
		t.Fatalf("%+v, %v", l, err)
	}
	if a := l.Agents[0]; !a.LastSeen.Equal(now.Add(-2*time.Hour)) || !a.SeenAt.Equal(now.Add(-time.Hour)) {
		t.Errorf("attested %v, registered %v", a.LastSeen, a.SeenAt)
	}
	if a := l.Agents[2]; !a.LastSeen.IsZero() || !a.SeenAt.Equal(now.Add(-30*time.Second)) {
		t.Errorf("attested %v, registered %v", a.LastSeen, a.SeenAt)
	}
}

func TestAgentListOfNothing(t *testing.T) {
	start(t).run(t, "agent", "list").want(t, 0, "",
		"no machine has registered yet; \"quicklime-tenant join-token create\" makes a token for one\n")
}

func TestUnreadableRecordsAreReported(t *testing.T) {
	var out, err strings.Builder
	p := &program{stdout: &out, stderr: &err}
	if e := p.showInventory(inventory{unreadable: 2, machines: []known{{id: strings.Repeat("1", 64), machine: &rest.Machine{}}}}); e != nil {
		t.Fatal(e)
	}
	if !strings.Contains(err.String(), "2 machines are left out, of which") || !strings.Contains(out.String(), "111111111111") {
		t.Errorf("%s%s", out.String(), err.String())
	}
}

func TestVendor(t *testing.T) {
	for id, want := range map[string]string{
		"id:49465800":  "IFX",
		"id:494E5443":  "INTC",
		"id:00001014":  "id:00001014",
		"id:1B5B3331":  "id:1B5B3331", // ESC [ 3 1
		"id:00000000":  "id:00000000",
		"id:zz":        "id:zz",
		"":             "vendor not named",
		"Infineon\x1b": "Infineon\x1b",
	} {
		if got := vendor(id); got != want {
			t.Errorf("vendor(%q) = %q, want %q", id, got, want)
		}
	}
}

func TestAgentListSaysOnceWhatBothServersSay(t *testing.T) {
	f := start(t)
	f.failures[rest.ListMachines] = rest.Errorf(rest.CodeForbidden, "no entry")
	f.failures[rest.ListAgents] = rest.Errorf(rest.CodeForbidden, "no entry")
	if o := f.run(t, "agent", "list"); o.code != exitFailed || strings.Count(o.stderr, "no entry") != 1 {
		t.Errorf("%+v", o)
	}
}
