package push

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"quicklime/wire"
	"quicklime/wire/wiretest"
)

// key is a transport key outside a TPM that can be made to fail.
type key struct {
	*ecdsa.PrivateKey
	mu  sync.Mutex
	err error
}

func (k *key) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return nil, k.err
	}
	return k.PrivateKey.Sign(r, digest, opts)
}

func (k *key) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func newKey(t testing.TB) (*key, tls.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	k := &key{PrivateKey: private}
	return k, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

// fixture is a machine whose agent runs against a verifier.
type fixture struct {
	*verifier
	machine *machine
	key     *key
	log     *wiretest.Log
	ended   <-chan error
	stop    func()
}

// run starts an agent on a machine, which prepare may change first.
func run(t *testing.T, prepare func(m *machine)) *fixture {
	t.Helper()
	m := newMachine(t)
	if prepare != nil {
		prepare(m)
	}
	f := &fixture{verifier: newVerifier(t, m.ak.Public), machine: m, log: new(wiretest.Log)}
	var cfg Config
	f.key, cfg.Verifier.Certificate = newKey(t)
	cfg.TPM, cfg.BootLog, cfg.SystemdLog, cfg.Notices, cfg.Payloads = m, m.boot, m.systemd, m.notices, m.payloads
	cfg.Log = slog.New(slog.NewTextHandler(f.log, nil))
	f.ended, f.stop = f.agent(cfg, m.list)
	return f
}

// expect receives evidence and compares it.
func (f *fixture) expect(p *peer, want got) got {
	f.t.Helper()
	g := p.evidence(f.machine.after(want.First))
	if d := cmp.Diff(want, g, cmpopts.IgnoreUnexported(got{})); d != "" {
		f.t.Fatal(d)
	}
	return g
}

// begin accepts a session, its first evidence included.
func (f *fixture) begin() (*peer, []byte) {
	f.t.Helper()
	p := f.accept()
	nonce := p.welcome(0, false)
	f.expect(p, got{Trigger: wire.TriggerStart, Nonce: nonce, Count: p.hello.Entries, Replays: true})
	return p, p.accepted(p.hello.Entries)
}

// evidenceOf receives evidence from entry first on.
func (f *fixture) evidenceOf(p *peer, first uint64) got {
	f.t.Helper()
	return p.evidence(f.machine.after(first))
}
