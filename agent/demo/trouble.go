package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"quicklime/agent/emulator"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// until waits until the agent's status is as wanted.
func (s *stage) until(what string, within time.Duration, is func(rest.Agent) bool) (a rest.Agent, err error) {
	err = s.eventually(what, within, func() error {
		if a, err = s.status(); err != nil {
			return err
		}
		if !is(a) {
			return fmt.Errorf("the status is %s (%s)", a.Trust, a.Reason)
		}
		return nil
	})
	return a, err
}

// measure has the emulator measure a file of some content under a path.
func (s *stage) measure(path, content string) (emulator.Measurement, error) {
	var m emulator.Measurement
	file := s.path("files", fmt.Sprint(s.entries))
	if err := os.WriteFile(file, []byte(content), 0o700); err != nil {
		return m, err
	}
	out, err := s.run("", ima, "measure", "--tpm", s.device, "--root", s.path("machine"), "--json", "--as", path, file)
	if err != nil {
		return m, err
	}
	s.entries++
	return m, json.Unmarshal(out, &m)
}

const (
	newTool = "/usr/local/bin/backup-tool" // not in the policy
	changed = "/usr/bin/openssl"           // in it, with another digest
)

// tamper measures a file that the policy does not list, and one that it lists
// with another digest.
func (s *stage) tamper() error {
	m, err := s.measure(newTool, "nobody told the policy")
	if err != nil {
		return err
	}
	a, err := s.until("untrusted", 10*time.Second, func(a rest.Agent) bool { return a.Trust == wire.Untrusted })
	if err != nil {
		return err
	}
	if len(a.Failures) != 1 || a.Failures[0].ID != wire.IMANotInPolicy || a.Failures[0].Path != newTool || a.Failures[0].Got != m.Digest {
		return fmt.Errorf("the failures are %+v", a.Failures)
	}
	s.note("%s, %s: from append to verdict on disk %d ms", a.Trust, a.Failures[0].ID, a.Last.At.Sub(m.Time).Milliseconds())
	if m, err = s.measure(changed, "not the openssl that the policy knows"); err != nil {
		return err
	}
	if a, err = s.until("a second failure", 10*time.Second, func(a rest.Agent) bool { return a.FailureCount == 2 }); err != nil {
		return err
	}
	if f := a.Failures[1]; f.ID != wire.IMAWrongDigest || f.Path != changed || f.Got != m.Digest || len(f.Expected) == 0 {
		return fmt.Errorf("the second failure is %+v", f)
	}
	if err := s.showFailures(); err != nil {
		return err
	}
	s.note("what happens after the first failure is recorded, too: two failures stand")
	return nil
}

// showFailures shows the first lines and the failures of a status, whose exit
// code says that the agent is not trusted.
func (s *stage) showFailures() error {
	s.print("   $ %s agent status edge-17\n", tenant)
	out, err := s.quiet("", tenant, "agent", "status", "edge-17", "--config", s.path("etc"))
	if err == nil {
		return errors.New("the exit code of a status that is not trusted is 0")
	}
	lines := bytes.SplitAfter(out, []byte("\n"))
	head, failures := min(2, len(lines)), slices.IndexFunc(lines, func(l []byte) bool { return bytes.HasPrefix(l, []byte("Failures")) })
	if failures < 0 {
		return fmt.Errorf("the status shows no failures: %s", out)
	}
	s.printLines(bytes.Join(lines[:head], nil))
	s.print("     …\n")
	s.printLines(bytes.Join(lines[failures:], nil))
	return nil
}

// extend allows both files.
func (s *stage) extend() error {
	before, err := s.status()
	if err != nil {
		return err
	}
	args := []string{"policy", "create", "--base", s.path("edge.json"), "-o", s.path("edge-2.json"), "--config", s.path("etc")}
	for _, f := range before.Failures {
		args = append(args, "--add-file", f.Path+"="+f.Got)
	}
	if _, err := s.run("", tenant, args...); err != nil {
		return err
	}
	began := time.Now()
	if err := s.show(tenant, "policy", "update", "edge", s.path("edge-2.json"), "--config", s.path("etc")); err != nil {
		return err
	}
	if _, err := s.run("", tenant, "agent", "status", "edge-17", "--wait", "trusted", "--config", s.path("etc")); err != nil {
		return err
	}
	took := time.Since(began)
	a, err := s.status()
	if err != nil {
		return err
	}
	if a.Trust != wire.Trusted || a.FailureCount != 0 || a.Last.At != before.Last.At && a.Last.Trigger != wire.TriggerChallenge {
		return fmt.Errorf("%s with %d failures", a.Trust, a.FailureCount)
	}
	s.note("trusted: %d entries judged again by the new policy, %d ms after the update began; nobody asked the machine", a.Epoch.Entries, took.Milliseconds())
	return nil
}

