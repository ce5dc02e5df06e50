package verifier_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
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

// Connections to the REST API that say nothing, from a few hosts with all that each
// can get, do not keep operators out.
func TestI08_SilentConnectionsToTheAPI(t *testing.T) {
	in := newInstallation(t, func(*verifier.Config) {})
	silent := make([]net.Conn, 1500)
	for i := range silent {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 3, 0, byte(1+i%5))}}
		c, err := d.DialContext(t.Context(), "tcp", in.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		silent[i] = c
	}
	client := in.operator("tenant")
	for range 10 {
		client.CloseIdleConnections()
		if got := status(t, client, "GET", "https://"+in.addr+rest.ListAgents.Pattern); got != 200 {
			t.Errorf("an operator: status %d", got)
		}
	}
	// An operator's connection came after the silent ones, so that of each of them
	// it has been decided. wire/daemon has places for 1000.
	if open := open(silent); open == 0 || open > 1000 {
		t.Errorf("%d of %d silent connections are open, want some and not all", open, len(silent))
	}
}

// open is how many of the connections nobody has hung up on.
func open(silent []net.Conn) int {
	var n atomic.Int64
	var reading sync.WaitGroup
	for _, c := range silent {
		reading.Go(func() {
			c.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				n.Add(1)
			}
		})
	}
	reading.Wait()
	return int(n.Load())
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
func stranger(t testing.TB) tls.Certificate {
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
	hello  []byte

	number                              atomic.Int64 // of handshakes, and so of addresses
	retried, begun, refused, unanswered atomic.Int64
}

func newFlood(t *testing.T, addr string) *flood {
	t.Helper()
	server, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return &flood{t: t, server: server, hello: clientHello(t)}
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

// answerTime is what a loaded machine may need to answer one of the few packets that
// are under way at a time; next to none are lost.
const answerTime = 3 * time.Second

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
		packet, err := initial(f.hello, id, token)
		if err != nil {
			return err
		}
		if _, err := udp.WriteTo(packet, f.server); err != nil {
			return err
		}
		answer := make([]byte, 1500)
		udp.SetReadDeadline(time.Now().Add(answerTime))
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
