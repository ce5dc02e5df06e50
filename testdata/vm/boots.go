package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quicklime/testdata/vm/control"
	"quicklime/wire"
	"quicklime/wire/rest"
)

// suspend sends the machine to sleep and wakes it.
func (s *story) suspend() error {
	if s.path.sleepless != "" {
		s.note("not done: %s", s.path.sleepless)
		return nil
	}
	before, err := s.verifier.Agent(s.ctx, s.id)
	if err != nil {
		return err
	}
	if err := s.sleep(); err != nil {
		return err
	}
	a, err := s.until(s.ctx, s.id, "trust after suspend", settled, func(a rest.Agent) bool {
		return trusted(a) && a.Epoch.RestartCount != before.Epoch.RestartCount
	})
	if err != nil {
		return err
	}
	if a.Epoch.ResetCount != before.Epoch.ResetCount || a.Epoch.RestartCount != before.Epoch.RestartCount+1 || a.Epoch.Entries < before.Epoch.Entries {
		return fmt.Errorf("before: %s; after: %s", words(before), words(a))
	}
	s.note("suspended to RAM and woken: restartCount %d → %d, PCRs kept, trusted", before.Epoch.RestartCount, a.Epoch.RestartCount)
	return nil
}

// sleep returns when the guest says that it is awake.
func (s *story) sleep() error {
	m, err := openMonitor(s.ctx, s.file(qmpSocket), s.qemu)
	if err != nil {
		return err
	}
	defer m.conn.Close()
	if err := s.line.send(control.Request{Do: control.Suspend}); err != nil {
		return err
	}
	if err := m.await("SUSPEND", settled); err != nil {
		return s.explained(err)
	}
	if err := m.command("system_wakeup"); err != nil {
		return err
	}
	answer, err := s.line.next(s.ctx, settled)
	if err == nil && answer.Error != "" {
		err = fmt.Errorf("suspend in the guest: %s", answer.Error)
	}
	return s.explained(err)
}

// otherCommandLine boots with an option that nothing knows: IMA is on as before. The
// boot policy of the first boot is in force for it.
func (s *story) otherCommandLine() error {
	before, err := s.bootPCRs()
	if err != nil {
		return err
	}
	if err := s.judgeBoots(); err != nil {
		return err
	}
	wanted, refusal := trusted, wire.BootPolicyFailure("example")
	if s.path.measured {
		wanted = failed(refusal)
	}
	a, err := s.anew(measuring+" quicklime.other=1", "a verdict about another command line", func(a rest.Agent) bool {
		return wanted(a) && a.Policies.Boot != wire.NotEvaluated
	})
	if err != nil {
		return err
	}
	after, err := s.bootPCRs()
	if err != nil {
		return err
	}
	if changed := !bytes.Equal(before, after); changed != s.path.measured {
		return fmt.Errorf("the command line changed PCRs 0–9: %v, and on this path it should: %v", changed, s.path.measured)
	}
	if s.path.measured {
		at := slices.IndexFunc(a.Failures, func(f wire.Failure) bool { return f.ID == refusal })
		s.note("another kernel command line: PCRs of boot_aggregate changed; untrusted, %s: %s", refusal, a.Failures[at].Message)
	} else {
		s.note("another kernel command line: no PCR of boot_aggregate covers it; trusted by the boot policy, too")
	}
	return s.judgeBootsNoMore()
}

// bootPCRs returns PCRs 0–9 as the kernel shows them.
func (s *story) bootPCRs() (values []byte, err error) {
	for i := range 10 {
		v, err := s.read(s.ctx, fmt.Sprintf("/sys/class/tpm/tpm0/pcr-sha256/%d", i))
		if err != nil {
			return nil, err
		}
		values = append(values, v...)
	}
	return values, nil
}

// anew switches the machine off and on with options, starts the agent, and waits until
// the verifier has judged the boot as wanted.
func (s *story) anew(options, what string, wanted func(rest.Agent) bool, env ...string) (a rest.Agent, err error) {
	last, err := s.verifier.Agent(s.ctx, s.id)
	if err != nil {
		return a, err
	}
	if err := s.off(); err != nil {
		return a, err
	}
	if err := s.boot(options); err != nil {
		return a, err
	}
	if err := s.attest(env...); err != nil {
		return a, err
	}
	return s.until(s.ctx, s.id, what, settled, func(a rest.Agent) bool {
		return a.Epoch != nil && (last.Epoch == nil || a.Epoch.ID != last.Epoch.ID) && wanted(a)
	})
}

