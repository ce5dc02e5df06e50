package verifier_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quicklime/verifier"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/rest"
)

// halfOpen is how many handshakes the flood begins and leaves.
const halfOpen = 10_000

// Ten thousand handshakes that are begun and left, each from an address of its
// own that answers for itself where it must, and strangers that complete theirs
// and say nothing, put no enrolled machine out: one that is connected stays so,
// one that comes back and one that comes late are served.
func TestI08_TenThousandHalfOpenConnections(t *testing.T) {
	in := newInstallation(t, func(c *verifier.Config) { c.MaxAgents = 2 })
	staying, late := in.newHost("staying"), in.newHost("late")
	staying.enrol()
	late.enrol()
	staying.run()
	since := staying.attested().Last.At

	connections := halfOpen
	if testing.Short() {
		connections = 3000
	}
	in.silentStrangers(30)
	before := memory()
	f := newFlood(t, in.addr)
	f.run(func(n int) bool { return n < connections/2 })
	held, places := memory()-before, f.begun.Load()
	var served atomic.Bool
	var flooding sync.WaitGroup
	flooding.Go(func() { f.run(func(n int) bool { return n < connections/2 || !served.Load() }) })
	defer flooding.Wait()
	defer served.Store(true)

	stop := late.run()
	late.attested()
	staying.measureFile("/during/the/flood")
	if now := staying.attested().Last.At; !now.After(since) {
		t.Errorf("attested at %v, and before the flood at %v", now, since)
	}
	stop()
	late.measureFile("/after/a/restart")
	late.run()
	late.attested()
	served.Store(true)
	flooding.Wait()

	t.Logf("%d begun: %d had to prove their address, %d were let in, %d refused, %d unanswered; half way through %d KB were held for %d",
		f.number.Load(), f.retried.Load(), f.begun.Load(), f.refused.Load(), f.unanswered.Load(), held>>10, places)
	if f.number.Load() < int64(connections) || f.retried.Load() == 0 || f.refused.Load() == 0 {
		t.Error("this was no flood")
	}
	if !strings.Contains(in.log.String(), "clients are turned away") {
		t.Errorf("the operator is told nothing:\n%s", in.log)
	}
	if s := late.log.String(); strings.Contains(s, channel.CodeBusy.String()) {
		t.Errorf("an enrolled machine was turned away:\n%s", s)
	}
	if n := in.sessions(staying.id); n != 1 || !staying.status().Connected {
		t.Errorf("the machine that was connected before has had %d sessions, want one that lives", n)
	}
}

// sessions is how many sessions of an agent the log tells of.
func (in *installation) sessions(id string) (n int) {
	for line := range strings.Lines(in.log.String()) {
		if strings.Contains(line, `"session began"`) && strings.Contains(line, id[:12]) {
			n++
		}
	}
	return n
}

// Connections to the REST API that say nothing, from a few hosts with all that each
// can get, do not keep operators out.
func TestI08_SilentConnectionsToTheAPI(t *testing.T) {
	in := newInstallation(t, func(*verifier.Config) {})
	for i := range 1500 {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 3, 0, byte(1+i%5))}}
		c, err := d.DialContext(t.Context(), "tcp", in.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	client := in.operator("tenant")
	for range 10 {
		client.CloseIdleConnections()
		if got := status(t, client, "GET", "https://"+in.addr+rest.ListAgents.Pattern); got != 200 {
			t.Errorf("an operator: status %d", got)
		}
	}
}

// memory is what the process has in heap and stacks.
func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// silentStrangers connects that many clients with keys of their own, four to an
// address, which say nothing more.
func (in *installation) silentStrangers(n int) {
	t := in.t
	t.Helper()
	server, err := net.ResolveUDPAddr("udp", in.addr)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		udp, err := net.ListenPacket("udp", fmt.Sprintf("127.1.0.%d:0", 1+i/4))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { udp.Close() })
		q, err := quic.Dial(t.Context(), udp, server, &tls.Config{
			NextProtos: []string{wire.ALPNAttest}, Certificates: []tls.Certificate{stranger(t)}, InsecureSkipVerify: true,
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { q.CloseWithError(0, "") })
	}
}

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

// flood begins handshakes and leaves them, for the price of one packet each or, to
// prove an address, two.
type flood struct {
	t      *testing.T
	server *net.UDPAddr
	hello  []byte // a ClientHello (RFC 8446, section 4.1.2)

	number                              atomic.Int64 // of handshakes, and so of addresses
	retried, begun, refused, unanswered atomic.Int64
}

// sourceID is the connection id of every client of the flood; the ClientHello
// repeats it.
var sourceID = []byte("flooding")

