package tenant

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"quicklime/verifier/policy"
)

func TestPolicyConvert(t *testing.T) {
	f := start(t)
	list := f.write(t, "allow.txt", hexSum("a")+"  /bin/a\n"+hexSum("k")+" %keyring:.ima\n"+hexSum("b")+"  boot_aggregate\n")
	rules := f.write(t, "exclude.txt", "# why\n^/tmp/\n")
	o := f.run(t, "policy", "convert", list, "--excludes", rules)
	compiled, err := policy.Parse([]byte(o.stdout))
	if err != nil || o.code != 0 || compiled.Paths() != 1 || compiled.Excludes() != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, want := range []string{
		list + ":3: boot_aggregate is left out", rules + `:2: "^/tmp/" is written "^/tmp/.*"`, "flat allowlist: 1 path, 1 exclusion\n",
	} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("%q lacks %q", o.stderr, want)
		}
	}
	out := f.file("web.json")
	o = f.run(t, "policy", "convert", list, "-o", out, "--json")
	var c converted
	if err := json.Unmarshal([]byte(o.stdout), &c); err != nil || c.From != "flat allowlist" || c.File != out || len(c.Changes) != 1 || c.Paths != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	text, err := os.ReadFile(out)
	if err != nil || hexSum(string(text)) != c.Digest {
		t.Errorf("%v", err)
	}
}

func TestPolicyConvertRefuses(t *testing.T) {
	f := start(t)
	list := f.write(t, "allow.txt", "x /a\n"+hexSum("a")+"\n")
	rules := f.write(t, "exclude.txt", "(\n")
	o := f.run(t, "policy", "convert", list, "--excludes", rules, "-o", f.file("out"))
	for _, want := range []string{list + ":1: ", list + ":2: ", rules + ":1: ", "hint: correct it"} {
		if o.code != 1 || !strings.Contains(o.stderr, want) {
			t.Errorf("%+v lacks %q", o, want)
		}
	}
	if _, err := os.Stat(f.file("out")); err == nil {
		t.Error("a policy was written")
	}
	if o := f.run(t, "policy", "convert", "-", "--excludes", "-"); o.code != 2 {
		t.Errorf("%+v", o)
	}
}