func failed(id wire.FailureID) func(rest.Agent) bool {
	return func(a rest.Agent) bool { return a.Trust == wire.Untrusted && has(a, id) }
}

// noIMA boots the kernel with IMA kept from starting.
func (s *story) noIMA() error {
	if _, err := s.anew(notMeasuring, string(wire.IMANotMeasuring), failed(wire.IMANotMeasuring)); err != nil {
		return err
	}
	if err := s.clear(); err != nil {
		return err
	}
	a, err := s.verifier.Agent(s.ctx, s.id)
	if err == nil && !failed(wire.IMANotMeasuring)(a) {
		err = fmt.Errorf("that was cleared: %s", words(a))
	}
	if err != nil {
		return err
	}
	s.note("%s: untrusted, %s, which cannot be cleared", notMeasuring, wire.IMANotMeasuring)
	return nil
}

// noPolicy boots with IMA, and without a policy for it.
func (s *story) noPolicy() error {
	if _, err := s.anew("", "a verdict", func(a rest.Agent) bool { return a.Trust == wire.Untrusted && a.Epoch.Entries > 0 && a.Connected }); err != nil {
		return err
	}
	if err := s.clear(); err != nil { // what the boot without IMA left
		return err
	}
	a, err := s.verifier.Agent(s.ctx, s.id)
	if err != nil {
		return err
	}
	if a.FailureCount != 0 {
		return fmt.Errorf("not every failure was cleared: %s", words(a))
	}
	if a.Epoch.Entries != 1 {
		return s.modulesAlone(a)
	}
	if a.Trust != wire.Untrusted || len(a.Conditions) != 1 || a.Conditions[0].ID != wire.IMANotMeasuring {
		return fmt.Errorf("nothing is measured, and that is not the one condition: %s, %v", words(a), a.Conditions)
	}
	s.note("with IMA and no IMA policy the list is boot_aggregate alone: %s, %s, until a file is measured", a.Trust, wire.IMANotMeasuring)
	return nil
}

// modulesAlone shows what is in the list of a kernel that Secure Boot made measure by rules
// of its own (arch/x86 and security/integrity/ima/ima_efi.c, sb_arch_rules).
func (s *story) modulesAlone(a rest.Agent) error {
	list, err := s.read(s.ctx, "/sys/kernel/security/ima/ascii_runtime_measurements")
	if err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSpace(string(list)), "\n") { // "10 … ima-sig sha256:… /a.ko signature", the last empty
		if i > 0 && !strings.HasSuffix(strings.TrimSpace(line), ".ko") {
			return fmt.Errorf("without an IMA policy the kernel measured %q: %s", line, words(a))
		}
	}
	s.note("limit: under Secure Boot the kernel measures its modules without an IMA policy, so the list is not empty, and nothing says that no program is measured but the command line, which a boot policy judges: %s; boot policy: %s", a.Trust, a.Policies.Boot)
	return nil
}

// recovered clears what earlier boots left.
func (s *story) recovered() error {
	a, err := s.verifier.Agent(s.ctx, s.id)
	if err != nil || a.FailureCount == 0 {
		return err
	}
	return s.forgive()
}

