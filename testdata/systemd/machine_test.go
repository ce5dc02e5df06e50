// Package systemd runs the shipped units under a real systemd, in a machine of
// namespaces: a process with process ids, mounts, network and control groups of its own,
// whose /usr is this machine's, read-only, with what the package brings on top.
package systemd

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(stageVariable); name != "" {
		os.Exit(stage(name))
	}
	os.Exit(m.Run())
}

// patience bounds every wait.
const patience = time.Minute

// machine is one that runs.
type machine struct {
	t       *testing.T
	root    string
	pid     int
	console *output
}

// output is what the machine's systemd says.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// possible skips the test on a machine that has not what another in it takes.
func possible(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root makes namespaces")
	}
	for _, program := range []string{"/usr/lib/systemd/systemd", "/usr/bin/systemctl", "/usr/bin/nsenter"} {
		if _, err := os.Stat(program); err != nil {
			t.Skipf("there is no %s", program)
		}
	}
}

// start boots a machine with what lies in root: etc, srv, and usr on top of this
// machine's. It skips the test if this machine cannot have another in it, for which
// none of the units is to blame.
func start(t *testing.T, root string) *machine {
	t.Helper()
	if err := os.Mkdir(filepath.Join(root, "top"), 0o755); err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, root: root, console: &output{}}
	group := fmt.Sprintf("quicklime-%d", os.Getpid())
	c := m.stage("boot", group)
	c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC
	c.Stdout, c.Stderr = m.console, m.console
	if err := c.Start(); err != nil {
		t.Skipf("no namespaces: %v", err)
	}
	m.pid = c.Process.Pid
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }()
	t.Cleanup(func() {
		c.Process.Kill()
		<-ended
		sweep := m.stage("sweep", group)
		if out, err := sweep.CombinedOutput(); err != nil {
			t.Logf("control groups stay: %v\n%s", err, out)
		}
	})
	for late := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		select {
		case <-ended:
			t.Skipf("systemd does not boot:\n%s", m.console)
		default:
		}
		if out, _ := m.command("systemctl", "is-system-running").Output(); strings.TrimSpace(string(out)) == "running" {
			return m
		}
		if time.Now().After(late) {
			failed, _ := m.command("systemctl", "--no-pager", "--failed").CombinedOutput()
			jobs, _ := m.command("systemctl", "--no-pager", "list-jobs").CombinedOutput()
			if why := string(failed) + string(jobs); strings.Contains(why, "quicklime") {
				t.Fatalf("systemd does not come up with the units:\n%s\n%s", m.console, why)
			}
			t.Skipf("systemd does not come up:\n%s\n%s%s", m.console, failed, jobs)
		}
	}
}

// stage is a process of one of the stages.
func (m *machine) stage(name, group string) *exec.Cmd {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), stageVariable+"="+name, rootVariable+"="+m.root, groupVariable+"="+group)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	return c
}

// command is one that runs in the machine, as root.
func (m *machine) command(args ...string) *exec.Cmd {
	c := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(m.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--"}, args...)...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8", "HOME=/root"}
	return c
}

// step is a part of the story, without which the rest is not told.
func (m *machine) step(name string, do func(t *testing.T)) {
	whole := m.t
	defer func() { m.t = whole }()
	ok := whole.Run(name, func(t *testing.T) {
		m.t = t
		do(t)
	})
	if !ok {
		whole.FailNow()
	}
}

// try runs a line of shell in the machine.
func (m *machine) try(line string) (string, error) {
	out, err := m.command("sh", "-c", line).CombinedOutput()
	return string(out), err
}

// run is try of what must succeed.
func (m *machine) run(line string) string {
	m.t.Helper()
	out, err := m.try(line)
	if err != nil {
		m.fatal("%s: %v\n%s", line, err, out)
	}
	return out
}

// retry runs a line until it succeeds.
func (m *machine) retry(line string) string {
	m.t.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		out, err := m.try(line)
		if err == nil {
			return out
		}
		if time.Now().After(late) {
			m.fatal("%s: %v\n%s", line, err, out)
		}
	}
}

// fatal ends the test, with the journal.
func (m *machine) fatal(format string, args ...any) {
	m.t.Helper()
	journal, _ := m.try("journalctl --no-pager -b -o short-monotonic | tail -n 150")
	m.t.Fatalf(format+"\n\njournal:\n%s", append(args, journal)...)
}
