package attack_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"quicklime/agent/registration"
	"quicklime/agent/swtpm"
	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
)

// machine is a computer with a TPM and what its kernel measured. Who has it can
// make it say what he likes, but for what the TPM refuses.
type machine struct {
	t    *testing.T // of the attack under way
	site *site

	tpmDir      string
	banks       []pcr.Bank
	power       *swtpm.TPM
	device      *tpmdev.Device
	id          string
	ak          tpm.Public
	certificate tls.Certificate // of the transport key
	counters    wire.BootCounters

	bootPolicy string // under which it is enrolled; "": none
	log        []byte // of its boot, which it sends

	list     []ima.Entry
	listFile string // of the agent that runs; "": none does
	cleared  bool   // the TPM was, so that its transport key is another one
}

// What machines measure. The policy allows bash and tool.
var (
	bash  = file("/usr/bin/bash", "bash")
	tool  = file("/usr/bin/tool", "tool")
	miner = file("/usr/bin/miner", "miner")
)

const policyName = "box"

// policy is the runtime policy of every machine, with further files if need be.
func policy(more ...ima.Entry) []byte {
	digests := map[string][]string{}
	for _, e := range append([]ima.Entry{bash, tool}, more...) {
		ev, err := e.Event()
		if err != nil {
			panic(err) // the entries are made here
		}
		digests[string(ev.Name)] = append(digests[string(ev.Name)], hex.EncodeToString(ev.Digest))
	}
	text, err := json.Marshal(map[string]any{"meta": map[string]int{"version": 1}, "digests": digests})
	if err != nil {
		panic(err)
	}
	return text
}

func file(path, content string) ima.Entry {
	return ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum([]byte(content)), path)
}

// newMachine makes a machine and has it join. Machines with the same banks have
// the same identity: one site has one of them.
func newMachine(t *testing.T, s *site, banks ...pcr.Bank) *machine {
	t.Helper()
	if len(banks) == 0 {
		banks = []pcr.Bank{pcr.SHA1, pcr.SHA256}
		if _, err := s.verifier.RuntimePolicies().Add(t.Context(), policyName, policy()); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{t: t, site: s, tpmDir: swtpmtest.Create(t, banks...), banks: banks}
	m.switchOn()
	m.scrap()
	m.join(wire.OutcomeNew)
	return m
}

// scrap ends the TPM that then runs, when the test ends.
func (m *machine) scrap() {
	m.t.Cleanup(func() {
		m.device.Close()
		if err := m.power.Kill(); err != nil {
			m.t.Error(err)
		}
	})
}

// join registers the machine's TPM, as quicklime-agent join does.
func (m *machine) join(want wire.Outcome) {
	m.t.Helper()
	got, err := registration.Register(m.t.Context(), m.device, m.site.token(m.t), registration.Machine{Label: "box", Software: "attack"})
	if err != nil || got.Outcome != want {
		m.t.Fatalf("join: %q, %v, want %q", got.Outcome, err, want)
	}
	m.id = got.Membership.ID
}

// enrolUnder has the operator enrol the machine as the registrar knows it.
func (m *machine) enrolUnder(ctx context.Context, policy string) error {
	r, err := m.site.registrar.Machine(ctx, m.id)
	if err != nil {
		return err
	}
	_, err = m.site.verifier.Enrol(ctx, rest.Enrolment{
		ID: r.ID, Label: r.Label, EKPublic: r.EKPublic, AKPublic: r.AKPublic, Transport: r.Transport, LowestBank: pcr.SHA256, Policy: policy, BootPolicy: m.bootPolicy,
	})
	return err
}

// begin boots the machine anew for an attack, and enrols it anew.
func (m *machine) begin(t *testing.T) *machine {
	t.Helper()
	m.t = t
	err := m.site.verifier.Delete(t.Context(), m.id)
	if e, ok := errors.AsType[*rest.Error](err); err != nil && (!ok || e.Code != rest.CodeNotFound) {
		t.Fatal(err)
	}
	if m.cleared {
		if err := m.site.registrar.DeleteMachine(t.Context(), m.id); err != nil {
			t.Fatal(err)
		}
		m.join(wire.OutcomeNew)
		m.cleared = false
	}
	if err := m.enrolUnder(t.Context(), policyName); err != nil {
		t.Fatal(err)
	}
	m.switchOff()
	if m.bootPolicy != "" {
		m.boot(goodBoot(t))
	} else {
		m.reboot("firmware")
	}
	return m
}

// switchOn powers the TPM on and makes the agent's keys.
func (m *machine) switchOn() {
	m.t.Helper()
	power, err := swtpm.Start(context.Background(), m.tpmDir)
	if err != nil {
		m.t.Fatal(err)
	}
	m.power = power
	m.open()
}

func (m *machine) open() {
	m.t.Helper()
	var err error
	if m.device, err = tpmdev.Open(m.power.Device()); err != nil {
		m.t.Fatal(err)
	}
	area, err := m.device.AK()
	if err != nil {
		m.t.Fatal(err)
	}
	if m.ak, err = tpm.ParsePublic(area); err != nil {
		m.t.Fatal(err)
	}
	transport, err := m.device.Transport()
	if err != nil {
		m.t.Fatal(err)
	}
	if m.certificate, err = transport.TLSCertificate(); err != nil {
		m.t.Fatal(err)
	}
	if m.counters, err = m.device.BootCounters(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) switchOff() {
	m.t.Helper()
	m.device.Close()
	if err := m.power.Stop(); err != nil {
		m.t.Fatal(err)
	}
}

// reboot switches the machine on; firmware is what its PCR 0 tells. Its kernel
// measures bash and nothing else.
func (m *machine) reboot(firmware string) {
	m.t.Helper()
	m.switchOn()
	m.list = nil
	m.extend(0, func(b pcr.Bank) []byte { return b.Sum([]byte(firmware)) })
	m.measure(m.aggregate(), bash)
}

// aggregate is the boot_aggregate of the PCRs as they are.
func (m *machine) aggregate() ima.Entry {
	m.t.Helper()
	v, err := m.device.ReadPCRs(pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 9)}})
	if err != nil {
		m.t.Fatal(err)
	}
	return ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum(v.Digests()...), ima.BootAggregate)
}

