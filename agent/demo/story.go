package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"quicklime/agent/emulator"
	"quicklime/agent/swtpm"
	"quicklime/wire"
	"quicklime/wire/rest"
)

const (
	registrar = "quicklime-registrar"
	verifier  = "quicklime-verifier"
	tenant    = "quicklime-tenant"
	agent     = "quicklime-agent"
	ima       = "quicklime-ima-emulator"
)

// servers starts registrar and verifier in one state folder.
func (s *stage) servers() error {
	if _, err := s.run(nil, ima, "tpm", "create", "--dir", s.path("tpm")); err != nil {
		return err
	}
	if err := s.anchors(); err != nil {
		return err
	}
	var err error
	if s.registrarAddr, err = freeAddress(); err != nil {
		return err
	}
	if s.verifierAddr, err = freeAddress(); err != nil {
		return err
	}
	common := []string{fmt.Sprintf("state_dir = %q", s.path("state")), fmt.Sprintf("pki_dir = %q", s.path("state", "pki"))}
	pki := s.path("state", "pki")
	err = errors.Join(
		s.config("registrar", append(common, fmt.Sprintf("listen = %q", s.registrarAddr), fmt.Sprintf("ek_trust_anchors = %q", s.path("ek-anchors")))...),
		s.config("verifier", append(common, fmt.Sprintf("listen = %q", s.verifierAddr))...),
		s.config("tenant",
			fmt.Sprintf("registrar_url = %q", "https://"+s.registrarAddr), fmt.Sprintf("verifier_url = %q", "https://"+s.verifierAddr),
			fmt.Sprintf("ca = %q", filepath.Join(pki, "ca.crt")), fmt.Sprintf("certificate = %q", filepath.Join(pki, "tenant.crt")), fmt.Sprintf("key = %q", filepath.Join(pki, "tenant.key"))),
		s.config("agent",
			fmt.Sprintf("tpm_device = %q", swtpm.Device(s.path("tpm"))), fmt.Sprintf("state_dir = %q", s.path("agent")), `label = "edge-17"`,
			fmt.Sprintf("ima_list = %q", s.path("machine", "binary_runtime_measurements")), fmt.Sprintf("boot_log = %q", s.path("machine", "binary_bios_measurements"))),
	)
	if err != nil {
		return err
	}
	for _, name := range []string{registrar, verifier} {
		if _, _, err := s.start(name, "--config", s.path("etc")); err != nil {
			return err
		}
	}
	if err := s.eventually("an answer from both servers", 10*time.Second, func() error {
		_, err := s.quiet(nil, tenant, "agent", "list", "--config", s.path("etc"))
		return err
	}); err != nil {
		return err
	}
	s.note("both answer over mutual TLS, with the client certificate that they made for the tenant")
	return nil
}

