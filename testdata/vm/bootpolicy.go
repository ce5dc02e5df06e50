package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"quicklime/wire/daemon"
)

// bootLog is where the kernel shows the firmware's log.
const bootLog = "/sys/kernel/security/tpm0/binary_bios_measurements"

// goodBoot is the reference state of the first boot, in the site's directory.
const goodBoot = "good.boot.json"

// keepLog writes the boot log of the guest to a file of the site, and returns its name.
func (s *story) keepLog() (string, error) {
	b, err := s.read(s.ctx, bootLog)
	if err != nil {
		return "", err
	}
	file := filepath.Join(s.site.dir, fmt.Sprintf("boot-%d.log", s.boots))
	return file, os.WriteFile(file, b, 0o600)
}

// refer makes the reference state of this boot.
func (s *story) refer() error {
	log, err := s.keepLog()
	if err != nil {
		return err
	}
	_, err = s.tenant(s.ctx, "boot-policy", "create", "--log", log, "-o", filepath.Join(s.site.dir, goodBoot))
	return err
}

// judgedBoot judges this boot by that reference state. It returns the first thing that is
// wrong, empty: nothing.
func (s *story) judgedBoot() (wrong string, err error) {
	log, err := s.keepLog()
	if err != nil {
		return "", err
	}
	_, err = s.tenant(s.ctx, "boot-policy", "test", filepath.Join(s.site.dir, goodBoot), log)
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err == nil || !ok || exit.ExitCode() != exitOtherState {
		return "", err
	}
	for line := range strings.Lines(err.Error()) {
		if text, found := strings.CutPrefix(line, "  PCR "); found {
			return "PCR " + strings.TrimSpace(text), nil
		}
	}
	return "", daemon.WithHint(err, "boot-policy test says that something is wrong, and not what")
}

// exitOtherState is the tenant's exit code for what is shown and not as it should be.
const exitOtherState = 3
