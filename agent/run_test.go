package agent

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quicklime/agent/swtpm"
	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/ima"
	"quicklime/wire/daemon"
	"quicklime/wire/jointoken"
	"quicklime/wire/pcr"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// host is a machine that has joined: a TPM, a list with one entry, a verifier.
type host struct {
	t        *testing.T
	dir      string // of the TPM
	power    *swtpm.TPM
	cfg      Config
	evidence <-chan attested
}

func newHost(t *testing.T) *host {
	t.Helper()
	i := newInstallation(t)
	verifier, evidence := i.verifier()
	h := &host{t: t, dir: swtpmtest.Create(t, pcr.SHA1, pcr.SHA256), cfg: DefaultConfig(), evidence: evidence}
	h.power = h.start()
	t.Cleanup(func() { h.power.Kill() })
	root := t.TempDir()
	h.cfg.TPMDevice = h.power.Device()
	h.cfg.IMAList = filepath.Join(root, "binary_runtime_measurements")
	h.cfg.BootLog = filepath.Join(root, "binary_bios_measurements")
	h.cfg.StateDir = t.TempDir()
	h.cfg.Log = slog.New(slog.DiscardHandler)
	if err := os.WriteFile(h.cfg.IMAList, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.measure(ima.BootAggregate)
	m := jointoken.Membership{
		ID: strings.Repeat("ab", 32), TokenID: "0123456789abcdef", CAPin: i.ca.Pin(),
		Registrar: jointoken.Server{Address: "127.0.0.1:1", ServerName: serverName}, Verifier: at(verifier),
	}
	if err := writeMembership(h.cfg.membershipFile(), m); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) start() *swtpm.TPM {
	h.t.Helper()
	power, err := swtpm.Start(h.t.Context(), h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	return power
}

func (h *host) measure(path string) {
	h.t.Helper()
	e := ima.NewFileEntry(pcr.SHA256, make([]byte, 32), path)
	f, err := os.OpenFile(h.cfg.IMAList, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(e.AppendTo(nil)); err != nil {
		h.t.Fatal(err)
	}
	device, err := tpmdev.OpenShared(h.cfg.TPMDevice)
	if err != nil {
		h.t.Fatal(err)
	}
	defer device.Close()
	if err := device.Extend(pcr.IMA, map[pcr.Bank][]byte{pcr.SHA1: e.Extends(pcr.SHA1), pcr.SHA256: e.Extends(pcr.SHA256)}); err != nil {
		h.t.Fatal(err)
	}
}

// await returns the evidence that certifies so many entries.
func (h *host) await(entries uint64) attested {
	h.t.Helper()
	late := time.After(patience)
	for {
		select {
		case a := <-h.evidence:
			if a.entries == entries {
				return a
			}
		case <-late:
			h.t.Fatalf("no evidence of %d entries", entries)
		}
	}
}

// run runs Run until stop is called, which returns Run's error.
func (h *host) run() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, h.cfg) }()
	h.t.Cleanup(cancel)
	return func() error {
		cancel()
		return <-done
	}
}

