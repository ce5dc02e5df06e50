package session_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"time"

	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
	"quicklime/wire/tpm/softtpm"
	"quicklime/wire/wiretest"
)

// agent is a machine and its transport key.
type agent struct {
	*verifiertest.Machine
	v         *verifier
	transport *softtpm.AK
	conn      *channel.Conn
	welcome   wire.Welcome
	after     uint64 // the session that Hello says this one goes on from
}

func (v *verifier) agent() *agent {
	return &agent{Machine: verifiertest.New(v.t), v: v, transport: softtpm.NewTransport(v.t)}
}

func (a *agent) enrol(lowest pcr.Bank, policy string) {
	a.v.t.Helper()
	e := rest.Enrolment{ID: verifiertest.AgentID, EKPublic: []byte("ek"), AKPublic: a.AK.Public.Bytes(), Transport: a.transport.Public.Bytes(), LowestBank: lowest, Policy: policy}
	if err := a.v.store.Enrol(a.v.t.Context(), e); err != nil {
		a.v.t.Fatal(err)
	}
}

// dial connects and says Hello.
func (a *agent) dial(boot wire.BootCounters, banks ...pcr.Bank) {
	t := a.v.t
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.transport.Private.PublicKey, a.transport.Private)
	if err != nil {
		t.Fatal(err)
	}
	a.conn, err = channel.Dial(t.Context(), channel.DialConfig{Addr: a.v.addr, ALPN: wire.ALPNAttest, Exporter: wire.ExporterAttest, ServerName: "localhost", CAPin: a.v.pin,
		Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.transport.Private}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.conn.Close(channel.CodeDone, "") })
	a.Exporter = a.conn.Exporter()
	a.send(wire.Hello{Version: wire.ProtocolVersion, Software: "test", Boot: boot, Banks: banks, Aggregate: pcr.SHA256, After: a.after})
}

func (a *agent) send(m wire.Message, raw ...[]byte) {
	a.v.t.Helper()
	if err := a.conn.Send(m, raw...); err != nil {
		a.v.t.Fatal(err)
	}
}

var patience = wiretest.Patience

// receive returns the next message, which must be an M.
func receive[M wire.Message](a *agent) M {
	a.v.t.Helper()
	m, err := a.conn.Receive(patience)
	if err != nil {
		a.v.t.Fatal(err)
	}
	got, ok := m.(M)
	if !ok {
		a.v.t.Fatalf("received %T %+v", m, m)
	}
	return got
}

// begin connects and takes Welcome.
func (a *agent) begin() {
	a.v.t.Helper()
	a.dial(a.AK.Counters, pcr.SHA1, pcr.SHA256)
	a.welcome = receive[wire.Welcome](a)
	a.Nonce, a.after = a.welcome.Nonce, a.welcome.Session
}

// attest sends the list from an entry on, and returns the verdict, whose nonce is
// the next evidence's.
func (a *agent) attest(first int) wire.Verdict {
	a.v.t.Helper()
	ev, list := a.Evidence(first)
	a.send(ev, list)
	v := receive[wire.Verdict](a)
	a.Nonce = v.Nonce
	return v
}

// closed returns the code with which the verifier closes the connection.
func (a *agent) closed() channel.Code {
	a.v.t.Helper()
	for {
		_, err := a.conn.Receive(patience)
		var closed *channel.CloseError
		if errors.As(err, &closed) {
			return closed.Code
		}
		if err != nil {
			a.v.t.Fatal(err)
		}
	}
}