// anchors gives the registrar the CA that certified the TPM's EK.
func (s *stage) anchors() error {
	if err := os.Mkdir(s.path("ek-anchors"), 0o700); err != nil {
		return err
	}
	for _, f := range swtpm.Anchors(s.path("tpm")) {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.path("ek-anchors", filepath.Base(f)), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// boot powers the TPM on and brings it into the captured state.
func (s *stage) boot() error {
	d, out, err := s.start(ima, "tpm", "run", "--dir", s.path("tpm"))
	if err != nil {
		return err
	}
	if s.device, err = firstLine(s.ctx, out, d); err != nil {
		return err
	}
	got, err := s.run(nil, ima, "boot", "--tpm", s.device, "--root", s.path("machine"), "--json",
		"--boot-log", filepath.Join(s.capture, "binary_bios_measurements"), "--list", filepath.Join(s.capture, "binary_runtime_measurements.gz"))
	if err != nil {
		return err
	}
	var booted emulator.Booted
	if err := json.Unmarshal(got, &booted); err != nil {
		return err
	}
	s.entries = uint64(booted.Entries)
	s.note("%d firmware events and %d measurements were extended into the TPM in %s", booted.Events, booted.Entries, seconds(booted.Duration))
	return nil
}

// join registers the machine with a join token, and starts its agent.
func (s *stage) join() error {
	token, err := s.run(nil, tenant, "join-token", "create", "--label", "edge-17", "--config", s.path("etc"))
	if err != nil {
		return err
	}
	if _, err := s.run(bytes.NewReader(token), agent, "join", "--config", s.path("etc")); err != nil {
		return err
	}
	if err := s.show(tenant, "agent", "list", "--config", s.path("etc")); err != nil {
		return err
	}
	list, err := s.machines()
	if err != nil {
		return err
	}
	if len(list) != 1 || list[0].EKVendor == "" || !list[0].EKTrusted || list[0].Label != "edge-17" {
		return fmt.Errorf("the registrar knows %+v", list)
	}
	s.id = list[0].ID
	s.note("its EK certificate (vendor %s) chains to an anchor of the operator; credential activated", list[0].EKVendor)
	if _, err := s.quiet(bytes.NewReader(token), agent, "join", "--config", s.path("etc")); err != nil {
		return fmt.Errorf("joining again with the same keys: %w", err)
	}
	s.note("joining again with the same keys changes nothing")
	_, _, err = s.start(agent, "run", "--config", s.path("etc"))
	return err
}

// machines asks the tenant for what is registered.
func (s *stage) machines() ([]listed, error) {
	var answer struct {
		Agents []listed `json:"agents"`
	}
	err := s.tenant(&answer, "agent", "list")
	return answer.Agents, err
}

// listed is one row of "agent list --json".
type listed struct {
	ID        string     `json:"id"`
	Label     string     `json:"label"`
	EKVendor  string     `json:"ek_vendor"`
	EKTrusted bool       `json:"ek_trusted"`
	State     wire.Trust `json:"state"`
}

// enrol makes a policy from the machine's list and enrols it.
func (s *stage) enrol() error {
	if _, err := s.run(nil, tenant, "policy", "create", "--from-list", s.path("machine", "binary_runtime_measurements"), "-o", s.path("edge.json"), "--config", s.path("etc")); err != nil {
		return err
	}
	if err := s.show(tenant, "policy", "add", "edge", s.path("edge.json"), "--config", s.path("etc")); err != nil {
		return err
	}
	began := time.Now()
	if err := s.show(tenant, "agent", "add", s.id[:12], "--policy", "edge", "--wait", "trusted", "--config", s.path("etc")); err != nil {
		return err
	}
	took := time.Since(began)
	if err := s.show(tenant, "agent", "status", "edge-17", "--config", s.path("etc")); err != nil {
		return err
	}
	a, err := s.status()
	if err != nil {
		return err
	}
	if a.Epoch == nil || a.Epoch.Entries != s.entries || a.Trust != wire.Trusted {
		return fmt.Errorf("%s with epoch %+v, want trusted with %d entries", a.Trust, a.Epoch, s.entries)
	}
	s.reset = a.Epoch.ResetCount
	s.note("trusted %d ms after it was enrolled: %d entries replayed and judged in %.1f ms", took.Milliseconds(), a.Epoch.Entries, float64(a.Last.ReplayNanos)/1e6)
	return nil
}

// status is the agent as the verifier sees it.
func (s *stage) status() (a rest.Agent, err error) {
	// The exit code of "agent status" is the trust; waiting for a state that is
	// there already makes it 0.
	out, err := s.quiet(nil, tenant, "agent", "status", s.id, "--json", "--config", s.path("etc"))
	if jsonErr := json.Unmarshal(out, &a); jsonErr != nil {
		return a, errors.Join(err, jsonErr)
	}
	return a, nil
}

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

// measure has the emulator measure a file of some content.
func (s *stage) measure(name, content string) (emulator.Measurement, error) {
	var m emulator.Measurement
	file := s.path("files", name)
	if err := os.WriteFile(file, []byte(content), 0o700); err != nil {
		return m, err
	}
	out, err := s.run(nil, ima, "measure", "--tpm", s.device, "--root", s.path("machine"), "--json", "--as", "/usr/local/bin/"+name, file)
	if err != nil {
		return m, err
	}
	s.entries++
	return m, json.Unmarshal(out, &m)
}

// tamper measures two files that the policy does not have.
func (s *stage) tamper() error {
	m, err := s.measure("miner", "not what you think")
	if err != nil {
		return err
	}
	a, err := s.until("untrusted", 10*time.Second, func(a rest.Agent) bool { return a.Trust == wire.Untrusted })
	if err != nil {
		return err
	}
	if err := s.showStatus(); err != nil {
		return err
	}
	if len(a.Failures) != 1 || a.Failures[0].ID != wire.IMANotInPolicy || a.Failures[0].Path != "/usr/local/bin/miner" || a.Failures[0].Got != m.Digest {
		return fmt.Errorf("the failures are %+v", a.Failures)
	}
	s.note("%s: from append to verdict on disk %d ms", a.Failures[0].ID, a.Last.At.Sub(m.Time).Milliseconds())
	if _, err := s.measure("dropper", "nor this"); err != nil {
		return err
	}
	if _, err := s.until("a second failure", 10*time.Second, func(a rest.Agent) bool { return a.FailureCount == 2 }); err != nil {
		return err
	}
	s.note("a further bad file is recorded after that: two failures stand")
	return nil
}

// showStatus shows the status of an agent that is not trusted, whose exit code
// is 1.
func (s *stage) showStatus() error {
	s.print("   $ %s agent status edge-17\n", tenant)
	out, err := s.quiet(nil, tenant, "agent", "status", "edge-17", "--config", s.path("etc"))
	for line := range bytes.Lines(out) {
		s.print("     %s", line)
	}
	if err == nil {
		return errors.New("the exit code of a status that is not trusted is 0")
	}
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
	if _, err := s.run(nil, tenant, args...); err != nil {
		return err
	}
	began := time.Now()
	if err := s.show(tenant, "policy", "update", "edge", s.path("edge-2.json"), "--config", s.path("etc")); err != nil {
		return err
	}
	if err := s.show(tenant, "agent", "status", "edge-17", "--wait", "trusted", "--config", s.path("etc")); err != nil {
		return err
	}
	a, err := s.status()
	if err != nil {
		return err
	}
	if a.Trust != wire.Trusted || a.FailureCount != 0 {
		return fmt.Errorf("%s with %d failures", a.Trust, a.FailureCount)
	}
	s.note("%d entries judged again by the new policy; trusted %d ms after the update", a.Epoch.Entries, time.Since(began).Milliseconds())
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

// crash kills the verifier, starts it again and has a file measured.
func (s *stage) crash() error {
	d, err := s.find(verifier)
	if err != nil {
		return err
	}
	s.print("   $ kill -KILL %d   # %s\n", d.cmd.Process.Pid, verifier)
	if err := s.stop(d, syscall.SIGKILL); err != nil {
		return err
	}
	before := s.entries
	if _, _, err := s.start(verifier, "--config", s.path("etc")); err != nil {
		return err
	}
	var killed rest.Agent
	if err := s.eventually("an answer", 10*time.Second, func() (err error) { killed, err = s.status(); return err }); err != nil {
		return err
	}
	if killed.Epoch == nil || killed.Epoch.Entries != before {
		return fmt.Errorf("after the crash the verifier knows %+v, want %d entries", killed.Epoch, before)
	}
	began := time.Now()
	a, err := s.until("the agent's return", 40*time.Second, func(a rest.Agent) bool {
		return a.Connected && a.Trust == wire.Trusted && a.Last.At.After(killed.Last.At)
	})
	if err != nil {
		return err
	}
	if a.Last.First != before {
		return fmt.Errorf("it sent the list from entry %d on, want %d", a.Last.First, before)
	}
	s.note("the agent came back by itself after %s and sent %d of %d entries, from entry %d on", seconds(time.Since(began)), a.Last.Entries, a.Epoch.Entries, a.Last.First)
	return s.goodFile(a)
}

// goodFile measures a file that was measured before in another place, and shows
// that the one new entry is all that travels.
func (s *stage) goodFile(before rest.Agent) error {
	if _, err := s.run(nil, tenant, "policy", "create", "--base", s.path("edge-2.json"), "-o", s.path("edge-3.json"), "--add-file",
		"/usr/local/bin/update=sha256:"+digestOf("a good one"), "--config", s.path("etc")); err != nil {
		return err
	}
	if _, err := s.run(nil, tenant, "policy", "update", "edge", s.path("edge-3.json"), "--config", s.path("etc")); err != nil {
		return err
	}
	if _, err := s.measure("update", "a good one"); err != nil {
		return err
	}
	a, err := s.until("the new entry", 10*time.Second, func(a rest.Agent) bool { return a.Epoch.Entries == before.Epoch.Entries+1 && a.Trust == wire.Trusted })
	if err != nil {
		return err
	}
	s.note("an update that the policy lists beforehand: 1 entry sent, %s all the while", a.Trust)
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
	if err := s.show(tenant, "agent", "status", "edge-17", "--config", s.path("etc")); err != nil {
		return err
	}
	if now.Epoch.ResetCount != s.reset+1 || now.Last.First != 0 || now.Epoch.Entries != s.entries {
		return fmt.Errorf("epoch %+v, last %+v", now.Epoch, now.Last)
	}
	s.note("resetCount %d → %d: a new epoch, all %d entries sent and judged again, trusted without enrolling again", s.reset, now.Epoch.ResetCount, now.Epoch.Entries)
	return nil
}

func digestOf(content string) string {
	d := sha256.Sum256([]byte(content))
	return hex.EncodeToString(d[:])
}