func TestRunAttestsUntilItIsStopped(t *testing.T) {
	defer func(v string) { daemon.Version = v }(daemon.Version)
	daemon.Version = "v1.0\n" // a build may set any; a verifier refuses what it cannot print
	h := newHost(t)
	stop := h.run()
	a := h.await(1)
	if a.hello.Software != "v1.0?" || a.hello.Aggregate != pcr.SHA256 {
		t.Errorf("%+v", a.hello)
	}
	h.measure("/a")
	h.await(2)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestATPMThatRestartsIsOpenedAnew(t *testing.T) {
	h := newHost(t)
	stop := h.run()
	before := h.await(1).hello.Boot
	if err := h.power.Kill(); err != nil {
		t.Fatal(err)
	}
	h.power = h.start()
	if err := os.Truncate(h.cfg.IMAList, 0); err != nil {
		t.Fatal(err)
	}
	h.measure(ima.BootAggregate)
	h.measure("/after the reboot")
	if after := h.await(2).hello.Boot; after.Reset <= before.Reset {
		t.Errorf("counters %+v, before %+v", after, before)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestRunSaysWhyItCannotStart(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(h *host)
	}{
		{"no TPM", func(h *host) { h.cfg.TPMDevice = "unix:/nowhere.sock" }},
		{"bounds that spin", func(h *host) { h.cfg.Watch.Fast = 0 }},
		{"no directory to watch", func(h *host) { h.cfg.IMAList = filepath.Join(h.dir, "none", "list") }},
		{"not joined", func(h *host) { h.cfg.StateDir = h.dir }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			c.change(h)
			done := make(chan error, 1)
			go func() { done <- Run(t.Context(), h.cfg) }()
			select {
			case err := <-done:
				if err == nil {
					t.Error("no error")
				}
			case <-time.After(patience):
				t.Error("it runs")
			}
		})
	}
}

// TestI02_TheAgentListensOnNothing looks at the sockets of an agent that runs as
// a process of its own.
func TestI02_TheAgentListensOnNothing(t *testing.T) {
	h := newHost(t)
	dir := configure(t, fmt.Sprintf("tpm_device = %q", h.cfg.TPMDevice), fmt.Sprintf("ima_list = %q", h.cfg.IMAList),
		fmt.Sprintf("boot_log = %q", h.cfg.BootLog), fmt.Sprintf("state_dir = %q", h.cfg.StateDir))
	c := command(t, dir, "run")
	c.Stderr = t.Output()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	a := h.await(1)

	var udp int
	for _, s := range socketsOf(t, c.Process.Pid) {
		switch {
		case s.listening:
			t.Errorf("it listens: %s", s.line)
		case s.protocol == "udp" && s.port == a.peer.Addr.Port():
			udp++
		case s.protocol != "unix": // to the TPM, if that is one
			t.Errorf("a socket that is not the session's: %s", s.line)
		}
	}
	if udp != 1 {
		t.Errorf("%d sockets of the session", udp)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("stopped by a signal: %v", err)
	}
}

// socket is a line of /proc/net (proc_net(5)).
type socket struct {
	protocol  string // "tcp", "udp" or "unix"
	port      uint16 // local
	listening bool
	line      string
}

// socketsOf lists the sockets that a process has open.
func socketsOf(t *testing.T, pid int) (list []socket) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d", pid)
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]bool{}
	for _, fd := range fds {
		target, _ := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			open[strings.TrimSuffix(inode, "]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6", "unix"} {
		f, err := os.Open(filepath.Join(proc, "net", table))
		if err != nil {
			continue // no IPv6 on this machine
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if s, inode := parseSocket(strings.TrimSuffix(table, "6"), lines.Text()); open[inode] {
				list = append(list, s)
				delete(open, inode)
			}
		}
	}
	for inode := range open {
		t.Errorf("socket %s is of a family this test does not know", inode)
	}
	return list
}

// parseSocket reads a line of /proc/net/PROTOCOL.
func parseSocket(protocol, line string) (s socket, inode string) {
	s = socket{protocol: protocol, line: protocol + " " + line}
	f := strings.Fields(line)
	if protocol == "unix" && len(f) >= 7 { // Num RefCount Protocol Flags Type St Inode
		s.listening = f[3] == "00010000" // __SO_ACCEPTCON
		return s, f[6]
	}
	if protocol == "unix" || len(f) < 10 { // sl local_address rem_address st … uid timeout inode
		return s, ""
	}
	_, port, _ := strings.Cut(f[1], ":")
	if n, err := strconv.ParseUint(port, 16, 16); err == nil {
		s.port = uint16(n)
	}
	s.listening = protocol == "tcp" && f[3] == "0A" // TCP_LISTEN
	return s, f[9]
}
