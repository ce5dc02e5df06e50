package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	if _, err := s.run("", ima, "tpm", "create", "--dir", s.path("tpm")); err != nil {
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
		_, err := s.quiet("", tenant, "agent", "list", "--config", s.path("etc"))
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
	got, err := s.run("", ima, "boot", "--tpm", s.device, "--root", s.path("machine"), "--json",
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
	token := input(s.path("token"))
	if _, err := s.run("", tenant, "join-token", "create", "--label", "edge-17", "-o", string(token), "--config", s.path("etc")); err != nil {
		return err
	}
	if _, err := s.run(token, agent, "join", "--config", s.path("etc")); err != nil {
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
	if _, err := s.quiet(token, agent, "join", "--config", s.path("etc")); err != nil {
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

// enrol makes policies from the machine's list and boot log and enrols it.
func (s *stage) enrol() error {
	if _, err := s.run("", tenant, "policy", "create", "--from-list", s.path("machine", "binary_runtime_measurements"), "-o", s.path("edge.json"), "--config", s.path("etc")); err != nil {
		return err
	}
	if err := s.show(tenant, "policy", "add", "edge", s.path("edge.json"), "--config", s.path("etc")); err != nil {
		return err
	}
	if _, err := s.run("", tenant, "boot-policy", "create", "--log", s.path("machine", "binary_bios_measurements"), "-o", s.path("edge-boot.json"), "--config", s.path("etc")); err != nil {
		return err
	}
	if err := s.show(tenant, "boot-policy", "add", "edge", s.path("edge-boot.json"), "--config", s.path("etc")); err != nil {
		return err
	}
	if err := s.show(tenant, "agent", "add", s.id[:12], "--policy", "edge", "--boot-policy", "edge", "--wait", "trusted", "--config", s.path("etc")); err != nil {
		return err
	}
	if err := s.show(tenant, "agent", "status", "edge-17", "--config", s.path("etc")); err != nil {
		return err
	}
	a, err := s.status()
	if err != nil {
		return err
	}
	if a.Epoch == nil || a.Epoch.Entries != s.entries || a.Trust != wire.Trusted || a.Policies.Boot != "edge" {
		return fmt.Errorf("%s under %+v with epoch %+v, want trusted with %d entries", a.Trust, a.Policies, a.Epoch, s.entries)
	}
	s.reset = a.Epoch.ResetCount
	took := a.Last.At.Sub(a.EnrolledAt)
	if took > time.Second {
		return fmt.Errorf("trusted %v after it was enrolled, want within a second", took)
	}
	s.note("trusted %d ms after it was enrolled: %d entries replayed and judged in %.1f ms", took.Milliseconds(), a.Epoch.Entries, float64(a.Last.ReplayNanos)/1e6)
	return nil
}

// status is the agent as the verifier sees it.
func (s *stage) status() (a rest.Agent, err error) {
	// The exit code is the trust; what the status is stands in the JSON.
	out, err := s.quiet("", tenant, "agent", "status", s.id, "--json", "--config", s.path("etc"))
	if jsonErr := json.Unmarshal(out, &a); jsonErr != nil {
		return a, errors.Join(err, jsonErr)
	}
	return a, nil
}

func digestOf(content string) string {
	d := sha256.Sum256([]byte(content))
	return hex.EncodeToString(d[:])
}
