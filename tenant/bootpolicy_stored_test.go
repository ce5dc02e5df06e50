package tenant

import (
	"os"
	"strings"
	"testing"

	"quicklime/wire"
	"quicklime/wire/rest"
)

const tpmPolicy16 = `{"16":["0000000000000000000000000000000000000000000000000000000000000000"]}`

// The verifier keeps a boot policy to the byte, and a bad one never gets there.
func TestBootPolicyAtTheVerifier(t *testing.T) {
	f := start(t)
	boot := f.file("boot.json")
	if o := f.run(t, "boot-policy", "create", "--log", "../testdata/captures/ovmf-secureboot-6.1/binary_bios_measurements", "-o", boot); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	o := f.run(t, "boot-policy", "add", "web", boot)
	text := f.boots["web"].Text
	if o.code != 0 || !strings.HasPrefix(o.stdout, "added web: Secure Boot off, 1 firmware, 1 kernel, sha256:"+hexSum(text)) || !strings.Contains(text, "scrtm_and_bios") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "show", "web"); o.code != 0 || o.stdout != text {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "list"); o.code != 0 || !strings.Contains(o.stdout, "web   off          1          1        2       1 h ago  -          "+hexSum(text)[:12]) {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "update", "web", boot); o.code != 0 || !strings.Contains(o.stderr, "2 agents are judged again\n") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "delete", "web"); o.code != 0 || o.stdout != "deleted web\n" {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "list"); o.code != 0 || !strings.Contains(o.stderr, "boot-policy create") {
		t.Errorf("%+v", o)
	}
	for _, c := range []struct{ args, says string }{
		{"add ../web " + boot, "cannot name a policy"},
		{"show ../web", "cannot name a policy"},
		{"delete ../web", "cannot name a policy"},
		{"add web " + f.write(t, "bad.json", `{"pk":1}`), "pk: a number, want an array"},
	} {
		if o := f.run(t, append([]string{"boot-policy"}, strings.Fields(c.args)...)...); o.code == 0 || !strings.Contains(o.stderr, c.says) || len(f.boots) != 0 {
			t.Errorf("%s: %+v", c.args, o)
		}
	}
	f.boots["web"] = rest.BootPolicy{Policy: rest.Policy{Name: "web", Digest: hexSum("{}"), Text: "{ }"}}
	if o := f.run(t, "boot-policy", "show", "web"); o.code != exitFailed || !strings.Contains(o.stderr, "does not have the digest") {
		t.Errorf("%+v", o)
	}
}

// A boot policy is signed as one, and whoever was told whom to trust takes no other.
func TestSignedBootPolicy(t *testing.T) {
	f := start(t)
	s, stranger := f.newSigner(t), start(t).newSigner(t)
	boot, signed := f.file("boot.json"), f.file("boot.signed.json")
	if o := f.run(t, "boot-policy", "create", "--log", secureBootLog, "-o", boot); o.code != 0 {
		t.Fatalf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "sign", boot, "--key", s.key, "-o", signed); o.code != 0 || !strings.Contains(o.stderr, "signed by key ") {
		t.Fatalf("%+v", o)
	}
	text, err := os.ReadFile(boot)
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	if o := f.run(t, "boot-policy", "verify", signed, "--key", s.public, "-o", f.file("out")); o.code != 0 || !strings.HasSuffix(o.stdout, "\nboot policy sha256:"+hexSum(string(text))+"\n") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "add", "web", signed); o.code != 0 || !strings.Contains(o.stdout, "\nsigned by ") {
		t.Errorf("%+v", o)
	}
	if o := f.run(t, "boot-policy", "show", "web"); o.stdout != string(text) || !strings.Contains(o.stderr, "; verified 20") {
		t.Errorf("%+v", o)
	}
	f.run(t, "boot-policy", "show", "web", "--signed").want(t, 0, string(envelope), "")
	for _, args := range [][]string{{"validate", signed}, {"test", signed, secureBootLog}, {"diff", boot, signed}} {
		trusting := func(more ...string) outcome {
			return f.run(t, append(append([]string{"boot-policy"}, args...), more...)...)
		}
		if o := trusting("--key", s.public); o.code != 0 || !strings.Contains(o.stdout, ": good, by key ") {
			t.Errorf("%v: %+v", args, o)
		}
		if o := trusting(); o.code != 0 || !strings.Contains(o.stdout, ": not checked: --key or --ca") {
			t.Errorf("%v: %+v", args, o)
		}
		if o := trusting("--key", stranger.public); o.code != exitFailed || !strings.Contains(o.stdout+o.stderr, "signed by nobody who is trusted") {
			t.Errorf("%v by a stranger: %+v", args, o)
		}
	}
	for _, c := range []struct {
		args    []string
		code    int
		message string
	}{
		{[]string{"diff", "web", boot}, 0, "good, by \"CN=release\\x1b\", key " + hexSum("key") + ", as the verifier found"},
		{[]string{"diff", "@web", boot, "--key", s.public}, 0, ": good, by key "},
		{[]string{"diff", "web", boot, "--key", stranger.public}, exitFailed, "signed by nobody who is trusted"},
		{[]string{"test", "web", secureBootLog}, 0, ": 0 failures"},
		{[]string{"test", "@../web", secureBootLog}, exitUsage, "is not @ and the name of a boot policy"},
	} {
		if o := f.run(t, append([]string{"boot-policy"}, c.args...)...); o.code != c.code || !strings.Contains(o.stdout+o.stderr, c.message) {
			t.Errorf("%v: %+v", c.args, o)
		}
	}
	runtime := s.sign(t, f.write(t, "web.json", `{"meta":{"version":1}}`))
	for _, c := range []struct {
		args    []string
		message string
	}{
		{[]string{"policy", "verify", signed, "--key", s.public}, "which is a boot policy"},
		{[]string{"boot-policy", "verify", runtime, "--key", s.public}, "which is a runtime policy"},
		{[]string{"boot-policy", "add", "db", runtime}, "which is a runtime policy"},
		{[]string{"boot-policy", "sign", signed, "--key", s.key}, "is a signed policy"},
		{[]string{"boot-policy", "sign", f.file("web.json"), "--key", s.key}, "scrtm_and_bios"},
	} {
		if o := f.run(t, c.args...); o.code != exitFailed || !strings.Contains(o.stderr, c.message) {
			t.Errorf("%v: %+v", c.args, o)
		}
	}
}

