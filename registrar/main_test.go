package registrar

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quicklime/wire/conf"
)

func TestMainUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		code   int
		stdout string // a part
		stderr string // a part
	}{
		"help":     {[]string{"--help"}, 0, "--config DIR", ""},
		"version":  {[]string{"--version"}, 0, "quicklime-registrar ", ""},
		"argument": {[]string{"start"}, 2, "", `"start"`},
		"flag":     {[]string{"--listen", ":1"}, 2, "", "hint: see"},
	} {
		var stdout, stderr bytes.Buffer
		code := Main(c.args, &stdout, &stderr)
		if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%s: code %d, stdout %q, stderr %q", name, code, &stdout, &stderr)
		}
		if (stdout.Len() > 0) == (stderr.Len() > 0) {
			t.Errorf("%s: stdout %q and stderr %q, want one of them", name, &stdout, &stderr)
		}
	}
}

func TestMainConfiguration(t *testing.T) {
	for name, c := range map[string]struct{ option, value, want string }{
		"unknown option":      {"listen_port", "1", "registrar.toml:2"},
		"unknown EK policy":   {"ek_certificate", `"maybe"`, "require, verify, record"},
		"no such address":     {"listen", `"127.0.0.1:nowhere"`, "listen"},
		"impossible name":     {"server_names", `["a b"]`, "a b"},
		"state_dir is a file": {"state_dir", `"/dev/null"`, "state_dir"},
		"pki_dir is a file":   {"pki_dir", `"/dev/null"`, "/dev/null"},
		"anchors is a file":   {"ek_trust_anchors", `"/dev/null"`, "EK trust anchors"},
	} {
		dir := t.TempDir()
		text := ""
		for option, value := range map[string]string{
			"listen": `"127.0.0.1:0"`, "state_dir": `"` + dir + `/state"`, "pki_dir": `"` + dir + `/pki"`, "ek_trust_anchors": `"` + dir + `/anchors"`,
		} {
			if option != c.option {
				text += option + " = " + value + "\n"
			}
		}
		write(t, filepath.Join(dir, "registrar.toml"), "\n"+c.option+" = "+c.value+"\n"+text)
		var stderr bytes.Buffer
		code := make(chan int, 1)
		go func() { code <- Main([]string{"--config", dir}, io.Discard, &stderr) }()
		select {
		case got := <-code:
			if got != 1 || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("%s: code %d, stderr %q, want 1 and %q", name, got, &stderr, c.want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: it runs", name)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// notify is a log that tells when a word was written to it.
type notify struct {
	mu   sync.Mutex
	b    bytes.Buffer
	word string
	seen chan struct{}
}

func (n *notify) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.b.Write(p)
	if n.word != "" && strings.Contains(n.b.String(), n.word) {
		n.word = ""
		close(n.seen)
	}
	return len(p), nil
}

func TestMainRunsUntilToldToStop(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "registrar.toml"), "state_dir = \""+dir+"/state\"\npki_dir = \""+dir+"/pki\"\nek_trust_anchors = \""+dir+"/anchors\"\n")
	t.Setenv("QUICKLIME_REGISTRAR_LISTEN", "127.0.0.1:0")
	log := &notify{word: `"tenant_certificate":"` + dir + `/pki/tenant.crt"`, seen: make(chan struct{})}
	code := make(chan int, 1)
	go func() { code <- Main([]string{"--config", dir}, os.Stdout, log) }()
	select {
	case <-log.seen:
	case c := <-code:
		t.Fatalf("it ended with code %d:\n%s", c, &log.b)
	case <-time.After(30 * time.Second):
		t.Fatal("it does not say that it runs")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if c := <-code; c != 0 {
		t.Errorf("told to stop, it ended with code %d:\n%s", c, &log.b)
	}
}

func TestEKPolicy(t *testing.T) {
	for text, want := range map[string]EKPolicy{"require": EKRequire, "verify": EKVerify, "record": EKRecord} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "registrar.toml"), "ek_certificate = \""+text+"\"\n")
		cfg := Config{EKCertificate: 77}
		if err := conf.Load("registrar", conf.Dirs{System: dir}, nil, &cfg); err != nil || cfg.EKCertificate != want {
			t.Errorf("%s: policy %d, error %v, want %d", text, cfg.EKCertificate, err, want)
		}
	}
	var p EKPolicy
	if err := p.UnmarshalText([]byte("Require")); err == nil {
		t.Error("a policy in capitals was understood")
	}
}
