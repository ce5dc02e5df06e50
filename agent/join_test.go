package agent

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/jointoken"
	"quicklime/wire/pcr"
)

// joining is a machine with a TPM and a token.
type joining struct {
	installation
	token      jointoken.Token
	text       string // of token
	registered <-chan wire.Register
	config     string
	state      string
}

func newJoining(t *testing.T, outcome wire.Outcome, why wire.Refusal) joining {
	t.Helper()
	j := joining{installation: newInstallation(t), state: filepath.Join(t.TempDir(), "state")}
	registrar, registered := j.registrar(outcome, why)
	j.registered = registered
	j.token = jointoken.Token{
		ID: "0123456789abcdef", Secret: [32]byte{1}, Expires: time.Unix(4e9, 0).UTC(), CAPin: j.ca.Pin(),
		Registrar: at(registrar), Verifier: jointoken.Server{Address: "verifier.test:8882", ServerName: "verifier.test"},
	}
	var err error
	if j.text, err = j.token.Format(); err != nil {
		t.Fatal(err)
	}
	device := swtpmtest.New(t, pcr.SHA1, pcr.SHA256).Device()
	j.config = configure(t, `tpm_device = "`+device+`"`, `state_dir = "`+j.state+`"`, `label = "web-1"`)
	return j
}

func TestJoin(t *testing.T) {
	j := newJoining(t, wire.OutcomeNew, "")
	got := call(j.config, j.text+"\n", "join")
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("%+v", got)
	}
	told := <-j.registered
	if told.Label != "web-1" || told.Software != daemon.Version || told.TokenID != j.token.ID {
		t.Errorf("the registrar was told %q, %q, %q", told.Label, told.Software, told.TokenID)
	}
	file := filepath.Join(j.state, "membership.json")
	member, err := readMembership(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(j.token.Membership(member.ID), member); d != "" {
		t.Error(d)
	}
	for _, want := range []string{
		"This machine is registered.", member.ID, "web-1 (what this machine calls itself;", j.token.Registrar.Address, "verifier.test:8882",
		`"quicklime-tenant agent add ` + member.ID[:12] + `"`, `"quicklime-agent run"`,
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q does not say %q", got.stdout, want)
		}
	}
	if strings.Contains(got.stdout, "systemctl") {
		t.Errorf("%q names a service that nobody has installed", got.stdout)
	}
	for path, want := range map[string]os.FileMode{file: 0o600, j.state: 0o700 | os.ModeDir} {
		if st, err := os.Stat(path); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
	if left, _ := os.ReadDir(j.state); len(left) != 1 {
		t.Errorf("the state directory holds %v", left)
	}
	id := call(j.config, "", "id")
	for _, want := range []string{member.ID, `"IBM"`, "issued by", "sha1 sha256"} {
		if !strings.Contains(id.stdout, want) {
			t.Errorf("%+v does not say %q", id, want)
		}
	}
	if json := call(j.config, "", "id", "--json"); !strings.HasPrefix(json.stdout, `{"id":"`+member.ID+`","ek_certificates":["`) {
		t.Errorf("%+v", json)
	}
}

// A build may set any version; a peer refuses what it cannot print.
func TestAnyVersionJoins(t *testing.T) {
	defer func(v string) { daemon.Version = v }(daemon.Version)
	daemon.Version = "v1.0\n-" + strings.Repeat("long", 30)
	j := newJoining(t, wire.OutcomeNew, "")
	if got := call(j.config, j.text, "join"); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if told := <-j.registered; !strings.HasPrefix(told.Software, "v1.0?-long") {
		t.Errorf("the registrar was told %q", told.Software)
	}
}

func TestJoinWithATokenFile(t *testing.T) {
	j := newJoining(t, wire.OutcomeOtherKeys, "")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(j.text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := call(j.config, "", "join", "--token-file", file); got.code != 1 || !strings.Contains(got.stderr, "chmod 600") {
		t.Errorf("I05: a secret that everybody reads: %+v", got)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	got := call(j.config, "", "join", "--token-file", file)
	if got.code != 0 || !strings.Contains(got.stdout, "with other keys") || !strings.Contains(got.stdout, "agent rebind") {
		t.Errorf("%+v", got)
	}
}

func TestJoiningAgainReplacesTheMembership(t *testing.T) {
	j := newJoining(t, wire.OutcomeSame, "")
	if err := os.Mkdir(j.state, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(j.state, "membership.json")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := call(j.config, j.text, "join"); got.code != 0 || !strings.Contains(got.stdout, "was registered already") {
		t.Fatalf("%+v", got)
	}
	if _, err := readMembership(file); err != nil {
		t.Error(err)
	}
}

func TestARefusedJoinChangesNothing(t *testing.T) {
	j := newJoining(t, "", wire.RefusedToken)
	got := call(j.config, j.text, "join")
	if got.code != 1 || !strings.Contains(got.stderr, "token is unknown, expired or used") || !strings.Contains(got.stderr, "hint: have the operator") {
		t.Errorf("%+v", got)
	}
	if left, _ := os.ReadDir(j.state); len(left) != 0 {
		t.Errorf("the state directory holds %v", left)
	}
}

func TestATokenIsNotUsedUpIfItsMembershipCannotBeKept(t *testing.T) {
	j := newJoining(t, wire.OutcomeNew, "")
	if err := os.WriteFile(j.state, nil, 0o600); err != nil { // a file where the directory should be
		t.Fatal(err)
	}
	if got := call(j.config, j.text, "join"); got.code != 1 || !strings.Contains(got.stderr, "hint: run as root") {
		t.Errorf("%+v", got)
	}
	if len(j.registered) != 0 {
		t.Error("the registrar was asked")
	}
}

func TestALabelThatIsNoneIsRefusedHere(t *testing.T) {
	j := newJoining(t, wire.OutcomeNew, "")
	t.Setenv("QUICKLIME_AGENT_LABEL", "a\x1b[2Jb")
	if got := call(j.config, j.text, "join"); got.code != 1 || !strings.Contains(got.stderr, "hint: set another label") {
		t.Errorf("%+v", got)
	}
	if len(j.registered) != 0 {
		t.Error("the registrar was asked")
	}
}

func TestI05_AMembershipThatOthersMayWriteIsRefused(t *testing.T) {
	m := jointoken.Token{
		ID: "0123456789abcdef", Expires: time.Unix(4e9, 0), Registrar: jointoken.Server{Address: "r:1", ServerName: "r"},
		Verifier: jointoken.Server{Address: "v:1", ServerName: "v"},
	}.Membership(strings.Repeat("ab", 32))
	file := filepath.Join(t.TempDir(), "membership.json")
	if err := writeMembership(file, m); err != nil {
		t.Fatal(err)
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o644: true, 0o620: false, 0o602: false} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := readMembership(file); (err == nil) != ok {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestI05_AMembershipThatIsNoFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo} { // to open a FIFO can take for ever
		if _, err := readMembership(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
