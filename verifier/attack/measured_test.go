package attack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"quicklime/verifier/eventlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

const (
	bootPolicyName = "front"
	otherBoot      = wire.FailureID("measured_boot.policy_example")
)

var (
	knowing   = refuser{does: "`verifier/bootpolicy.Judge`: what was booted is what the boot policy allows", says: "the kernel command line is another one"}
	replaying = refuser{does: "`verifier/eventlog.Replay`: the boot log leads to the quoted PCRs"}
)

// goodBoot is the log of a boot with Secure Boot, shim and GRUB.
func goodBoot(t testing.TB) []byte { return verifiertest.BootLog(t, "ovmf-secureboot-6.1") }

// evilBoot is that of the same with a command line that has the kernel measure
// nothing.
func evilBoot(t testing.TB) []byte {
	return verifiertest.WithCommandLine(goodBoot(t), "/vmlinuz ima=off")
}

// measured are what a machine does whose boot is judged (I15, I20).
var measured = []attack{
	{"a list made up after a reboot into a kernel that measures nothing, under a boot policy", knowing, sight{failure: otherBoot}, func(k *session) {
		k.switchOff()
		k.boot(evilBoot(k.t)) // and what its kernel did not measure, user space does
		k.machine.dial().attest()
	}},
	{"the same, with the boot log of a good boot", replaying, sight{failure: wire.BootInvalidPCR(8)}, func(k *session) {
		k.switchOff()
		k.boot(evilBoot(k.t))
		k.log = goodBoot(k.t)
		k.machine.dial().attest()
	}},
	{"the same, with a boot log that has the command line right and another digest", replaying, sight{failure: wire.BootInvalidPCR(8)}, func(k *session) {
		k.switchOff()
		k.boot(evilBoot(k.t))
		k.log = bytes.ReplaceAll(k.log, []byte("/vmlinuz ima=off"), []byte("/vmlinuz ima=on "))
		k.log = verifiertest.EditLog(k.log, func(all []verifiertest.LogEvent) []verifiertest.LogEvent {
			for i := range all {
				if e := &all[i]; e.PCR == 8 {
					_, line, _ := bytes.Cut(bytes.TrimSuffix(e.Data, []byte{0}), []byte(": "))
					e.Measured(line)
				}
			}
			return all
		})
		k.machine.dial().attest()
	}},
	{"the same, with a boot log that was cut", refuser{does: "`verifier/eventlog.Parse`: a log is read as a whole, or not at all", says: "ends inside the event"}, sight{failure: wire.BootLogMalformed}, func(k *session) {
		k.switchOff()
		k.boot(evilBoot(k.t))
		k.log = k.log[:len(k.log)-1]
		k.machine.dial().attest()
	}},
	{"the same, without a boot log", refuser{does: "`verifier/appraise.Opine`: a boot policy waits for the log"}, sight{words: "untrusted as long as no log comes, by the condition `measured_boot.log_missing`"}, func(k *session) {
		k.switchOff()
		k.boot(evilBoot(k.t))
		log := k.log
		k.log = nil
		next := k.machine.dial()
		next.attest()
		a := k.await("waited for", func(a rest.Agent) bool { return a.Trust == wire.Untrusted })
		if len(a.Failures) != 0 || len(a.Conditions) != 1 || a.Conditions[0].ID != wire.BootLogMissing {
			k.t.Errorf("failures %+v, conditions %+v", a.Failures, a.Conditions)
		}
		next.log = log
		next.attest()
		sight{failure: otherBoot}.check(k.machine, a, knowing.says)
	}},
	{"a PCR of the boot extended once it was judged", refuser{does: "`verifier/session`: the boot is judged again when a PCR that is judged has another value"}, sight{failure: wire.BootInvalidPCR(14)}, func(k *session) {
		k.extend(14, func(b pcr.Bank) []byte { return b.Sum([]byte("a key of one's own")) })
		k.measure(tool)
		k.attest()
	}},
	{"evidence while the boot policy goes from A to B and back", committing, sight{words: "never trusted under a boot policy that does not allow the boot"}, func(k *session) {
		k.switchOff()
		k.boot(evilBoot(k.t))
		k.machine.dial().attest()
		both := verifiertest.Reference(k.t, pcr.SHA256, goodBoot(k.t), evilBoot(k.t))
		put := func(ctx context.Context, text []byte) error {
			_, err := k.site.verifier.BootPolicies().Update(ctx, bootPolicyName, text)
			return err
		}
		good := verifiertest.Reference(k.t, pcr.SHA256, goodBoot(k.t))
		k.against(func(v *operator) error {
			if err := put(v.ctx, both); err != nil {
				return err
			}
			return errors.Join(put(v.ctx, good), v.distrusts())
		})
		for _, c := range []struct {
			text []byte
			want wire.Trust
		}{{both, wire.Trusted}, {good, wire.Untrusted}} {
			if err := put(k.t.Context(), c.text); err != nil {
				k.t.Fatal(err)
			}
			k.await(fmt.Sprintf("%s in the end", c.want), func(a rest.Agent) bool { return a.Trust == c.want })
		}
	}},
}

// allowBoot has the machine enrolled under a boot policy that allows a boot.
func (m *machine) allowBoot(log []byte) {
	m.t.Helper()
	if _, err := m.site.verifier.BootPolicies().Add(m.t.Context(), bootPolicyName, verifiertest.Reference(m.t, pcr.SHA256, log)); err != nil {
		m.t.Fatal(err)
	}
	m.bootPolicy = bootPolicyName
}

// boot switches the machine on and boots it as a log has it, whose events are
// measured. Its kernel measures bash and nothing else.
func (m *machine) boot(log []byte) {
	m.t.Helper()
	m.switchOn()
	m.list, m.log = nil, log
	verifiertest.EditLog(log, func(all []verifiertest.LogEvent) []verifiertest.LogEvent {
		for _, e := range slices.DeleteFunc(all, func(e verifiertest.LogEvent) bool { return e.Type == uint32(eventlog.NoAction) }) {
			m.extend(e.PCR, func(b pcr.Bank) []byte { return e.Digests[b] })
		}
		return nil
	})
	m.measure(m.aggregate(), bash)
}
