package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"quicklime/wire"
	"quicklime/wire/rest"
)

// commandLines has a call of every command that succeeds on the fleet of
// TestJSONOfEveryCommand. %id stands for the machine's id.
var commandLines = map[string]string{
	"agent list":           "",
	"agent add":            "%new --policy web",
	"agent status":         "%id",
	"agent update":         "%id --policy db",
	"agent delete":         "%id --yes --registrar",
	"agent rebind":         "%id --yes",
	"agent clear":          "%id --yes",
	"policy create":        "--exclude /tmp/.*",
	"policy validate":      "%file",
	"policy diff":          "%file %file",
	"policy test":          "%judging %list",
	"policy add":           "db %file",
	"policy list":          "",
	"policy show":          "web",
	"policy update":        "web %file",
	"policy convert":       "%allowed -o %out",
	"policy sign":          "%file --key %key -o %out",
	"policy verify":        "%signed --key %public",
	"policy delete":        "web",
	"boot-policy sign":     "%boot --key %key -o %out",
	"boot-policy verify":   "%bootsigned --key %public",
	"boot-policy explain":  "../testdata/captures/ovmf-secureboot-6.1/binary_bios_measurements",
	"boot-policy create":   "--log ../testdata/captures/ovmf-secureboot-6.1/binary_bios_measurements -o %out",
	"boot-policy validate": "%boot",
	"boot-policy test":     "%boot ../testdata/captures/ovmf-secureboot-6.1/binary_bios_measurements",
	"boot-policy diff":     "%boot %boot",
	"payload key init":     "",
	"payload key show":     "",
	"payload send":         "%id %file --accept-ek %id",
	"payload list":         "%id",
	"payload status":       "%id db",
	"payload delete":       "%id db --yes",
	"agent boot-log":       "%id -o %out",
	"boot-policy add":      "front %boot",
	"boot-policy list":     "",
	"boot-policy show":     "web",
	"boot-policy update":   "web %boot",
	"boot-policy delete":   "web",
	"ca init":              "",
	"ca create":            "web-1 -o %dir",
	"ca package":           "%id -o %out.zip",
	"ca list":              "",
	"ca renew":             "--all",
	"ca revoke":            "db --yes",
	"ca crl":               "",
	"search":               "--path /bin/a",
	"events dead":          "",
	"events retry":         "--all",
	"events drop":          "--webhook siem",
	"join-token create":    "",
	"join-token list":      "",
	"join-token delete":    "0123456789abcdef",
}

// leaves returns every command that does something: "agent list".
func leaves(c *cobra.Command, path string) (all []string) {
	for _, sub := range c.Commands() {
		all = append(all, leaves(sub, strings.TrimSpace(path+" "+sub.Name()))...)
	}
	if len(c.Commands()) == 0 {
		all = append(all, path)
	}
	return all
}

// Every command has a machine's form: one JSON document, and so have its errors.
func TestJSONOfEveryCommand(t *testing.T) {
	root := (&program{}).root()
	for _, command := range leaves(root, "") {
		line, ok := commandLines[command]
		if !ok {
			t.Errorf("no call of %q to test", command)
			continue
		}
		t.Run(command, func(t *testing.T) {
			f := start(t)
			m := f.register(offer(t, machine(t, "web\u009b1")))
			f.set(rest.Agent{ID: m.ID, Label: "web\u009b1", Trust: wire.Trusted, Policies: rest.Policies{Runtime: wire.NotEvaluated}})
			fresh := f.register(machine(t, "new"))
			f.policies["web"] = rest.RuntimePolicy{Policy: rest.Policy{Name: "web", Digest: hexSum("{}"), Text: "{}"}}
			f.boots["web"] = rest.BootPolicy{Policy: rest.Policy{Name: "web", Digest: hexSum("{}"), Text: "{}"}}
			file := f.write(t, "p.json", `{"meta":{"version":1}}`)
			list := f.write(t, "list", string(listOf("boot_aggregate", "/tmp/x")))
			judging := f.write(t, "judging.json", `{"meta":{"version":1},"excludes":["/tmp/.*"]}`)
			line := strings.NewReplacer("%id", m.ID, "%new", fresh.ID, "%file", file, "%list", list, "%judging", judging,
				"%allowed", f.write(t, "allowed", hexSum("x")+" /bin/x\n"), "%out", f.file("out"), "%dir", f.dir).Replace(line)
			if strings.Contains(line, "key %") {
				s := f.newSigner(t)
				line = strings.NewReplacer("%key", s.key, "%public", s.public, "%signed", s.sign(t, file)).Replace(line)
			}
			if strings.Contains(line, "%boot") {
				boot := f.file("boot.json")
				if o := f.run(t, "boot-policy", "create", "--log", "../testdata/captures/ovmf-secureboot-6.1/binary_bios_measurements", "-o", boot); o.code != 0 {
					t.Fatalf("%+v", o)
				}
				if strings.Contains(line, "%bootsigned") {
					signed := f.file("boot.signed.json")
					if o := f.run(t, "boot-policy", "sign", boot, "--key", f.file("release.key"), "-o", signed); o.code != 0 {
						t.Fatalf("%+v", o)
					}
					line = strings.ReplaceAll(line, "%bootsigned", signed)
				}
				line = strings.ReplaceAll(line, "%boot", boot)
			}
			f.prepare(t, m.ID, command, file)
			f.prepareCA(t, command)
			args := append(strings.Fields(command), strings.Fields(line)...)
			o := f.run(t, append(args, "--json")...)
			if o.code != 0 || !isOneDocument(o.stdout) || strings.Contains(o.stdout, "\u009b") {
				t.Errorf("%+v", o)
			}
			o = f.run(t, append(args, "--no-such-flag", "--json")...)
			if e := errorIn(t, o); o.code != exitUsage || e.Code != codeUsage || e.Hint == "" {
				t.Errorf("%+v", o)
			}
		})
	}
}

