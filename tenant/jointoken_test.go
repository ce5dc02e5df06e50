package tenant

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"quicklime/wire/jointoken"
	"quicklime/wire/notice"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

// parse reads the token that f's registrar makes and checks what the tenant put
// into it.
func parse(t *testing.T, f *fake, text string) jointoken.Token {
	t.Helper()
	token, err := jointoken.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.Open(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	if token.ID != "0123456789abcdef" || !bytes.Equal(token.Secret[:], bytes.Repeat([]byte{7}, 32)) || token.CAPin != ca.Pin() {
		t.Errorf("token %+v", token)
	}
	return token
}

func TestJoinTokenCreate(t *testing.T) {
	f := start(t)
	o := f.run(t, "join-token", "create", "--label", "web-1", "--expires", "2d")
	if o.code != 0 || strings.Count(o.stdout, "\n") != 1 || f.tokens[0].Label != "web-1" {
		t.Fatalf("%+v", o)
	}
	token := parse(t, f, o.stdout)
	if k, err := notice.KeyOf(&revocationKey().PublicKey); err != nil || token.RevocationKey != k {
		t.Errorf("revocation key %x, %v", token.RevocationKey, err)
	}
	if !token.Expires.Equal(now.Add(48 * time.Hour)) {
		t.Errorf("expires %v", token.Expires)
	}
	config, err := (&program{configDir: f.dir}).load()
	if err != nil {
		t.Fatal(err)
	}
	for url, server := range map[string]jointoken.Server{config.RegistrarURL: token.Registrar, config.VerifierURL: token.Verifier} {
		if "https://"+server.Address != url || server.ServerName != "127.0.0.1" {
			t.Errorf("%s: %+v", url, server)
		}
	}
	for _, words := range []string{"join token 0123456789abcdef (web-1) for one machine, until 2026-03-06T05:06:07Z", "quicklime-agent join", "only agents on this machine reach 127.0.0.1"} {
		if !strings.Contains(o.stderr, words) {
			t.Errorf("stderr lacks %q:\n%s", words, o.stderr)
		}
	}
	if strings.Contains(o.stderr, strings.TrimSpace(o.stdout)) {
		t.Error("the secret is on standard error")
	}
}

// A verifier that is down keeps nobody from joining; what is then missing is said.
func TestJoinTokenWithoutTheVerifier(t *testing.T) {
	f := start(t)
	f.verifier.Close()
	o := f.run(t, "join-token", "create")
	if o.code != 0 || !strings.Contains(o.stderr, "takes no notices") {
		t.Fatalf("%+v", o)
	}
	if token := parse(t, f, o.stdout); token.RevocationKey != (notice.Key{}) {
		t.Errorf("%+v", token)
	}
}

func TestJoinTokenWithAddressesForAgents(t *testing.T) {
	f := start(t)
	b, err := os.ReadFile(f.file("tenant.toml"))
	if err != nil {
		t.Fatal(err)
	}
	f.configure(t, string(b)+`registrar_address = "registrar.example:1"
verifier_address = "192.0.2.7:2"
verifier_server_name = "verifier.example"
`)
	o := f.run(t, "join-token", "create")
	token := parse(t, f, o.stdout)
	if token.Registrar != (jointoken.Server{Address: "registrar.example:1", ServerName: "registrar.example"}) ||
		token.Verifier != (jointoken.Server{Address: "192.0.2.7:2", ServerName: "verifier.example"}) {
		t.Errorf("%+v", token)
	}
	if strings.Contains(o.stderr, "warning") {
		t.Errorf("stderr:\n%s", o.stderr)
	}
}

// A secret in a file is for nobody else (I05), and never goes into a file that
// is there.
func TestI05_JoinTokenFile(t *testing.T) {
	f := start(t)
	out := f.file("token")
	o := f.run(t, "join-token", "create", "-o", out, "--json")
	var answer newToken
	if err := json.Unmarshal([]byte(o.stdout), &answer); err != nil || o.code != 0 || answer.File != out || answer.Token != "" {
		t.Fatalf("%+v, %v", o, err)
	}
	stat, err := os.Stat(out)
	if err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", stat, err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	parse(t, f, string(text))
	o = f.run(t, "join-token", "create", "-o", out)
	if o.code != 1 || !strings.Contains(o.stderr, "hint: remove "+out) || len(f.tokens) != 1 {
		t.Errorf("%+v, %d tokens", o, len(f.tokens))
	}
}

func TestJoinTokenLeavesNoEmptyFile(t *testing.T) {
	f := start(t)
	f.failures[rest.CreateJoinToken] = rest.Errorf(rest.CodeConflict, "too many tokens")
	o := f.run(t, "join-token", "create", "-o", f.file("token"))
	if _, err := os.Stat(f.file("token")); o.code != 1 || !strings.Contains(o.stderr, "too many tokens") || !os.IsNotExist(err) {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestJoinTokenNeedsSoundConfiguration(t *testing.T) {
	for _, c := range []struct{ name, toml, message, hint string }{
		{"no port", "registrar_address = \"registrar.example\"\n", "registrar address for agents", "set registrar_address to host:port"},
		{"no host name", "verifier_address = \"a b:1\"\n", "verifier: address", "correct registrar_address"},
	} {
		f := start(t)
		b, _ := os.ReadFile(f.file("tenant.toml"))
		f.configure(t, string(b)+c.toml)
		o := f.run(t, "join-token", "create")
		if o.code != 1 || o.stdout != "" || !strings.Contains(o.stderr, c.message) || !strings.Contains(o.stderr, c.hint) || len(f.tokens) > 0 {
			t.Errorf("%s: %+v", c.name, o)
		}
	}
}

func TestJoinTokenDelete(t *testing.T) {
	f := start(t)
	f.tokens = []rest.JoinToken{{ID: "0000000000000001"}, {ID: "0000000000000002"}}
	f.run(t, "join-token", "delete", "0000000000000001").want(t, 0, "deleted join token 0000000000000001\n", "")
	if len(f.tokens) != 1 || f.tokens[0].ID != "0000000000000002" {
		t.Errorf("left %+v", f.tokens)
	}
	f.failures[rest.DeleteJoinToken] = rest.Errorf(rest.CodeConflict, "it was used").WithHint("keep it")
	f.run(t, "join-token", "delete", "0000000000000002").want(t, exitFailed, "", "quicklime-tenant: it was used\nhint: keep it\n")
}

func TestJoinTokenListOfNothing(t *testing.T) {
	f := start(t)
	f.run(t, "join-token", "list").want(t, 0, "", "there is no join token; \"quicklime-tenant join-token create\" makes one\n")
	f.run(t, "join-token", "list", "--json").want(t, 0, "{\n  \"tokens\": []\n}\n", "")
	f.unreadable = 1
	f.run(t, "join-token", "list", "--json").want(t, 0, "{\n  \"tokens\": [],\n  \"unreadable\": 1\n}\n",
		"warning: 1 join token is left out, of which the records cannot be read; the registrar's log names them\n")
}

func TestJoinTokenList(t *testing.T) {
	f := start(t)
	used := now.Add(-time.Minute)
	f.tokens = []rest.JoinToken{
		{ID: "0000000000000001", Label: "web\x07", CreatedAt: now.Add(-time.Hour), ExpiresAt: now.Add(time.Hour)},
		{ID: "0000000000000002", CreatedAt: now.Add(-time.Hour), ExpiresAt: now},
		{ID: "0000000000000003", CreatedAt: now.Add(-time.Hour), ExpiresAt: now, UsedBy: strings.Repeat("a", 64), UsedAt: &used},
		{ID: "0000000000000004", CreatedAt: now.Add(-time.Hour), ExpiresAt: now, UsedBy: strings.Repeat("b", 64)},
	}
	f.run(t, "join-token", "list").want(t, 0, `
ID                LABEL  CREATED  STATE                       AGENT
0000000000000001  web\a  1 h ago  until 2026-03-04 06:06 UTC
0000000000000002         1 h ago  expired just now
0000000000000003         1 h ago  used 1 min ago              aaaaaaaaaaaa
0000000000000004         1 h ago  used                        bbbbbbbbbbbb
`[1:], "")
}