// forged boots a kernel without IMA, whose user space extends the list of a good boot
// into PCR 10 and shows it to the agent.
func (s *story) forged() error {
	wanted := func(a rest.Agent) bool { return a.Epoch.Entries > 0 }
	if s.path.measured {
		wanted = failed(wire.IMABootAggregate)
	}
	if err := s.off(); err != nil {
		return err
	}
	if err := s.boot(notMeasuring); err != nil {
		return err
	}
	const root = "/run/forged"
	if _, err := s.do(s.ctx, control.Request{Do: control.Write, Path: "/run/good.list", Input: s.good}); err != nil {
		return err
	}
	if _, err := s.run(s.ctx, nil, emulatorProgram, "boot", "--tpm", "/dev/tpmrm0", "--allow-hardware-tpm", "--root", root, "--list", "/run/good.list"); err != nil {
		return err
	}
	last, err := s.verifier.Agent(s.ctx, s.id)
	if err != nil {
		return err
	}
	if err := s.attest("QUICKLIME_AGENT_IMA_LIST=" + root + "/binary_runtime_measurements"); err != nil {
		return err
	}
	a, err := s.until(s.ctx, s.id, "a verdict about the forged list", settled, func(a rest.Agent) bool { return a.Epoch.ID != last.Epoch.ID && wanted(a) })
	if err != nil {
		return err
	}
	if s.path.measured {
		s.note("a kernel without IMA, whose user space extends the list of a good boot: refused, %s, for the command line is measured", wire.IMABootAggregate)
		return nil
	}
	if err := s.recovered(); err != nil { // of what is left of earlier boots
		return err
	}
	if a, err = s.until(s.ctx, s.id, "trust in the forged list", settled, trusted); err != nil {
		return err
	}
	if a.Policies.Boot != wire.NotEvaluated || a.FailureCount != 0 {
		return fmt.Errorf("the status does not say that nobody looked at the boot: %s", words(a))
	}
	s.note("limit: a kernel without IMA, whose user space extends the list of a good boot, is NOT caught on this path: %s; boot policy: %s", a.Trust, a.Policies.Boot)
	return nil
}

// rollback boots twice, and puts the TPM back to what it was before.
func (s *story) rollback() error {
	if err := s.off(); err != nil {
		return err
	}
	state, saved := s.file(tpmDir, "state"), s.file("saved")
	if err := os.CopyFS(saved, os.DirFS(state)); err != nil {
		return err
	}
	if _, err := s.anew(measuring, "another boot", func(a rest.Agent) bool { return true }); err != nil {
		return err
	}
	if err := s.recovered(); err != nil {
		return err
	}
	before, err := s.until(s.ctx, s.id, "trust", settled, trusted)
	if err != nil {
		return err
	}
	if err := s.again(); err != nil {
		return err
	}
	if err := s.off(); err != nil {
		return err
	}
	if err := os.RemoveAll(state); err != nil {
		return err
	}
	if err := os.Rename(saved, state); err != nil {
		return err
	}
	if err := s.boot(measuring); err != nil {
		return err
	}
	if err := s.attest(); err != nil {
		return err
	}
	if _, err := s.until(s.ctx, s.id, string(wire.EpochRollback), settled, failed(wire.EpochRollback)); err != nil {
		return err
	}
	s.note("the TPM's state of before boot %d restored: untrusted, %s", before.Epoch.ResetCount, wire.EpochRollback)
	return s.enrolAnew()
}

// enrolAnew is what the operator does about a rollback.
func (s *story) enrolAnew() error {
	for _, args := range [][]string{{"agent", "delete", "--yes", s.id}, {"agent", "add", s.id, "--policy", "guest"}} {
		if _, err := s.tenant(s.ctx, args...); err != nil {
			return err
		}
	}
	_, err := s.until(s.ctx, s.id, "trust after enrolling anew", settled, trusted)
	return err
}

// clone runs a copy of the machine, TPM and all, beside it.
func (s *story) clone() error {
	if err := s.off(); err != nil {
		return err
	}
	twin := &machine{dir: filepath.Join(s.dir, "twin"), path: s.path, from: s.from}
	if err := os.CopyFS(twin.file(tpmDir, "state"), os.DirFS(s.file(tpmDir, "state"))); err != nil {
		return err
	}
	if err := copyFile(s.file(diskFile), twin.file(diskFile), 0o600); err != nil {
		return err
	}
	err := s.both(twin)
	if off := twin.off(); err == nil {
		err = off
	}
	return err
}

// both boots the machine and its twin, and waits until that is noticed.
func (s *story) both(twin *machine) error {
	for _, m := range []*machine{s.machine, twin} {
		if _, err := m.on(s.ctx, measuring); err != nil {
			return err
		}
		if _, err := m.do(s.ctx, control.Request{Do: control.Start, Args: []string{agentProgram, "run"}}); err != nil {
			return err
		}
	}
	began := time.Now()
	if _, err := s.until(s.ctx, s.id, string(wire.IdentityDuplicate), 2*time.Minute, failed(wire.IdentityDuplicate)); err != nil {
		return err
	}
	s.note("a clone with its TPM: untrusted, %s, %.0f s after both agents ran", wire.IdentityDuplicate, time.Since(began).Seconds())
	return nil
}