// measure appends to the list and extends PCR 10, as a kernel does.
func (m *machine) measure(entries ...ima.Entry) {
	m.t.Helper()
	for _, e := range entries {
		m.list = append(m.list, e)
		if m.listFile != "" {
			m.writeList(e)
		}
		m.extend(pcr.IMA, e.Extends)
	}
}

func (m *machine) extend(index int, digest func(pcr.Bank) []byte) {
	m.t.Helper()
	digests := map[pcr.Bank][]byte{}
	for _, b := range m.banks {
		digests[b] = digest(b)
	}
	if err := m.device.Extend(index, digests); err != nil {
		m.t.Fatal(err)
	}
}

// raw is the TPM as whoever owns the machine has it.
func (m *machine) raw() tpmdev.Socket {
	return tpmdev.Socket(strings.TrimPrefix(m.power.Device(), tpmdev.SocketPrefix))
}

// setClock sets the TPM's clock forward, in milliseconds: TPM2_ClockSet (TPM 2.0
// Library part 3, section 29.2) with the owner's empty password, which go-tpm does
// not have.
func (m *machine) setClock(ms uint64) {
	m.t.Helper()
	command := binary.BigEndian.AppendUint64([]byte{
		0x80, 0x02, 0, 0, 0, 35, 0, 0, 0x01, 0x28, // TPM_ST_SESSIONS, length, TPM_CC_ClockSet
		0x40, 0, 0, 0x01, 0, 0, 0, 9, 0x40, 0, 0, 0x09, 0, 0, 0, 0, 0, // TPM_RH_OWNER, password session
	}, ms)
	answer, err := m.raw().Send(command)
	if err != nil || len(answer) < 10 || binary.BigEndian.Uint32(answer[6:]) != 0 {
		m.t.Fatalf("TPM2_ClockSet: %x, %v", answer, err)
	}
}

// agent is what the operator is told.
func (m *machine) agent() rest.Agent {
	m.t.Helper()
	a, err := m.site.verifier.Agent(m.t.Context(), m.id)
	if err != nil {
		m.t.Fatal(err)
	}
	return a
}

// patience bounds every wait for what must come.
const patience = 40 * time.Second

// await waits until the operator is told what is wanted.
func (m *machine) await(what string, ok func(rest.Agent) bool) rest.Agent {
	m.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		a := m.agent()
		if ok(a) {
			return a
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("still not %s: %s (%s), failures %+v, rejected %+v", what, a.Trust, a.Reason, a.Failures, a.Rejected)
		}
	}
}
