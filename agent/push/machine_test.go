package push

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm/softtpm"
)

// selection is what the verifier of these tests asks for, PCR 10 in the middle.
var selection = pcr.Selection{
	{Bank: pcr.SHA256, PCRs: pcr.Range(0, 11)},
	{Bank: pcr.SHA1, PCRs: pcr.Range(0, 7)},
}

// machine is a TPM with a list: everything that happens to either can be timed
// between a quote and what follows. It implements TPM.
type machine struct {
	t       testing.TB
	ak      *softtpm.AK
	list    string
	boot    string
	systemd string // path; empty: none

	notices  Notices // nil: none are taken
	payloads Payloads

	padded     bool // the kernel does not have SHA-256
	mu         sync.Mutex
	pcrs       map[pcr.Bank]*[pcr.Count][]byte
	quotes     int
	broken     error
	afterQuote func(n int) // called with the number of quotes so far, without mu
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{
		t: t, ak: softtpm.New(t), list: filepath.Join(dir, "binary_runtime_measurements"),
		boot: filepath.Join(dir, "binary_bios_measurements"),
		pcrs: map[pcr.Bank]*[pcr.Count][]byte{pcr.SHA1: {}, pcr.SHA256: {}}, afterQuote: func(int) {},
	}
	for b, values := range m.pcrs {
		for i := range values {
			values[i] = make([]byte, b.Size())
		}
	}
	if err := os.WriteFile(m.list, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.boot, []byte("the boot log"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.measure(ima.BootAggregate)
	return m
}

// append adds an entry to the list and returns it.
func (m *machine) append(path string) ima.Entry {
	e := ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum([]byte(path)), path)
	f, err := os.OpenFile(m.list, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.Write(e.AppendTo(nil))
		f.Close()
	}
	if err != nil {
		m.t.Error(err)
	}
	return e
}

// extend extends a PCR in both banks.
func (m *machine) extend(i int, e ima.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for b, values := range m.pcrs {
		digest := e.Extends(b)
		if m.padded {
			digest = append(e.Extends(pcr.SHA1), make([]byte, b.Size()-pcr.SHA1.Size())...)
		}
		values[i] = b.Extend(values[i], digest)
	}
}

// measure does both, as the kernel does, for each path.
func (m *machine) measure(paths ...string) {
	for _, p := range paths {
		m.extend(pcr.IMA, m.append(p))
	}
}

// pad is a boot with a kernel that does not have SHA-256.
func (m *machine) pad() {
	m.padded = true
	for b, values := range m.pcrs {
		values[pcr.IMA] = make([]byte, b.Size())
	}
	m.extend(pcr.IMA, ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum([]byte(ima.BootAggregate)), ima.BootAggregate))
}

// foreign extends a PCR with what is in no list.
func (m *machine) foreign(i int) {
	m.extend(i, ima.NewFileEntry(pcr.SHA256, make([]byte, 32), "foreign"))
}

func (m *machine) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

func (m *machine) reset(counters wire.BootCounters) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ak.Counters = counters
}

func (m *machine) quoted() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.quotes
}

func (m *machine) Quote(sel pcr.Selection, extraData []byte) (attest, signature []byte, err error) {
	v, err := m.ReadPCRs(sel)
	if err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	attest = m.ak.Quote(v, extraData)
	m.quotes++
	n := m.quotes
	m.mu.Unlock()
	m.afterQuote(n)
	return attest, m.ak.Sign(attest), nil
}

func (m *machine) ReadPCRs(sel pcr.Selection) (pcr.Values, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var digests [][]byte
	for _, e := range sel {
		values, ok := m.pcrs[e.Bank]
		if !ok {
			return pcr.Values{}, fmt.Errorf("bank %v is not active", e.Bank)
		}
		for i := range e.PCRs.All() {
			digests = append(digests, values[i])
		}
	}
	v, err := pcr.NewValues(sel, digests)
	return v, errors.Join(err, m.broken)
}

func (m *machine) ActiveBanks() ([]pcr.Bank, error) { return []pcr.Bank{pcr.SHA1, pcr.SHA256}, nil }

func (m *machine) BootCounters() (wire.BootCounters, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ak.Counters, nil
}
