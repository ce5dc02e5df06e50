package tenant

import (
	"strings"
	"testing"

	"quicklime/wire"
	"quicklime/wire/rest"
)

func TestResolve(t *testing.T) {
	var (
		a = "aaaaaa11" + strings.Repeat("0", 56)
		b = "aaaaaa22" + strings.Repeat("0", 56)
		c = "cccccc33" + strings.Repeat("0", 56)
	)
	f := start(t)
	f.register(rest.Machine{ID: a, Label: "web"})
	f.register(rest.Machine{ID: b, Label: "web"})
	f.register(rest.Machine{ID: c, Label: "aaaaaa1"}) // chose the beginning of a's id
	f.set(rest.Agent{ID: a, Label: "front", Trust: wire.Trusted})
	f.set(rest.Agent{ID: b, Label: "back", Trust: wire.Trusted})
	f.set(rest.Agent{ID: c, Label: "db", Trust: wire.Trusted})
	cases := []struct{ arg, want, message string }{
		{a, a, ""},
		{"aaaaaa2", b, ""},
		{"AAAAAA2", b, ""},
		{"cccccc", c, ""},
		{"front", a, ""},
		{"db", c, ""},
		{"aaaaaa", "", `"aaaaaa" is the name of 2 agents:` + "\n  " + b + "  back\n  " + a + "  front"},
		{"web", "", `"web" is the name of 2 agents`},
		{"aaaaaa1", "", `"aaaaaa1" is the name of 2 agents`},
		{"ccccc", "", `no agent "ccccc"`},
		{"", "", `no agent ""`},
		{"fron", "", `no agent "fron"`},
		{strings.Repeat("d", 64), "", "agent dddddddddddd is neither enrolled nor registered"},
	}
	for _, c := range cases {
		o := f.run(t, "agent", "status", "--json", c.arg)
		if c.want != "" && (o.code != 0 || !strings.Contains(o.stdout, `"id": "`+c.want+`"`)) {
			t.Errorf("%q: %+v", c.arg, o)
		}
		o = f.run(t, "agent", "status", c.arg)
		if c.want == "" && (o.code != exitFailed || !strings.Contains(o.stderr, c.message) || !strings.Contains(o.stderr, "\nhint: ")) {
			t.Errorf("%q: %+v, want %q", c.arg, o, c.message)
		}
	}
}

// A command works if the servers that it needs know the name. Else it says which
// server is missing, and how to do without it if that can be done.
func TestResolveWithHalfTheServers(t *testing.T) {
	id := strings.Repeat("a", 64)
	const registrarHint, verifierHint = "is quicklime-registrar running there?", "is quicklime-verifier running there?"
	for _, c := range []struct {
		down    string
		args    []string
		code    int
		message string
		hint    string
	}{
		{"registrar", []string{"status", "web"}, 0, "", ""},
		{"registrar", []string{"status", "aaaaaa"}, 0, "", ""},
		{"registrar", []string{"update", "web", "--policy", "db"}, 0, "", ""},
		{"registrar", []string{"delete", "web", "--yes"}, 0, "", ""},
		{"registrar", []string{"status", id}, 0, "", ""},
		{"registrar", []string{"status", "new"}, 1, `cannot tell which agent "new" is: cannot reach registrar at https://`, "hint: name the agent by its whole id; or: " + registrarHint},
		{"registrar", []string{"delete", "web", "--yes", "--registrar"}, 1, "quicklime-tenant: cannot reach registrar at https://", "hint: " + registrarHint},
		{"registrar", []string{"rebind", "web", "--yes"}, 1, "quicklime-tenant: cannot reach registrar at https://", "hint: " + registrarHint},
		{"registrar", []string{"rebind", "new", "--yes"}, 1, "quicklime-tenant: cannot reach registrar at https://", "hint: " + registrarHint},
		{"registrar", []string{"add", "web"}, 1, "quicklime-tenant: cannot reach registrar at https://", "hint: " + registrarHint},
		{"verifier", []string{"status", "web"}, 1, "quicklime-tenant: cannot reach verifier at https://", "hint: " + verifierHint},
		{"verifier", []string{"status", id}, 1, "quicklime-tenant: cannot reach verifier at https://", "hint: " + verifierHint},
		{"verifier", []string{"add", "web"}, 1, "quicklime-tenant: cannot reach verifier at https://", "hint: " + verifierHint},
		{"both", []string{"status", "web"}, 1, "quicklime-tenant: cannot reach verifier at https://", "hint: " + verifierHint},
	} {
		f := start(t)
		f.register(rest.Machine{ID: id, Label: "web"})
		f.set(rest.Agent{ID: id, Label: "web", Trust: wire.Trusted})
		if c.down != "verifier" {
			f.registrar.Close()
		}
		if c.down != "registrar" {
			f.verifier.Close()
		}
		o := f.run(t, append([]string{"agent"}, c.args...)...)
		if o.code != c.code || !strings.Contains(o.stderr, c.message) || !strings.Contains(o.stderr, c.hint) {
			t.Errorf("no %s, %v: %+v", c.down, c.args, o)
		}
		if wholeID := strings.Contains(o.stderr, "whole id"); wholeID != strings.Contains(c.hint, "whole id") {
			t.Errorf("no %s, %v: stderr %q", c.down, c.args, o.stderr)
		}
	}
}

func TestAmbiguousListsTenAtMost(t *testing.T) {
	var many []known
	for range 12 {
		many = append(many, known{id: strings.Repeat("a", 64), machine: &rest.Machine{Label: "x\x07"}})
	}
	got := ambiguous("aaaaaa", many).Error()
	if strings.Count(got, "x\\a") != 10 || !strings.HasSuffix(got, "and 2 more") {
		t.Errorf("%s", got)
	}
}