func newFlood(t *testing.T, addr string) *flood {
	t.Helper()
	server, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := tls.QUICClient(&tls.QUICConfig{TLSConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{wire.ALPNAttest}, ServerName: "verifier.test",
		CurvePreferences: []tls.CurveID{tls.X25519}, // so that it fits into one packet
	}})
	defer c.Close()
	// initial_source_connection_id (RFC 9000, section 18.2)
	c.SetTransportParameters(append([]byte{0x0f, byte(len(sourceID))}, sourceID...))
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for e := c.NextEvent(); e.Kind != tls.QUICNoEvent; e = c.NextEvent() {
		if e.Kind == tls.QUICWriteData {
			return &flood{t: t, server: server, hello: append([]byte(nil), e.Data...)}
		}
	}
	t.Fatal("no ClientHello")
	return nil
}

// run begins handshakes, each from another address, as long as more says so of how
// many it has begun.
func (f *flood) run(more func(n int) bool) {
	var workers sync.WaitGroup
	first := f.number.Load()
	for range 32 {
		workers.Go(func() {
			for more(int(f.number.Load() - first)) {
				if err := f.begin(f.number.Add(1)); err != nil {
					f.t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
}

// begin begins one handshake, answers a Retry, and goes away.
func (f *flood) begin(number int64) error {
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 2, byte(number>>8), byte(number))})
	if err != nil {
		return err
	}
	defer udp.Close()
	id := make([]byte, 8)
	rand.Read(id)
	var token []byte
	for range 2 {
		packet, err := f.initial(id, token)
		if err != nil {
			return err
		}
		if _, err := udp.WriteTo(packet, f.server); err != nil {
			return err
		}
		answer := make([]byte, 1500)
		udp.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, _, err := udp.ReadFrom(answer)
		switch {
		case err != nil:
			f.unanswered.Add(1)
			return nil
		case answer[0]>>4&3 != 3 && n >= 1200: // ServerHello, padded (RFC 9000, section 14.1)
			f.begun.Add(1)
			return nil
		case answer[0]>>4&3 != 3: // CONNECTION_CLOSE
			f.refused.Add(1)
			return nil
		}
		f.retried.Add(1)
		if id, token, err = parseRetry(answer[:n]); err != nil {
			return err
		}
	}
	return errors.New("a second Retry")
}

// parseRetry reads a Retry packet (RFC 9000, section 17.2.5): flags u8 | version
// u32 | destination id u8 + bytes | source id u8 + bytes | token | tag 16.
func parseRetry(b []byte) (id, token []byte, err error) {
	at := 5
	for range 2 {
		if len(b) < at+1 || len(b) < at+1+int(b[at])+16 {
			return nil, nil, errors.New("a Retry that is cut")
		}
		id = b[at+1 : at+1+int(b[at])]
		at += 1 + int(b[at])
	}
	return id, b[at : len(b)-16], nil
}

// initial makes a client's first packet (RFC 9000, section 17.2.2; RFC 9001,
// section 5), with the ClientHello in a CRYPTO frame.
func (f *flood) initial(id, token []byte) ([]byte, error) {
	const size, tag = 1200, 16
	varint := func(n int) []byte { return binary.BigEndian.AppendUint16(nil, 0x4000|uint16(n)) }
	header := []byte{0xc3, 0, 0, 0, 1} // long, Initial, a packet number of four bytes; version 1
	header = append(append(header, byte(len(id))), id...)
	header = append(append(header, byte(len(sourceID))), sourceID...)
	header = append(append(header, varint(len(token))...), token...)
	header = append(header, varint(size-len(header)-2)...)
	number := len(header)
	header = append(header, 0, 0, 0, 0)
	payload := append(append([]byte{6, 0}, varint(len(f.hello))...), f.hello...)
	if len(header)+len(payload)+tag > size {
		return nil, errors.New("the ClientHello is too long")
	}
	payload = append(payload, make([]byte, size-tag-len(header)-len(payload))...)

	secret, err := hkdf.Extract(sha256.New, id, initialSalt)
	if err != nil {
		return nil, err
	}
	secret = expand(secret, "client in", 32)
	aead, err := cipher.NewGCM(block(expand(secret, "quic key", 16)))
	if err != nil {
		return nil, err
	}
	packet := aead.Seal(header, expand(secret, "quic iv", 12), payload, header) // packet number 0
	mask := make([]byte, 16)
	block(expand(secret, "quic hp", 16)).Encrypt(mask, packet[number+4:number+20])
	packet[0] ^= mask[0] & 0xf
	for i := range 4 {
		packet[number+i] ^= mask[1+i]
	}
	return packet, nil
}

// initialSalt is that of QUIC version 1 (RFC 9001, section 5.2).
var initialSalt = []byte{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a}

// expand is HKDF-Expand-Label (RFC 8446, section 7.1) with an empty context.
func expand(secret []byte, label string, n int) []byte {
	info := append([]byte{0, byte(n), byte(6 + len(label))}, "tls13 "+label+"\x00"...)
	b, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err) // the sizes are constants
	}
	return b
}

func block(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the size is a constant
	}
	return b
}
