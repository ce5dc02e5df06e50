package channel

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"quicklime/wire"
)

// serverName is what every test's server is called.
const serverName = "verifier.example"

// impatient is for tests that wait for a deadline.
var impatient = timing{
	handshake: 5 * time.Second,
	idle:      30 * time.Second,
	keepAlive: 10 * time.Second,
	frame:     200 * time.Millisecond,
	raw:       200 * time.Millisecond,
	linger:    200 * time.Millisecond,
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate for key; without a parent it signs itself.
func issue(t testing.TB, template *x509.Certificate, key crypto.Signer, parent *x509.Certificate, parentKey crypto.Signer) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(time.Hour)
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// authority is a CA and the server it vouches for.
type authority struct {
	pin    [32]byte
	server tls.Certificate
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	caKey, leafKey := newKey(t), newKey(t)
	ca := issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, caKey, nil, nil)
	leaf := issue(t, &x509.Certificate{
		DNSNames: []string{serverName}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, leafKey, ca, caKey)
	return authority{
		pin:    sha256.Sum256(ca.RawSubjectPublicKeyInfo),
		server: tls.Certificate{Certificate: [][]byte{leaf.Raw, ca.Raw}, PrivateKey: leafKey},
	}
}

// selfSigned is a certificate as an agent has it.
func selfSigned(t testing.TB, key crypto.Signer) tls.Certificate {
	t.Helper()
	c := issue(t, &x509.Certificate{}, key, nil, nil)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}

func (a authority) listenConfig() ListenConfig {
	return ListenConfig{
		Addr: "127.0.0.1:0", ALPN: wire.ALPNAttest, Exporter: wire.ExporterAttest,
		Certificate: func() (*tls.Certificate, error) { return &a.server, nil },
	}
}

func (a authority) dialConfig(t testing.TB, addr net.Addr) DialConfig {
	return DialConfig{
		Addr: addr.String(), ALPN: wire.ALPNAttest, Exporter: wire.ExporterAttest,
		ServerName: serverName, CAPin: a.pin, Certificate: selfSigned(t, newKey(t)),
	}
}

// start serves until the test ends or stop is called, which waits for the end.
func start(t testing.TB, cfg ListenConfig, handle func(context.Context, *Conn)) (addr net.Addr, stop func()) {
	t.Helper()
	l, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := l.Serve(ctx, handle); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return l.Addr(), stop
}

func dialTest(t testing.TB, cfg DialConfig) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(CodeDone, "") })
	return c
}

var (
	challenge = wire.Challenge{Nonce: make([]byte, wire.NonceSize), Within: 5000}
	proof     = wire.Proof{HMAC: make([]byte, 32)}
)

// echo answers every message with the same.
func echo(_ context.Context, c *Conn) {
	for {
		m, err := c.Receive(0)
		if err != nil || c.Send(m) != nil {
			return
		}
	}
}
