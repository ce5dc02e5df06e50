package verifier_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"quicklime/agent"
	"quicklime/agent/emulator"
	"quicklime/agent/swtpm"
	"quicklime/registrar"
	"quicklime/tenant"
	"quicklime/verifier"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"keylime-receiver":       receiverMain,
		"quicklime-agent":        func() { os.Exit(agent.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"quicklime-ima-emulator": func() { os.Exit(emulator.Main(os.Args[1:], os.Stdout, os.Stderr)) },
		"quicklime-registrar":    func() { os.Exit(registrar.Main(os.Args[1:], os.Stdout, os.Stderr)) },
		"quicklime-tenant":       func() { os.Exit(tenant.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"quicklime-verifier":     func() { os.Exit(verifier.Main(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

// TestStories runs the stories of testdata/script: whole systems, as a person
// would use them. Each has an installation in $WORK and the configuration of all
// programs in $WORK/etc; $MACHINE is the root of its emulated machine, $TPM its
// device, $CAPTURES the captured machines, and $PAYLOADS where its agent puts payloads.
//
// Beside the usual commands there are:
//
//	machine ARGUMENT…         set up all that is in the file machine beside the stories,
//	                          and start &tpm&, &registrar&, &verifier& and &agent&
//	bootlog CHANGE FROM TO    write the log of a boot that differs from another, see changedBoots
//	retry COMMAND ARGUMENT…   exec it until it succeeds, for at most a minute
func TestStories(t *testing.T) {
	captures, err := filepath.Abs("../testdata/captures")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 stories(t, "../testdata/script"),
		RequireExplicitExec: true,
		Setup:               func(e *testscript.Env) error { return setup(e, captures) },
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"retry": retry, "bootlog": bootlog},
	})
}

// stories copies the stories of a folder, with the lines of its file machine in the
// place of each command of that name.
func stories(t *testing.T, folder string) (copies string) {
	t.Helper()
	lines, err := os.ReadFile(filepath.Join(folder, "machine"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	copies = t.TempDir()
	for _, file := range files {
		story, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		story = command.ReplaceAllFunc(story, func(line []byte) []byte {
			return bytes.ReplaceAll(lines, []byte(" ARGUMENTS"), bytes.TrimPrefix(line, []byte("machine")))
		})
		if err := os.WriteFile(filepath.Join(copies, filepath.Base(file)), story, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return copies
}

// command is the command machine of a story.
var command = regexp.MustCompile(`(?m)^machine( .*)?$`)

func setup(e *testscript.Env, captures string) error {
	registrarAddr, verifierAddr, err := addresses()
	if err != nil {
		return err
	}
	etc, pki, machine := filepath.Join(e.WorkDir, "etc"), filepath.Join(e.WorkDir, "state", "pki"), filepath.Join(e.WorkDir, "machine")
	e.Setenv("CAPTURES", captures)
	e.Setenv("ETC", etc)
	e.Setenv("MACHINE", machine)
	e.Setenv("TPM", swtpm.Device(filepath.Join(e.WorkDir, "tpm")))
	e.Setenv("STATE", filepath.Join(e.WorkDir, "state"))
	if err := os.Mkdir(etc, 0o700); err != nil {
		return err
	}
	memory, err := os.MkdirTemp("/dev/shm", "quicklime-story-")
	if err != nil {
		return err
	}
	e.Defer(func() { os.RemoveAll(memory) })
	e.Setenv("PAYLOADS", filepath.Join(memory, "payloads"))
	common := fmt.Sprintf("state_dir = %q\npki_dir = %q\n", filepath.Join(e.WorkDir, "state"), pki)
	for name, text := range map[string]string{
		"registrar": common + fmt.Sprintf("listen = %q\nek_trust_anchors = %q\n", registrarAddr, filepath.Join(e.WorkDir, "anchors")),
		"verifier":  common + fmt.Sprintf("listen = %q\n[challenge]\ninterval = \"3s\"\nanswer = \"2s\"\nmargin = \"1s\"\n", verifierAddr),
		"tenant": fmt.Sprintf("registrar_url = %q\nverifier_url = %q\nca = %q\ncertificate = %q\nkey = %q\npayload_dir = %q\nek_trust_anchors = %q\n", "https://"+registrarAddr, "https://"+verifierAddr,
			filepath.Join(pki, "ca.crt"), filepath.Join(pki, "tenant.crt"), filepath.Join(pki, "tenant.key"), filepath.Join(e.WorkDir, "tenant"), filepath.Join(e.WorkDir, "anchors")),
		"agent": fmt.Sprintf("tpm_device = %q\nstate_dir = %q\nlabel = \"box\"\nima_list = %q\nboot_log = %q\n[payload]\ndir = %q\n", swtpm.Device(filepath.Join(e.WorkDir, "tpm")),
			filepath.Join(e.WorkDir, "agent"), filepath.Join(machine, "binary_runtime_measurements"), filepath.Join(machine, "binary_bios_measurements"), filepath.Join(memory, "payloads")),
	} {
		if err := os.WriteFile(filepath.Join(etc, name+".toml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// addresses returns two loopback addresses that are free for TCP and UDP.
func addresses() (a, b string, err error) {
	var found []string
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close() // only now, so that no address is found twice
		u, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			continue
		}
		u.Close()
		if found = append(found, l.Addr().String()); len(found) == 2 {
			return found[0], found[1], nil
		}
	}
	return "", "", errors.New("no free ports")
}

// patience bounds every wait; a slow machine with the race detector needs seconds.
const patience = time.Minute

// retry shows only what the last try said.
func retry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: retry COMMAND ARGUMENT…")
	}
	deadline := time.Now().Add(patience)
	for {
		said, err := quietly(ts, args)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not succeed within %v: %v: %s", strings.Join(args, " "), patience, err, said)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// quietly runs one of the installed commands in the script's folder.
func quietly(ts *testscript.TestScript, args []string) ([]byte, error) {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, args[0])
		if _, err := os.Stat(path); err != nil {
			continue
		}
		cmd := exec.Command(path, args[1:]...)
		cmd.Dir = ts.MkAbs(".")
		cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "ETC=" + ts.Getenv("ETC"), "PAYLOADS=" + ts.Getenv("PAYLOADS")}
		return cmd.CombinedOutput()
	}
	return nil, exec.ErrNotFound
}
