// Package verifiertest is an attester in memory, for tests of the verifier: a
// machine whose TPM signs with a soft key, so that a test can make it lie where
// no TPM would. It is imported by tests only.
package verifiertest

import (
	"bytes"
	"strings"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/wire"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm/softtpm"
)

// What every machine's evidence is for.
var (
	AgentID   = strings.Repeat("a1", 32)
	Exporter  = bytes.Repeat([]byte{7}, wire.ExporterSize)
	Nonce     = bytes.Repeat([]byte{9}, wire.NonceSize)
	Selection = pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10)}}
)

// Machine is a machine with one boot, SHA-256 alone, and a measurement list.
type Machine struct {
	AK   *softtpm.AK
	Boot []byte     // the value of each of PCRs 0 to 9
	PCRs pcr.Values // of all PCRs but 10, if it has any: then Boot says nothing
	List []ima.Entry
	PCR  ima.State // PCR 10

	// What the next evidence says and is for.
	AgentID         string
	Exporter, Nonce []byte
	Trigger         wire.Trigger
	Selection       pcr.Selection

	t testing.TB
}

// New boots a machine whose list has its boot_aggregate.
func New(t testing.TB) *Machine {
	m := &Machine{
		AK: softtpm.New(t), Boot: bytes.Repeat([]byte{5}, 32), PCR: ima.NewState(pcr.SHA256),
		AgentID: AgentID, Exporter: Exporter, Nonce: Nonce, Trigger: wire.TriggerGrowth, Selection: Selection, t: t,
	}
	m.Measure(m.Aggregate())
	return m
}

// Aggregate is the boot_aggregate entry of the boot.
func (m *Machine) Aggregate() ima.Entry {
	boot := bytes.Repeat(m.Boot, 10)
	if values, ok := m.PCRs.Aggregate(pcr.SHA256, 0, 9); ok {
		boot = values
	}
	return ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum(boot), ima.BootAggregate)
}

// Booted boots the machine anew, by a log whose PCRs it has then.
func (m *Machine) Booted(log []byte) {
	m.PCRs = LedTo(log, pcr.SHA1, pcr.SHA256)
	m.Reboot()
}

// value is what a PCR holds.
func (m *Machine) value(b pcr.Bank, i int) []byte {
	if i == pcr.IMA {
		return m.PCR.PCR()
	}
	if v, ok := m.PCRs.Get(b, i); ok {
		return v
	}
	return m.Boot
}

// Measure appends to the list and extends PCR 10.
func (m *Machine) Measure(entries ...ima.Entry) {
	for _, e := range entries {
		m.List = append(m.List, e)
		m.PCR.Extend(e)
	}
}

// File measures a file.
func (m *Machine) File(path string, digest []byte) {
	m.Measure(ima.NewFileEntry(pcr.SHA256, digest, path))
}

// Reboot resets the PCRs and begins another list.
func (m *Machine) Reboot() {
	m.AK.Counters.Reset++
	m.List, m.PCR = nil, ima.NewState(pcr.SHA256)
	m.Measure(m.Aggregate())
}

// Pad begins the list anew, with a kernel that does not have the bank's hash.
func (m *Machine) Pad() {
	list := m.List
	m.List, m.PCR = nil, ima.NewState(pcr.SHA256).Pad()
	m.Measure(list...)
}

// Standing is what a verifier knows of the machine before any evidence.
func (m *Machine) Standing() appraise.Standing {
	return appraise.Standing{Enrolment: 1, AgentID: AgentID, AK: m.AK.Public, Resume: ima.NewState(pcr.SHA256)}
}

// Question is what the machine's evidence answers.
func Question() appraise.Question {
	return appraise.Question{Exporter: Exporter, Nonces: [][]byte{bytes.Repeat([]byte{8}, wire.NonceSize), Nonce}, Selection: Selection, Bank: pcr.SHA256}
}

// Evidence quotes, and announces the list from an entry on, which it returns
// beside it.
func (m *Machine) Evidence(first int) (wire.Evidence, []byte) {
	m.t.Helper()
	var digests [][]byte
	for _, s := range m.Selection {
		for i := range s.PCRs.All() {
			digests = append(digests, m.value(s.Bank, i))
		}
	}
	v, err := pcr.NewValues(m.Selection, digests)
	if err != nil {
		m.t.Fatal(err)
	}
	m.AK.Clock++
	b, err := envelope.Seal(envelope.Payload{Nonce: m.Nonce, AgentID: m.AgentID, Trigger: m.Trigger}, m.AK.Public, m.Exporter, m.AK.Quoter(v))
	if err != nil {
		m.t.Fatal(err)
	}
	var list []byte
	for _, e := range m.List[first:] {
		list = e.AppendTo(list)
	}
	return wire.Evidence{Envelope: b, PCRs: digests, IMA: wire.Span{First: uint64(first), Count: uint64(len(m.List) - first), Bytes: uint64(len(list)), Padded: m.PCR.Padded()}}, list
}
