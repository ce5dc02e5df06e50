package agent

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/wire/daemon"
)

// asProgram makes the test program the agent: tests of a process run it so.
const asProgram = "QUICKLIME_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Unsetenv(asProgram)
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(swtpmtest.Main(m))
}

// command is the agent as a process of its own, with the configuration below dir.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, append([]string{"--config", dir}, args...)...)
	c.Env = append(os.Environ(), asProgram+"=1")
	return c
}

// result is how a program ended.
type result struct {
	code           int
	stdout, stderr string
}

// call runs Main with the configuration below dir.
func call(dir, stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := Main(append([]string{"--config", dir}, args...), strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// configure writes agent.toml and returns its directory.
func configure(t *testing.T, lines ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "agent.toml"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestErrorsSayWhatToDo(t *testing.T) {
	state := t.TempDir()
	good := configure(t, `state_dir = "`+state+`"`, `tpm_device = "unix:/nowhere.sock"`)
	for _, c := range []struct {
		name, dir string
		args      []string
		stdin     string
		code      int
		want      []string
	}{
		{"no command", good, nil, "", 2, []string{"name a command", "hint: see \"quicklime-agent --help\""}},
		{"no such command", good, []string{"attest"}, "", 2, []string{`no command "attest"`, "hint: "}},
		{"no such flag", good, []string{"run", "--fast"}, "", 2, []string{"unknown flag", "hint: "}},
		{"arguments for run", good, []string{"run", "now"}, "", 2, []string{"takes no arguments", "hint: "}},
		{"arguments for id", good, []string{"id", "now"}, "", 2, []string{"takes no arguments", "hint: "}},
		{"a token on the command line", good, []string{"join", "quicklime-join-1.x"}, "", 2, []string{"every user sees it", "hint: run \"quicklime-agent join < FILE\""}},
		{"no token", good, []string{"join"}, "", 1, []string{"not a join token", "hint: give the whole line"}},
		{"a bad token", good, []string{"join"}, "quicklime-join-1.x", 1, []string{"not a join token", "hint: give the whole line"}},
		{"no token file", good, []string{"join", "--token-file", "/nowhere"}, "", 1, []string{"/nowhere: no such file"}},
		{"not joined", good, []string{"run"}, "", 1, []string{"has not joined", "hint: get a token", "quicklime-agent join < token"}},
		{"no TPM", good, []string{"id"}, "", 1, []string{"unix:/nowhere.sock", "start the TPM emulator"}},
		{"an unknown option", configure(t, "", `verifer = "x"`), []string{"run"}, "", 1, []string{"agent.toml:2", "verifer"}},
	} {
		got := call(c.dir, c.stdin, c.args...)
		if got.code != c.code || got.stdout != "" || !strings.HasPrefix(got.stderr, "quicklime-agent: ") {
			t.Errorf("%s: %+v", c.name, got)
		}
		for _, w := range c.want {
			if !strings.Contains(got.stderr, w) {
				t.Errorf("%s: %q does not say %q", c.name, got.stderr, w)
			}
		}
		if strings.Contains(got.stderr, "join-1.x") {
			t.Errorf("%s: the token is repeated", c.name)
		}
	}
}

// endless is a token that never ends.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read += len(p); e.read > 1<<20 {
		return 0, errors.New("nobody stops reading")
	}
	return len(p), nil
}

func TestAnEndlessTokenIsNotRead(t *testing.T) {
	var stderr bytes.Buffer
	code := Main([]string{"--config", t.TempDir(), "join"}, &endless{}, io.Discard, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "limit is 2048") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

func TestVersion(t *testing.T) {
	got := call(t.TempDir(), "", "--version")
	if want := "quicklime-agent version " + daemon.Version + "\n"; got.code != 0 || got.stdout != want {
		t.Errorf("%+v", got)
	}
}

func TestEveryDefaultIsAnOption(t *testing.T) {
	t.Setenv("QUICKLIME_AGENT_WATCH_FAST", "1ms")
	t.Setenv("QUICKLIME_AGENT_LABEL", "x")
	t.Setenv("QUICKLIME_AGENT_STATE_DIR", t.TempDir())
	got := call(t.TempDir(), "", "run")
	if got.code != 1 || !strings.Contains(got.stderr, os.Getenv("QUICKLIME_AGENT_STATE_DIR")) {
		t.Errorf("%+v", got)
	}
}

func TestPerfIsOffTryOrRequire(t *testing.T) {
	for _, word := range []string{"off", "try", "require"} {
		dir := configure(t, `state_dir = "/nowhere"`, "[watch]", `perf = "`+word+`"`)
		if got := call(dir, "", "run"); !strings.Contains(got.stderr, "has not joined") {
			t.Errorf("%s: %+v", word, got)
		}
	}
	dir := configure(t, "[watch]", `perf = "yes"`)
	if got := call(dir, "", "run"); got.code != 1 || !strings.Contains(got.stderr, `"yes" is not one of off, try, require`) {
		t.Errorf("%+v", got)
	}
}
