package emulator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quicklime/agent/emulator"
	"quicklime/agent/swtpm"
	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/wire/pcr"
)

// run runs the program.
func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = emulator.Main(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	machine := []string{"--tpm", "unix:/none", "--root", t.TempDir()}
	with := func(command string, more ...string) []string {
		return append(append([]string{command}, machine...), more...)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "name one of its commands"},
		{[]string{"tpm"}, 2, "name one of its commands"},
		{[]string{"bogus"}, 2, `unknown command "bogus"`},
		{[]string{"tpm", "bogus"}, 2, `unknown command "bogus"`},
		{[]string{"boot"}, 2, `"root", "tpm" not set`},
		{[]string{"tpm", "run"}, 2, `"dir" not set`},
		{with("boot", "--bogus"), 2, "unknown flag"},
		{with("measure"), 2, "requires at least 1 arg"},
		{with("measure", "--as", "/x", "a", "b"), 2, "accepts 1 arg"},
		{with("boot"), 1, "start the TPM emulator"},
		{[]string{"tpm", "create", "--dir", t.TempDir(), "--banks", "sha3"}, 1, `"sha3" is not one of`},
	} {
		code, stdout, stderr := run(tt.args...)
		if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.want) || !strings.HasPrefix(stderr, "quicklime-ima-emulator: ") {
			t.Errorf("%q: code %d, standard output %q, standard error %q", tt.args, code, stdout, stderr)
		}
		if hint := strings.Contains(stderr, "\nhint: quicklime-ima-emulator --help\n"); hint != (tt.code == 2) {
			t.Errorf("%q: standard error %q", tt.args, stderr)
		}
	}
	code, stdout, _ := run("--help")
	if code != 0 || !strings.Contains(stdout, "FOR DEVELOPMENT ONLY") {
		t.Errorf("code %d, help %q", code, stdout)
	}
}

// TestStory does what a person does who has no machine with IMA.
func TestStory(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	code, anchors, stderr := run("tpm", "create", "--dir", dir)
	if code != 0 {
		t.Fatal(stderr)
	}
	if want := strings.Join(swtpm.Anchors(dir), "\n") + "\n"; anchors != want {
		t.Errorf("tpm create prints %q, want %q", anchors, want)
	}
	device := "unix:" + filepath.Join(dir, "tpm.sock")
	on := make(chan string)
	off := make(chan int)
	go func() {
		out := &watched{on}
		off <- emulator.Main([]string{"tpm", "run", "--dir", dir}, out, out)
	}()
	<-on // the warning
	if got := <-on; got != device+"\n" {
		t.Errorf("tpm run prints %q, want %q", got, device)
	}
	at := []string{"--tpm", device, "--root", root}
	code, out, stderr := run(append([]string{"boot", "--json", "--boot-log", captures + "reboot-1/binary_bios_measurements", "--list", captures + "reboot-1/binary_runtime_measurements"}, at...)...)
	var done emulator.Booted
	if err := json.Unmarshal([]byte(out), &done); err != nil || code != 0 || done.Events != 13 || done.Entries != 15 || done.Duration <= 0 {
		t.Errorf("boot: code %d, %q %q, %v", code, out, stderr, err)
	}
	path := file(t, t.TempDir(), "file", "text")
	before := time.Now()
	code, out, stderr = run(append([]string{"measure", "--json", path, "--as", "/usr/bin/evil"}, at...)...)
	var got emulator.Measurement
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Index != 15 || got.Path != "/usr/bin/evil" || got.Time.Before(before) || got.Time.After(time.Now()) {
		t.Errorf("measure: code %d, %q %q, %v", code, out, stderr, err)
	}
	code, out, stderr = run(append([]string{"measure", path, "--as", "/usr/bin/evil"}, at...)...)
	if want := "    15  " + digest("text") + "  /usr/bin/evil  (measured before)\n"; code != 0 || out != want {
		t.Errorf("measure again: code %d, %q %q, want %q", code, out, stderr, want)
	}
	program := file(t, t.TempDir(), "program", "#!/bin/sh\necho it ran with $1\nexit 7\n")
	code, out, stderr = run(append(append([]string{"exec"}, at...), "--", program, "--an-argument")...)
	if code != 7 || out != "it ran with --an-argument\n" || !strings.Contains(stderr, program) {
		t.Errorf("exec: code %d, %q %q", code, out, stderr)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-off; code != 0 {
		t.Errorf("tpm run ends with code %d", code)
	}
	if _, err := tpmdev.OpenShared(device); err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the TPM is still on: %v", err)
	}
}

// watched sends each write to a channel.
type watched struct{ line chan<- string }

func (w *watched) Write(p []byte) (int, error) {
	w.line <- string(p)
	return len(p), nil
}

// TestRunEnds has the TPM end under "tpm run", as swtpm_ioctl -s ends it.
func TestRunEnds(t *testing.T) {
	dir := swtpmtest.Create(t, pcr.SHA256)
	on, off := make(chan string, 4), make(chan int)
	out := &watched{on}
	go func() { off <- emulator.Main([]string{"tpm", "run", "--dir", dir}, out, out) }()
	<-on
	<-on
	if code, _, stderr := run("tpm", "run", "--dir", dir); code != 1 || !strings.Contains(stderr, "runs already") {
		t.Errorf("a second: code %d, %q", code, stderr)
	}
	c, err := net.Dial("unix", filepath.Join(dir, "ctrl.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte{0, 0, 0, 3}); err != nil { // CMD_SHUTDOWN
		t.Fatal(err)
	}
	if said := <-on; !strings.Contains(said, "ended by itself") {
		t.Errorf("it says %q", said)
	}
	if code := <-off; code != 1 {
		t.Errorf("code %d", code)
	}
}
