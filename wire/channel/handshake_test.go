package channel

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"quicklime/wire"
)

// refused dials and expects that the handshake fails, at the client or right
// after it.
func refused(t *testing.T, cfg DialConfig) error {
	t.Helper()
	c, err := Dial(t.Context(), cfg)
	if err != nil {
		return err
	}
	defer c.Close(CodeDone, "")
	c.Send(challenge)
	m, err := c.Receive(5 * time.Second)
	if err == nil {
		t.Fatalf("connected, and got %v", m)
	}
	return err
}

func TestServerIsPinned(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	addr, _ := start(t, a.listenConfig(), echo)
	tests := []struct {
		name   string
		change func(*DialConfig)
		want   string
	}{
		{"pin of another CA", func(c *DialConfig) { c.CAPin = other.pin }, "pinned"},
		{"zero pin", func(c *DialConfig) { c.CAPin = [32]byte{} }, "pinned"},
		{"other name", func(c *DialConfig) { c.ServerName = "registrar.example" }, "registrar.example"},
		{"no name", func(c *DialConfig) { c.ServerName = "" }, "name"},
		{"other protocol", func(c *DialConfig) { c.ALPN = wire.ALPNRegister }, "another protocol or version"},
		{"prefix of the protocol", func(c *DialConfig) { c.ALPN = "quicklime-attest" }, "another protocol or version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := a.dialConfig(t, addr)
			tt.change(&cfg)
			c, err := Dial(t.Context(), cfg)
			if err == nil {
				c.Close(CodeDone, "")
				t.Fatal("connected")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "CRYPTO_ERROR") {
				t.Errorf("error %q is in QUIC's words", err)
			}
		})
	}
}

func TestI01_ClientIsOneP256Key(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), echo)
	tests := []struct {
		name string
		cert func(t *testing.T) tls.Certificate
		want error
	}{
		{"none", func(*testing.T) tls.Certificate { return tls.Certificate{} },
			tls.AlertError(116)}, // certificate_required
		{"RSA", func(t *testing.T) tls.Certificate {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			return selfSigned(t, must(t, key, err))
		}, notEnrolled},
		{"P-384", func(t *testing.T) tls.Certificate {
			key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			return selfSigned(t, must(t, key, err))
		}, notEnrolled},
		{"two certificates", func(t *testing.T) tls.Certificate {
			c := selfSigned(t, newKey(t))
			c.Certificate = append(c.Certificate, selfSigned(t, newKey(t)).Certificate...)
			return c
		}, notEnrolled},
		{"key of another", func(t *testing.T) tls.Certificate {
			c := selfSigned(t, newKey(t))
			c.PrivateKey = imposter{newKey(t), c.PrivateKey.(crypto.Signer).Public()}
			return c
		}, tls.AlertError(51)}, // decrypt_error
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := a.dialConfig(t, addr)
			cfg.Certificate = tt.cert(t)
			if err := refused(t, cfg); !strings.HasSuffix(err.Error(), tt.want.Error()) {
				t.Errorf("error %q, want %q", err, tt.want)
			}
		})
	}
}

// notEnrolled is all that a client hears whose key is not admitted.
var notEnrolled = &CloseError{Code: CodeNotEnrolled, Remote: true}

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// imposter claims a public key that it has not the private key of.
type imposter struct {
	crypto.Signer
	claimed crypto.PublicKey
}

func (i imposter) Public() crypto.PublicKey { return i.claimed }

// The handshake that Admit refuses fails, and what Admit found stays inside.
func TestI09_AdmitRefuses(t *testing.T) {
	a := newAuthority(t)
	cfg := a.listenConfig()
	asked := make(chan Peer, 1)
	cfg.Admit = func(p Peer) (bool, error) {
		asked <- p
		return true, errors.New("enrolment was deleted")
	}
	addr, _ := start(t, cfg, func(context.Context, *Conn) { t.Error("handler called") })
	err := refused(t, a.dialConfig(t, addr))
	closed, ok := errors.AsType[*CloseError](err)
	if !ok || *closed != *notEnrolled {
		t.Errorf("error %v, want %s by the peer and nothing else", err, CodeNotEnrolled)
	}
	if strings.Contains(err.Error(), "deleted") {
		t.Errorf("the client learned %q", err)
	}
	if p := <-asked; p.SPKI == [32]byte{} || p.Key == nil || !p.Addr.IsValid() {
		t.Errorf("Admit was asked about %+v", p)
	}
}

func TestNoResumption(t *testing.T) {
	a := newAuthority(t)
	addr, _ := start(t, a.listenConfig(), echo)
	cfg := a.dialConfig(t, addr)
	cache := &countingCache{ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	conf := cfg.tlsConfig()
	conf.SessionTicketsDisabled = false
	conf.ClientSessionCache = cache
	for range 2 {
		q := dialQUIC(t, addr, conf)
		s, err := q.OpenStream()
		c := must(t, &Conn{quic: q, stream: s, timing: usual}, err)
		if err := c.Send(challenge); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Receive(0); err != nil {
			t.Fatal(err)
		}
		if q.ConnectionState().TLS.DidResume {
			t.Error("a connection was resumed")
		}
		c.Close(CodeDone, "")
	}
	if cache.put {
		t.Error("the server sent a session ticket")
	}
}

type countingCache struct {
	tls.ClientSessionCache
	put bool
}

func (c *countingCache) Put(key string, s *tls.ClientSessionState) {
	c.put = c.put || s != nil
	c.ClientSessionCache.Put(key, s)
}

// One key has one hash: an encoding of it that only a lax parser takes is
// another hash for the same key.
func TestI01_CanonicalKey(t *testing.T) {
	key := newKey(t)
	leaf, err := x509.ParseCertificate(selfSigned(t, key).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	addr := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
	if _, err := clientPeer([]*x509.Certificate{leaf}, addr); err != nil {
		t.Error(err)
	}
	leaf.RawSubjectPublicKeyInfo = append(slices.Clone(leaf.RawSubjectPublicKeyInfo), 0)
	if p, err := clientPeer([]*x509.Certificate{leaf}, addr); err == nil {
		t.Errorf("accepted as %x", p.SPKI)
	}
}

func TestDialUnanswered(t *testing.T) {
	mute, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	cfg := newAuthority(t).dialConfig(t, mute.LocalAddr())
	cfg.timing = impatient
	cfg.timing.handshake = 50 * time.Millisecond
	_, err = Dial(t.Context(), cfg)
	want := "no answer from " + cfg.Addr + " (is UDP open?)"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	cfg.timing = timing{}
	_, err = Dial(ctx, cfg)
	if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %q and the context's", err, want)
	}
}

func TestDialBadAddress(t *testing.T) {
	for _, addr := range []string{"", "127.0.0.1", "127.0.0.1:no-such-service", "127.0.0.1:65536"} {
		cfg := DialConfig{Addr: addr}
		if c, err := Dial(t.Context(), cfg); err == nil {
			c.Close(CodeDone, "")
			t.Errorf("%q: connected", addr)
		}
	}
}