func isOneDocument(s string) bool {
	d := json.NewDecoder(strings.NewReader(s))
	var v map[string]any
	if d.Decode(&v) != nil {
		return false
	}
	_, err := d.Token()
	return errors.Is(err, io.EOF)
}

// errorIn reads the error that a run with --json ended with.
func errorIn(t *testing.T, o outcome) rest.Error {
	t.Helper()
	var e rest.ErrorBody
	if err := json.Unmarshal([]byte(o.stderr), &e); err != nil || e.Error == nil || o.stdout != "" {
		t.Fatalf("no error as JSON: %+v", o)
	}
	return *e.Error
}

func TestErrorsAsJSON(t *testing.T) {
	f := start(t)
	id := strings.Repeat("a", 64)
	f.failures[rest.ListPolicies] = rest.Errorf(rest.CodeConflict, "esc \u009b").WithHint("wait")
	if e := errorIn(t, f.run(t, "policy", "list", "--json")); e != (rest.Error{Code: rest.CodeConflict, Message: "esc \u009b", Hint: "wait"}) {
		t.Errorf("a server's answer: %+v", e)
	}
	if o := f.run(t, "policy", "list", "--json"); strings.Contains(o.stderr, "\u009b") {
		t.Errorf("a control character came through: %q", o.stderr)
	}
	if e := errorIn(t, f.run(t, "agent", "status", id, "--json")); e.Code != rest.CodeNotFound || !strings.Contains(e.Hint, "agent list") {
		t.Errorf("not enrolled: %+v", e)
	}
	if e := errorIn(t, f.run(t, "policy", "add", "web", f.file("none"), "--json")); e.Code != codeFailed {
		t.Errorf("no file: %+v", e)
	}
	f.verifier.Close()
	if e := errorIn(t, f.run(t, "policy", "list", "--json")); e.Code != codeUnreachable || !strings.Contains(e.Hint, "quicklime-verifier") {
		t.Errorf("no verifier: %+v", e)
	}
}

// What a server says goes to a terminal without what the terminal would obey.
func TestServerErrorsArePrintable(t *testing.T) {
	f := start(t)
	f.failures[rest.ListPolicies] = rest.Errorf(rest.CodeConflict, "a\x1b[2J").WithHint("b\u202e")
	f.run(t, "policy", "list").want(t, 1, "", `quicklime-tenant: a\x1b[2J`+"\n"+`hint: b\u202e`+"\n")
}

func TestUsageErrors(t *testing.T) {
	id := strings.Repeat("a", 64)
	for _, args := range [][]string{
		{}, {"agent"}, {"agent", "lits"}, {"nothing"}, {"agent", "list", "x"}, {"agent", "status"}, {"agent", "status", "a", "b"},
		{"agent", "list", "--no-such-flag"},
		{"agent", "status", id, "--wait", "good"}, {"agent", "status", id, "--wait", "trusted", "--timeout", "0s"},
		{"agent", "status", id, "--watch", "--wait", "trusted"}, {"agent", "status", id, "--watch", "--json"},
		{"agent", "add", id, "--wait", "good"},
		{"agent", "update", id}, {"agent", "update", id, "--policy", "web", "--no-policy"},
		{"agent", "delete", id}, {"policy", "create"}, {"policy", "validate"}, {"policy", "diff", "web"}, {"policy", "diff", "-", "-"},
		{"policy", "diff", "@../web", "-"}, {"policy", "test", "web"}, {"policy", "test", "-", "-"}, {"policy", "add", "web"}, {"policy", "add", "../web", "f"},
		{"policy", "update", ".", "f"}, {"policy", "show", ".."}, {"policy", "delete", "a/b"},
		{"join-token", "delete"}, {"join-token", "delete", "0123"}, {"join-token", "delete", "../../agents/0123"},
		{"policy", "create", "--violations", "maybe"}, {"--help", "nothing"}, {"agent", "lits", "--help"}, {"policy", "-h", "lits"},
		{"join-token", "--json", "lits", "--help"}, {"agent", "lits", "x", "--help"},
		{"payload", "send", id, "f", "--expires", "0s"}, {"payload", "send", id, "f", "--timeout", "0s"},
		{"join-token", "create", "--expires", "0s"}, {"join-token", "create", "--expires", "soon"},
	} {
		f := start(t)
		f.set(rest.Agent{ID: id})
		o := f.run(t, args...)
		if o.code != exitUsage || !strings.Contains(o.stderr, "\nhint: ") && !strings.Contains(o.stderr, "hint\":") || o.stdout != "" {
			t.Errorf("%v: %+v", args, o)
		}
	}
}

