package agent

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quicklime/wire"
	"quicklime/wire/pki/pkitest"
	"quicklime/wire/wiretest"
)

// middle is somebody in between, who keeps what he learns.
type middle struct {
	addr net.Addr

	mu      sync.Mutex
	tried   int    // handshakes
	clients int    // whose certificate came
	heard   []byte // on streams
}

// listen takes the place of a server.
func listen(t *testing.T, alpn string, certificate tls.Certificate) *middle {
	t.Helper()
	m := &middle{}
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{
		NextProtos: []string{alpn}, ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			m.note(func() { m.tried++ })
			return &certificate, nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			m.note(func() { m.clients += len(s.PeerCertificates) })
			return nil
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.addr = l.Addr()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			q, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			serving.Go(func() { m.hear(q) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return m
}

func (m *middle) note(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *middle) hear(q *quic.Conn) {
	defer q.CloseWithError(0, "")
	ctx, cancel := context.WithTimeout(q.Context(), 2*time.Second)
	defer cancel()
	s, err := q.AcceptStream(ctx)
	if err != nil {
		return
	}
	s.SetReadDeadline(time.Now().Add(2 * time.Second))
	b, _ := io.ReadAll(s)
	m.note(func() { m.heard = append(m.heard, b...) })
}

// learned expects that somebody came and told nothing.
func (m *middle) learned(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tried == 0 || m.clients > 0 || len(m.heard) > 0 {
		t.Errorf("of %d handshakes he learned %d certificates and %d bytes", m.tried, m.clients, len(m.heard))
	}
}

// impostors are those of the installation's server.
func (i installation) impostors() map[string]tls.Certificate {
	i.t.Helper()
	server, err := i.ca.Server("server", []string{serverName})
	if err != nil {
		i.t.Fatal(err)
	}
	c, err := server.TLSCertificate()
	if err != nil {
		i.t.Fatal(err)
	}
	return pkitest.Impostors(i.t, i.ca.Certificate(), c.Certificate, serverName)
}

// The token's secret does not leave for a registrar that is none of the token's.
func TestI09_JoinTellsNothingToSomebodyInBetween(t *testing.T) {
	j := newJoining(t, wire.OutcomeNew, "")
	for name, certificate := range j.impostors() {
		m := listen(t, wire.ALPNRegister, certificate)
		token := j.token
		token.Registrar = at(m.addr)
		text, err := token.Format()
		if err != nil {
			t.Fatal(err)
		}
		got := call(j.config, text, "join")
		if got.code != 1 || !strings.Contains(got.stderr, "hint: see that the token is of this installation") {
			t.Errorf("a certificate %s: %+v", name, got)
		}
		m.learned(t)
		if _, err := os.Stat(filepath.Join(j.state, "membership.json")); err == nil {
			t.Errorf("a certificate %s: the machine has joined", name)
		}
	}
	if got := call(j.config, j.text, "join"); got.code != 0 {
		t.Errorf("the registrar of the token, afterwards: %+v", got)
	}
}

// Nor does evidence, nor the transport key's certificate, for a verifier that is
// none of the membership's.
func TestI09_RunTellsNothingToSomebodyInBetween(t *testing.T) {
	i := newInstallation(t)
	h := newHost(t)
	for name, certificate := range i.impostors() {
		m := listen(t, wire.ALPNAttest, certificate)
		member, err := readMembership(h.cfg.membershipFile())
		if err != nil {
			t.Fatal(err)
		}
		member.CAPin, member.Verifier = i.ca.Pin(), at(m.addr)
		if err := writeMembership(h.cfg.membershipFile(), member); err != nil {
			t.Fatal(err)
		}
		var log wiretest.Log
		h.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		stop := h.run()
		for late := time.Now().Add(patience); !strings.Contains(log.String(), "the session ended"); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("a certificate %s: the agent says\n%s", name, log.String())
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if s := log.String(); !strings.Contains(s, "server certificate") && !strings.Contains(s, "tls: invalid signature by the server certificate") {
			t.Errorf("a certificate %s: the agent says\n%s", name, s)
		}
		m.learned(t)
	}
}
