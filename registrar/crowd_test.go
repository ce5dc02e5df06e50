package registrar_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pki"
)

// stranger is a certificate that anybody can make.
func stranger(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestI08_OneHostCannotTakeAllPlaces(t *testing.T) {
	in := newInstallation(t)
	ca, err := pki.Open(in.cfg.PKIDir)
	if err != nil {
		t.Fatal(err)
	}
	connect := func() *channel.Conn {
		c, err := channel.Dial(t.Context(), channel.DialConfig{
			Addr: in.at.Registration.String(), ALPN: wire.ALPNRegister, Exporter: wire.ExporterRegister,
			ServerName: "registrar.test", CAPin: ca.Pin(), Certificate: stranger(t),
		})
		if closed, ok := errors.AsType[*channel.CloseError](err); ok && closed.Code == channel.CodeBusy {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(channel.CodeDone, "") })
		return c
	}
	for i := range 100 {
		if connect() == nil {
			t.Fatalf("connection %d of one address is one too many", i+1)
		}
	}
	eventually(t, "one too many from one address", func() bool { return connect() == nil })

	// Another address is answered all the same.
	udp, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	q, err := quic.Dial(t.Context(), udp, in.at.Registration, &tls.Config{
		NextProtos: []string{wire.ALPNRegister}, Certificates: []tls.Certificate{stranger(t)}, InsecureSkipVerify: true,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer q.CloseWithError(0, "")
	s, err := q.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte{0xff, 0, 0, 0, 1, 0})
	_, err = s.Read(make([]byte, 1))
	if closed, ok := errors.AsType[*quic.ApplicationError](err); !ok || channel.Code(closed.ErrorCode) != channel.CodeProtocol {
		t.Errorf("another address: %v, want that its nonsense was read", err)
	}
}