// find returns a daemon that runs.
func (s *stage) find(name string) (*daemon, error) {
	for i := len(s.daemons) - 1; i >= 0; i-- {
		if s.daemons[i].name == name {
			return s.daemons[i], nil
		}
	}
	return nil, fmt.Errorf("%s does not run", name)
}

// crash kills the verifier and starts it again.
func (s *stage) crash() error {
	d, err := s.find(verifier)
	if err != nil {
		return err
	}
	s.print("   $ kill -KILL %d   # %s\n", d.cmd.Process.Pid, verifier)
	if err := s.stop(d, syscall.SIGKILL); err != nil {
		return err
	}
	if _, _, err := s.start(verifier, "--config", s.path("etc")); err != nil {
		return err
	}
	var before rest.Agent
	if err := s.eventually("an answer", 10*time.Second, func() (err error) { before, err = s.status(); return err }); err != nil {
		return err
	}
	if before.Epoch == nil || before.Epoch.Entries != s.entries {
		return fmt.Errorf("after the crash the verifier knows %+v, want %d entries", before.Epoch, s.entries)
	}
	began := time.Now()
	a, err := s.until("the agent's return", 40*time.Second, func(a rest.Agent) bool {
		return a.Connected && a.Trust == wire.Trusted && a.Last.At.After(before.Last.At)
	})
	if err != nil {
		return err
	}
	if a.Last.First != s.entries || a.Last.Entries != 0 || a.Last.Trigger != wire.TriggerStart {
		return fmt.Errorf("after its return the agent sent %+v", a.Last)
	}
	s.note("the agent came back by itself after %s and attested from where it was: entry %d, 0 of %d entries sent again", seconds(time.Since(began)), a.Last.First, a.Epoch.Entries)
	return s.grow(a)
}

// grow measures a file that the policy lists, and shows that the one new entry is all that travels.
func (s *stage) grow(before rest.Agent) error {
	const path, content = "/usr/local/bin/update", "a good one"
	if _, err := s.run("", tenant, "policy", "create", "--base", s.path("edge-2.json"), "-o", s.path("edge-3.json"), "--add-file",
		path+"=sha256:"+digestOf(content), "--config", s.path("etc")); err != nil {
		return err
	}
	if _, err := s.run("", tenant, "policy", "update", "edge", s.path("edge-3.json"), "--config", s.path("etc")); err != nil {
		return err
	}
	if _, err := s.measure(path, content); err != nil {
		return err
	}
	a, err := s.until("the new entry", 10*time.Second, func(a rest.Agent) bool { return a.Epoch.Entries == s.entries && a.Trust == wire.Trusted })
	if err != nil {
		return err
	}
	if a.Last.Trigger == wire.TriggerGrowth && (a.Last.First != before.Epoch.Entries || a.Last.Entries != 1) {
		return fmt.Errorf("for one new file the agent sent %+v", a.Last)
	}
	s.note("a file that the policy lists is measured: 1 entry sent, trusted")
	return nil
}

// reboot stops the agent, power-cycles the TPM and boots the captured machine
// anew.
func (s *stage) reboot() error {
	last, err := s.status()
	if err != nil {
		return err
	}
	a, err := s.find(agent)
	if err != nil {
		return err
	}
	power, err := s.find(ima)
	if err != nil {
		return err
	}
	s.print("   (power off)\n")
	if err := errors.Join(s.stop(a, syscall.SIGTERM), s.stop(power, syscall.SIGTERM)); err != nil {
		return err
	}
	if err := os.RemoveAll(s.path("machine")); err != nil {
		return err
	}
	if err := s.boot(); err != nil {
		return err
	}
	if _, _, err := s.start(agent, "run", "--config", s.path("etc")); err != nil {
		return err
	}
	now, err := s.until("trust in the new epoch", 20*time.Second, func(a rest.Agent) bool {
		return a.Trust == wire.Trusted && a.Epoch.ID != last.Epoch.ID
	})
	if err != nil {
		return err
	}
	if now.Epoch.ResetCount != s.reset+1 || now.Last.First != 0 || now.Last.Entries != s.entries || now.Epoch.Entries != s.entries {
		return fmt.Errorf("epoch %+v, last %+v", now.Epoch, now.Last)
	}
	s.note("resetCount %d → %d: a new epoch, all %d entries sent and judged again, trusted without enrolling again", s.reset, now.Epoch.ResetCount, now.Epoch.Entries)
	return nil
}