// The log of an agent's boot comes as it was sent, and what is known of it is told.
func TestAgentBootLog(t *testing.T) {
	f := start(t)
	f.set(rest.Agent{ID: strings.Repeat("a", 64), Label: "web-1"})
	f.run(t, "agent", "boot-log", "web-1").want(t, 0, "a\x00log\x1b", "the machine's last quote proves what it says of PCRs [0 7], and nothing else\n")
	out := f.file("boot.log")
	if o := f.run(t, "agent", "boot-log", "web-1", "-o", out); o.code != 0 || !strings.HasPrefix(o.stdout, "wrote "+out) {
		t.Errorf("%+v", o)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != "a\x00log\x1b" {
		t.Errorf("%q, %v", b, err)
	}
	systemd := f.file("systemd.log")
	if o := f.run(t, "agent", "boot-log", "web-1", "-o", out, "--systemd-log", systemd, "--json"); o.code != 0 || !strings.Contains(o.stdout, `"systemd_log"`) {
		t.Errorf("%+v", o)
	}
	if b, err := os.ReadFile(systemd); err != nil || string(b) != "\x1e{}\n" {
		t.Errorf("%q, %v", b, err)
	}
	if err := saveSystemdLog(rest.BootLog{}, systemd); describe(err).Code != codeFailed {
		t.Errorf("a machine without systemd's log is not the caller's mistake: %v", err)
	}
}

// What an enrolment is judged by, beside the list, is given and taken away by flags.
func TestBootAndTPMPolicyOfAnAgent(t *testing.T) {
	f := start(t)
	m := f.register(machine(t, "web-1"))
	if o := f.run(t, "agent", "add", "web-1", "--policy", "web", "--boot-policy", "front", "--tpm-policy", tpmPolicy16); o.code != 0 || o.stderr != "" {
		t.Fatalf("%+v", o)
	}
	if e := f.enrolled[0]; e.BootPolicy != "front" || e.TPMPolicy != tpmPolicy16 {
		t.Errorf("%+v", e)
	}
	other := strings.ReplaceAll(tpmPolicy16, "0", "1")
	other = strings.Replace(other, "16", "17", 1)
	for _, c := range []struct {
		flags     []string
		boot, tpm string
	}{
		{[]string{"--boot-policy", "back"}, "back", tpmPolicy16},
		{[]string{"--tpm-policy", f.write(t, "tpm.json", other)}, "back", other},
		{[]string{"--no-boot-policy"}, wire.NotEvaluated, other},
		{[]string{"--no-tpm-policy"}, wire.NotEvaluated, ""},
	} {
		if o := f.run(t, append([]string{"agent", "update", "web-1"}, c.flags...)...); o.code != 0 {
			t.Errorf("%v: %+v", c.flags, o)
		}
		if a := f.agents[m.ID]; a.Policies.Boot != c.boot || a.TPMPolicy != c.tpm || a.Policies.Runtime != "web" {
			t.Errorf("%v: %+v", c.flags, a)
		}
	}
	for _, c := range []struct {
		flags []string
		says  string
	}{
		{[]string{"--boot-policy", "a", "--no-boot-policy"}, "contradict"},
		{[]string{"--tpm-policy", "{}", "--no-tpm-policy"}, "contradict"},
		{[]string{"--tpm-policy", `{"10":["00"]}`}, "PCR 10 is what the measurement list leads to"},
		{[]string{"--tpm-policy", "/no/such/file"}, "no such file"},
		{nil, "nothing to change"},
	} {
		if o := f.run(t, append([]string{"agent", "update", "web-1"}, c.flags...)...); o.code == 0 || !strings.Contains(o.stderr, c.says) {
			t.Errorf("%v: %+v", c.flags, o)
		}
	}
}
