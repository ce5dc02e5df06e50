package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/wire/wiretest"
)

// An agent goes by the changed configuration without a restart, and by the one before
// when the changed one cannot be read.
func TestAChangedConfigurationIsTakenUp(t *testing.T) {
	h := newHost(t)
	lines := fmt.Sprintf("tpm_device = %q\nima_list = %q\nboot_log = %q\nstate_dir = %q\n", h.cfg.TPMDevice, h.cfg.IMAList, h.cfg.BootLog, h.cfg.StateDir)
	dir := configure(t, lines)
	ctx, cancel := context.WithCancel(t.Context())
	var log wiretest.Log
	done := make(chan int, 1)
	p := &program{stdin: strings.NewReader(""), stdout: &log, stderr: &log}
	go func() { done <- p.run(ctx, []string{"--config", dir, "run"}) }()
	h.await(1)

	await := func(text string, times int) {
		t.Helper()
		for late := time.Now().Add(patience); log.Count(text) < times; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("%q is not in the log %d times:\n%s", text, times, log.String())
			}
		}
	}
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	await("watching configuration and membership", 1)
	write("agent.toml", lines+"labl = 1\n")
	await("stays in force", 1)
	if log.Count("begins anew") != 0 {
		t.Fatal(log.String())
	}
	write("agent.toml", lines)
	write("notes.txt", "of no interest")
	write("agent.toml.d/slow.toml", "[watch]\nslow = \"1s\"\n") // the directory is new, too
	await("begins anew", 1)
	h.await(1) // of a new session
	await("watching configuration and membership", 2)

	member, err := readMembership(h.cfg.membershipFile())
	if err != nil {
		t.Fatal(err)
	}
	member.TokenID = "fedcba9876543210"
	if err := writeMembership(h.cfg.membershipFile(), member); err != nil { // joined again
		t.Fatal(err)
	}
	await("begins anew", 2)
	h.await(1)
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d: %s", code, log.String())
	}
	if log.Count("begins anew") != 2 {
		t.Error(log.String())
	}
}
