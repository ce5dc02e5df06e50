package tpmdev_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"quicklime/agent/swtpm/swtpmtest"
	"quicklime/agent/tpmdev"
	"quicklime/wire"
	"quicklime/wire/tpm"
)

// identity is what a TPM is known by.
type identity struct {
	ek, ak, transport []byte
	counters          wire.BootCounters
}

func identify(t *testing.T, d *tpmdev.Device) (id identity) {
	t.Helper()
	e, err := d.Endorsement()
	if err != nil {
		t.Fatal(err)
	}
	id.ek = e.Public
	if id.ak, err = d.AK(); err != nil {
		t.Fatal(err)
	}
	tk, err := d.Transport()
	if err != nil {
		t.Fatal(err)
	}
	id.transport = tk.PublicArea()
	if id.counters, err = d.BootCounters(); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestRestart(t *testing.T) {
	dir := created(t)
	p := swtpmtest.Start(t, dir)
	before := identify(t, opened(t, p))
	for boot := range uint32(3) {
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		p = swtpmtest.Start(t, dir)
		after := identify(t, opened(t, p))
		if !bytes.Equal(after.ek, before.ek) || !bytes.Equal(after.ak, before.ak) || !bytes.Equal(after.transport, before.transport) {
			t.Error("a restart changed a key")
		}
		if want := (wire.BootCounters{Reset: before.counters.Reset + boot + 1}); after.counters != want {
			t.Errorf("counters %+v, want %+v", after.counters, want)
		}
	}
}

func TestClear(t *testing.T) {
	d, p := newDevice(t)
	before := identify(t, d)
	lockout := tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}
	if _, err := (tpm2.Clear{AuthHandle: lockout}).Execute(raw(p)); err != nil {
		t.Fatal(err)
	}
	after := identify(t, opened(t, p))
	if !bytes.Equal(after.ek, before.ek) || !bytes.Equal(after.ak, before.ak) {
		t.Error("TPM2_Clear changed EK or AK")
	}
	if bytes.Equal(after.transport, before.transport) {
		t.Error("TPM2_Clear did not change the transport key")
	}
}

// TestUnique shows that the bytes in the templates' unique reach the key.
func TestUnique(t *testing.T) {
	d, p := newDevice(t)
	ak, err := d.AK()
	if err != nil {
		t.Fatal(err)
	}
	template := tpm.AKTemplate()
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: []byte("quicklime ak 2")}})
	rsp, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(template)}.Execute(raw(p))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(rsp.OutPublic.Bytes(), ak) {
		t.Error("another generation is the same key")
	}
}

// TestKilledAgent leaves what an agent leaves that was killed while it activated
// a credential: three objects and its sessions.
func TestKilledAgent(t *testing.T) {
	killed, p := newDevice(t)
	identify(t, killed)
	ek, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHEndorsement, InPublic: tpm2.New2B(tpm2.RSAEKTemplate)}.Execute(raw(p))
	if err != nil {
		t.Fatal(err)
	}
	var sessions int
	for ; sessions < 16; sessions++ { // until every slot is taken
		kind := []tpm2.TPMSE{tpm2.TPMSEHMAC, tpm2.TPMSEPolicy}[sessions%2]
		_, err := tpm2.StartAuthSession{
			TPMKey: tpm2.TPMRHNull, Bind: tpm2.TPMRHNull, NonceCaller: tpm2.TPM2BNonce{Buffer: make([]byte, 16)},
			SessionType: kind, Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull}, AuthHash: tpm2.TPMAlgSHA256,
		}.Execute(raw(p))
		if err != nil {
			break
		}
	}
	t.Logf("EK 0x%x and %d sessions left", uint32(ek.ObjectHandle), sessions)
	if n := loaded(t, p); n != 3 || sessions == 16 {
		t.Fatalf("%d objects and %d sessions are loaded: the TPM is not full", n, sessions)
	}
	shared, err := tpmdev.OpenShared(p.Device())
	if err != nil {
		t.Fatal(err)
	}
	shared.Close()
	if n := loaded(t, p); n != 3 {
		t.Errorf("OpenShared left %d objects of 3", n)
	}
	d := opened(t, p)
	if n := loaded(t, p); n != 0 {
		t.Errorf("%d objects are loaded after Open", n)
	}
	identify(t, d)
	if _, err := d.ActivateCredential(nil, nil); err == nil || strings.Contains(err.Error(), "MEMORY") {
		t.Errorf("sessions are still taken: %v", err)
	}
}

func TestSign(t *testing.T) {
	d, _ := newDevice(t)
	k, err := d.Transport()
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("to sign"))
	for _, tt := range []struct {
		digest []byte
		hash   crypto.Hash
	}{{digest[:], crypto.SHA384}, {digest[:20], crypto.SHA256}, {nil, crypto.Hash(0)}} {
		if _, err := k.Sign(nil, tt.digest, tt.hash); err == nil || !strings.Contains(err.Error(), "signs SHA-256 digests") {
			t.Errorf("%d bytes of %v: %v", len(tt.digest), tt.hash, err)
		}
	}
	if again, err := d.Transport(); err != nil || again != k {
		t.Errorf("another transport key: %v", err)
	}
}

func TestTLS(t *testing.T) {
	d, _ := newDevice(t)
	k, err := d.Transport()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := k.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := k.TLSCertificate(); err != nil || !bytes.Equal(again.Certificate[0], certificate.Certificate[0]) {
		t.Errorf("the certificate is made again: %v", err)
	}
	server, client := net.Pipe()
	defer client.Close()
	c := tls.Client(client, &tls.Config{Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true})
	done := make(chan error)
	go func() { done <- c.Handshake() }()
	s := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13})
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	peer := s.ConnectionState().PeerCertificates[0]
	if !parsed(t, k.PublicArea(), nil).Key().(interface{ Equal(crypto.PublicKey) bool }).Equal(peer.PublicKey) {
		t.Error("the peer saw another key")
	}
	if err := peer.CheckSignature(x509.ECDSAWithSHA256, peer.RawTBSCertificate, peer.Signature); err != nil {
		t.Error(err)
	}
	if peer.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || peer.Subject.CommonName != "quicklime transport key" {
		t.Errorf("certificate of %v for %v", peer.Subject, peer.ExtKeyUsage)
	}
}