func TestConfigurationErrors(t *testing.T) {
	f := start(t)
	good, err := os.ReadFile(f.file("tenant.toml"))
	if err != nil {
		t.Fatal(err)
	}
	open := strings.Replace(string(good), "tenant.key", "open.key", 1)
	if err := os.Chmod(f.write(t, "open.key", ""), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(f.file("ca.crt"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, toml, message, hint string }{
		{"unknown option", "registrar = 1\n", "tenant.toml:1", "hint: the options of tenant.toml are registrar_url, verifier_url, ca, certificate, key, ca_dir, payload_dir, ek_trust_anchors, registrar_address,"},
		{"a URL that is none", strings.Replace(string(good), "https://", "http://", 1), "is not of the form https://host:port", "set registrar_url"},
		{"no key", strings.Replace(string(good), "tenant.key", "none.key", 1), "none.key", "registrar and verifier make these files"},
		{"an open key", open, "has mode 0640", "hint: chmod 600 " + f.file("open.key") + ","},
		{"a file that is no key", strings.Replace(string(good), "tenant.key", "ca.crt", 1), "want one PEM block", "hint: take all three from the pki_dir"},
	} {
		f.configure(t, c.toml)
		o := f.run(t, "agent", "list")
		if o.code != exitFailed || !strings.Contains(o.stderr, c.message) || !strings.Contains(o.stderr, c.hint) {
			t.Errorf("%s: %+v", c.name, o)
		}
	}
}

func TestNoConfigurationThere(t *testing.T) {
	f := start(t)
	o := f.run(t, "agent", "list", "--config", f.file("none"))
	if o.code != exitFailed || !strings.Contains(o.stderr, "hint: --config names the directory that holds tenant.toml") {
		t.Errorf("%+v", o)
	}
}

// A URL of the one server that is set to the other's is found out when a path is
// missing there.
func TestConfusedServers(t *testing.T) {
	f := start(t)
	good, err := os.ReadFile(f.file("tenant.toml"))
	if err != nil {
		t.Fatal(err)
	}
	swap := strings.NewReplacer("registrar_url", "verifier_url", "verifier_url", "registrar_url")
	f.configure(t, swap.Replace(string(good)))
	for _, args := range [][]string{{"join-token", "list"}, {"policy", "list"}, {"policy", "delete", "web"}} {
		o := f.run(t, args...)
		if o.code != exitFailed || !strings.Contains(o.stderr, "in this API\nhint: that is perhaps the other server: see registrar_url and verifier_url in tenant.toml\n") {
			t.Errorf("%v: %+v", args, o)
		}
	}
	f.configure(t, string(good))
	if o := f.run(t, "policy", "show", "web"); strings.Contains(o.stderr, "the other server") {
		t.Errorf("a policy that is not there: %+v", o)
	}
}

// An option can come from the environment.
func TestConfigurationFromEnvironment(t *testing.T) {
	p := &program{configDir: t.TempDir(), environ: []string{"QUICKLIME_TENANT_VERIFIER_URL=https://verifier.example:1"}}
	c, err := p.load()
	if err != nil || c.VerifierURL != "https://verifier.example:1" || c.RegistrarURL != DefaultConfig().RegistrarURL {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestInterrupt(t *testing.T) {
	f := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := f.runWith(t, ctx, strings.NewReader(""), "policy", "list")
	o.want(t, exitFailed, "", "quicklime-tenant: interrupted\n")
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"agent", "--help"}, {"join-token", "-h"}} {
		if o := start(t).run(t, args...); o.code != 0 || !strings.Contains(o.stdout, "Usage:") || o.stderr != "" {
			t.Errorf("%v: %+v", args, o)
		}
	}
	o := start(t).run(t, "agent", "add", "--help")
	if o.code != 0 || !strings.Contains(o.stdout, "--accept-ek HASH") || !strings.Contains(o.stdout, "at least 6 digits") || o.stderr != "" {
		t.Errorf("%+v", o)
	}
}
