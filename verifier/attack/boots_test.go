package attack_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

var (
	growing = refuser{does: "`verifier/epoch.Step`: resetCount and restartCount only grow"}
	ticking = refuser{does: "`verifier/appraise.Begin`: within a boot the TPM's clock does not go back"}
	keyless = refuser{does: "the channel: TPM2_Clear takes the transport key"}
)

// boots are reboots that pass for others, or for none (I14, I19).
var boots = []attack{
	{"the old list extended after a reboot into other firmware", tying, sight{failure: wire.IMABootAggregate}, func(k *session) {
		old := k.list
		k.switchOff()
		k.switchOn()
		k.extend(0, func(b pcr.Bank) []byte { return b.Sum([]byte("evil firmware")) })
		k.list = nil
		k.measure(old...)
		k.machine.dial().attest()
	}},
	{"the old list without a reboot's extends", replay, sight{failure: wire.IMAMismatch}, func(k *session) {
		old := k.list
		k.switchOff()
		k.reboot("firmware")
		k.measure(miner)
		k.list = old
		k.machine.dial().attest()
	}},
	{"a TPM restored from a snapshot, counters behind", growing, sight{failure: wire.EpochRollback}, func(k *session) {
		k.switchOff()
		restore := k.snapshot()
		for range 2 {
			k.reboot("firmware")
			k.switchOff()
		}
		k.reboot("firmware")
		k.machine.honest()
		k.switchOff()
		restore()
		k.reboot("firmware")
		k.hurry()
		k.machine.dial().attest()
	}},
	{"a TPM restored from a snapshot, the same counters with other firmware", refuser{does: "`verifier/epoch.Step`: one boot has one set of boot PCRs"}, sight{failure: wire.EpochRollback}, func(k *session) {
		k.switchOff()
		restore := k.snapshot()
		k.reboot("firmware")
		k.machine.honest()
		k.switchOff()
		restore()
		k.reboot("evil firmware")
		k.hurry()
		k.machine.dial().attest()
	}},
	{"a TPM restored from a snapshot, the same boot again", ticking, sight{failure: wire.EpochRollback}, func(k *session) {
		k.switchOff()
		restore := k.snapshot()
		k.reboot("firmware")
		k.hurry() // so that the boot is longer than its repetition
		k.machine.honest()
		k.switchOff()
		restore()
		k.reboot("firmware")
		k.machine.dial().attest()
	}},
	{"a Hello that says it is still the old boot", refuser{does: "`verifier/epoch.Step`: the quote says which boot it is", says: "though 0 entries were certified in this boot"}, sight{failure: wire.IMAMismatch}, func(k *session) {
		hello := k.hello()
		k.switchOff()
		k.reboot("evil firmware")
		k.measure(miner)
		k = k.connect(k.site.attesting, hello)
		k.awaitWelcome()
		if k.from == 0 {
			k.t.Fatalf("the verifier does not take it for the old boot: %+v", k.welcome)
		}
		for _, want := range []wire.Trust{wire.Trusted, wire.Untrusted} { // asked for the list from its beginning, and told
			t := k.testify(k.nonce)
			t.first, t.list, t.count = k.welcome.Resume.Entries, nil, 0
			k.send(t)
			if v := k.verdict(); v.Accepted || v.Trust != want {
				k.t.Errorf("%+v, want %s", v, want)
			}
		}
	}},
	{"a reboot to get rid of a finding", refuser{does: "`verifier/store`: a finding stands until an operator clears it or a policy judges it away"}, sight{failure: wire.IMANotInPolicy}, func(k *session) {
		k.measure(miner)
		k.attest()
		k.switchOff()
		k.reboot("firmware")
		k.machine.dial().attest()
	}},
}

// clearings are TPM2_Clear, after which resetCount starts from zero (I11, I14).
var clearings = []attack{
	{"TPM2_Clear, and resets until the old resetCount is back, on a session that lives", ticking, sight{failure: wire.EpochRollback}, func(k *session) {
		counters, certificate := k.counters, k.certificate
		k.hurry()
		k.send(k.testify(k.nonce))
		k.verdict()
		k.walkBack(counters)
		k.certificate = certificate
		k.attest()
	}},
	{"TPM2_Clear, and resets until the old resetCount is back", keyless, sight{stale: true, words: "the machine comes with other keys, which are offered and not in force"}, func(k *session) {
		k.walkBack(k.counters)
		waiting := k.connect(k.site.attesting, k.hello())
		k.await("stale", func(a rest.Agent) bool { return a.Trust == wire.Stale })
		k.join(wire.OutcomeOtherKeys)
		if m, err := k.site.registrar.Machine(k.t.Context(), k.id); err != nil || m.Offered == nil {
			k.t.Errorf("%+v, %v", m, err)
		}
		if got, err := waiting.conn.Receive(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			k.t.Errorf("a machine with other keys received %T, %v", got, err)
		}
	}},
}

