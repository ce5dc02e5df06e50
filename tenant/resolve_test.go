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
		{strings.Repeat("d", 64), "", "agent dddddddddddd is not enrolled"},
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

// Half of what is known is not enough to say that a name is unique, but a whole
// id needs nobody's word.
func TestResolveWithHalfTheServers(t *testing.T) {
	f := start(t)
	id := strings.Repeat("a", 64)
	f.set(rest.Agent{ID: id, Label: "web", Trust: wire.Trusted})
	f.registrar.Close()
	o := f.run(t, "agent", "status", "web")
	if o.code != exitFailed || !strings.Contains(o.stderr, "cannot tell which agent") || !strings.Contains(o.stderr, "hint: name the agent by its whole id") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "agent", "status", id); o.code != 0 {
		t.Errorf("%+v", o)
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
