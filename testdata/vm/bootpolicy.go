package main

import (
	"fmt"
	"os"
	"path/filepath"

	"quicklime/wire"
	"quicklime/wire/rest"
)

// bootLog is where the kernel shows the firmware's log.
const bootLog = "/sys/kernel/security/tpm0/binary_bios_measurements"

// refer makes a boot policy of this boot's log, and has the verifier keep it.
func (s *story) refer() error {
	b, err := s.read(s.ctx, bootLog)
	if err != nil {
		return err
	}
	log, reference := filepath.Join(s.site.dir, "good.boot"), filepath.Join(s.site.dir, "good.boot.json")
	if err := os.WriteFile(log, b, 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{{"create", "--log", log, "-o", reference}, {"add", "first-boot", reference}} {
		if _, err := s.tenant(s.ctx, append([]string{"boot-policy"}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

// judgeBoots puts that boot policy in force, and waits until the verifier has judged the
// boot that it has the log of.
func (s *story) judgeBoots() error {
	if _, err := s.tenant(s.ctx, "agent", "update", s.id, "--boot-policy", "first-boot"); err != nil {
		return err
	}
	_, err := s.until(s.ctx, s.id, "trust under the boot policy of the first boot", settled, func(a rest.Agent) bool {
		return trusted(a) && a.Policies.Boot != wire.NotEvaluated
	})
	if err != nil {
		return err
	}
	s.note("trusted under the boot policy of the first boot")
	return nil
}

// judgeBootsNoMore takes the boot policy out of force, and clears what it found.
func (s *story) judgeBootsNoMore() error {
	if _, err := s.tenant(s.ctx, "agent", "update", s.id, "--no-boot-policy"); err != nil {
		return fmt.Errorf("no boot policy: %w", err)
	}
	return s.forgive()
}
