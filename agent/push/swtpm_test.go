package push

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
)

func TestMain(m *testing.M) { os.Exit(swtpmtest.Main(m)) }

// emulated is a machine with a real TPM.
type emulated struct {
	*machine // for its list
	tpm      *tpmdev.Device
}

func newEmulated(t *testing.T) *emulated {
	t.Helper()
	power := swtpmtest.New(t, pcr.SHA1, pcr.SHA256)
	device, err := tpmdev.Open(power.Device())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })
	m := newMachine(t)
	e := &emulated{m, device}
	if err := os.WriteFile(m.list, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e.measure(ima.BootAggregate)
	return e
}

func (e *emulated) measure(path string) {
	e.t.Helper()
	entry := e.append(path)
	if err := e.tpm.Extend(pcr.IMA, map[pcr.Bank][]byte{
		pcr.SHA1: entry.Extends(pcr.SHA1), pcr.SHA256: entry.Extends(pcr.SHA256),
	}); err != nil {
		e.t.Fatal(err)
	}
}

func TestARealTPMAttests(t *testing.T) {
	e := newEmulated(t)
	area, err := e.tpm.AK()
	if err != nil {
		t.Fatal(err)
	}
	ak, err := tpm.ParsePublic(area)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := e.tpm.Transport()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{verifier: newVerifier(t, ak), machine: e.machine}
	var cfg Config
	if cfg.Verifier.Certificate, err = transport.TLSCertificate(); err != nil {
		t.Fatal(err)
	}
	cfg.TPM, cfg.BootLog = e.tpm, filepath.Join(t.TempDir(), "none")
	ended, stop := f.agent(cfg, e.list)
	p := f.accept()
	nonce := p.welcome(0, true)
	g := f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: 1, Replays: true})
	if g.attested.Counters != p.hello.Boot || g.attested.Counters.Reset == 0 {
		t.Errorf("the quote has counters %+v, Hello %+v", g.attested.Counters, p.hello.Boot)
	}
	p.accepted(1)
	for i, path := range []string{"/a", "/b", "/c"} {
		e.measure(path)
		if g := f.evidenceOf(p, uint64(1+i)); !g.Replays || g.Count != 1 {
			t.Fatalf("%s: %+v", path, g)
		}
		p.accepted(uint64(2 + i))
	}
	asked := p.challenge()
	if g := f.evidenceOf(p, 4); !bytes.Equal(g.Nonce, asked) || !g.Replays {
		t.Errorf("%+v", g)
	}
	p.accepted(4)
	stop()
	if err := <-ended; err != nil && !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