// walkBack clears the TPM, and switches it off and on until its counters are what
// they were. Then the machine measures what it had measured.
func (m *machine) walkBack(want wire.BootCounters) {
	m.t.Helper()
	old := m.list
	m.cleared = true
	lockout := tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}
	if _, err := (tpm2.Clear{AuthHandle: lockout}).Execute(m.raw()); err != nil {
		m.t.Fatal(err)
	}
	for again := true; again; again = m.counters.Reset < want.Reset {
		m.switchOff()
		m.reboot("firmware")
	}
	if m.counters != want {
		m.t.Fatalf("the counters are %+v, they were %+v", m.counters, want)
	}
	m.measure(old[len(m.list):]...)
}

// clock is the TPM's clock in milliseconds.
func (m *machine) clock() uint64 {
	m.t.Helper()
	rsp, err := tpm2.ReadClock{}.Execute(m.raw())
	if err != nil {
		m.t.Fatal(err)
	}
	return rsp.CurrentTime.ClockInfo.Clock
}

// hurry sets the TPM's clock an hour forward.
func (m *machine) hurry() { m.t.Helper(); m.setClock(m.clock() + uint64(time.Hour.Milliseconds())) }

// snapshot copies what a TPM that is switched off remembers, and returns what puts
// it back.
func (m *machine) snapshot() (restore func()) {
	m.t.Helper()
	state, saved := filepath.Join(m.tpmDir, "state"), filepath.Join(m.t.TempDir(), "state")
	m.copy(saved, state)
	return func() {
		m.t.Helper()
		if err := os.RemoveAll(state); err != nil {
			m.t.Fatal(err)
		}
		m.copy(state, saved)
	}
}

func (m *machine) copy(to, from string) {
	m.t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		m.t.Fatal(err)
	}
}

// clones are one identity in two places (I14).
var clones = []attack{
	{"the same identity in two places", refuser{does: "`verifier/session`: a machine has all that it once proved, and goes on from the newest session"}, sight{words: "untrusted as soon as the two differ, and failure `identity.duplicate` when the first comes back"}, func(k *session) {
		k.switchOff()
		twin := *k.machine
		twin.tpmDir, twin.list = k.t.TempDir(), nil
		k.copy(twin.tpmDir, k.tpmDir)
		k.reboot("firmware")
		k.runAgent()
		k.measure(tool)
		k.await("trusted with three entries", func(a rest.Agent) bool { return a.Trust == wire.Trusted && a.Epoch.Entries == 3 })
		twin.reboot("firmware")
		twin.scrap()
		twin.runAgent()
		k.await("untrusted", func(a rest.Agent) bool { return a.Trust == wire.Untrusted })
		k.await("known as a copy", func(a rest.Agent) bool {
			return slices.ContainsFunc(a.Failures, func(f wire.Failure) bool { return f.ID == wire.IdentityDuplicate })
		})
	}},
}

// limits are what this version cannot refuse. That a test has to be changed for it
// to be refused keeps them known.
var limits = []attack{
	{"the old list extended after a reboot with the same boot PCRs", refuser{does: "nothing without a boot policy: one that lists the command line knows whether the other kernel measures"}, stillTrusted, func(k *session) {
		old := slices.Clone(k.list)
		k.switchOff()
		k.reboot("firmware") // whatever kernel this is, PCRs 0 to 9 do not tell
		k.measure(old[len(k.list):]...)
		k.machine.honest()
	}},
	{"a list made up after a reboot into a kernel that measures nothing", refuser{does: "nothing without a boot policy: anybody can compute a boot_aggregate; see above for the same under one"}, stillTrusted, func(k *session) {
		k.switchOff()
		k.switchOn()
		k.extend(0, func(b pcr.Bank) []byte { return b.Sum([]byte("evil firmware")) })
		k.list = nil
		k.measure(k.aggregate(), bash)
		k.machine.honest()
	}},
	{"a TPM restored from a snapshot, the same boot again with its clock set forward", refuser{does: "nothing: a TPM in hardware cannot be put back, and who can put back one in software has its keys"}, stillTrusted, func(k *session) {
		k.switchOff()
		restore := k.snapshot()
		k.reboot("firmware")
		k.machine.honest()
		k.switchOff()
		restore()
		k.reboot("firmware")
		k.hurry()
		k.machine.honest()
	}},
	{"a second boot_aggregate of this boot", refuser{does: "nothing: that is what kexec leaves, and it says nothing untrue"}, stillTrusted, func(k *session) {
		k.measure(k.aggregate())
		k.send(k.testify(k.nonce))
		if v := k.verdict(); !v.Accepted || v.Trust != wire.Trusted {
			k.t.Errorf("%+v", v)
		}
	}},
}

var stillTrusted = sight{words: "trusted"}
