package registrar_test

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/rest"
	"quicklime/wire/wiretest"
)

// says connects with a certificate, sends honest messages and waits for the answer
// of each, then bytes, and returns the code that the registrar closes with.
func (in *installation) says(certificate tls.Certificate, b []byte, honest func(exporter []byte) wire.Message) channel.Code {
	t := in.t
	t.Helper()
	q, err := quic.DialAddr(t.Context(), in.at.Registration.String(), &tls.Config{
		NextProtos: []string{wire.ALPNRegister}, Certificates: []tls.Certificate{certificate}, InsecureSkipVerify: true,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer q.CloseWithError(0, "")
	s, err := q.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(30 * time.Second))
	if honest != nil {
		state := q.ConnectionState().TLS
		exporter, err := state.ExportKeyingMaterial(wire.ExporterRegister, nil, wire.ExporterSize)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := wire.AppendFrame(nil, honest(exporter))
		if err != nil {
			t.Fatal(err)
		}
		s.Write(frame)
		if m, err := wire.ReadFrame(s); err != nil {
			t.Fatal(err)
		} else if _, ok := m.(wire.Credential); !ok {
			t.Fatalf("the registrar answers with %+v", m)
		}
	}
	s.Write(b)
	s.Close()
	_, err = io.Copy(io.Discard, s)
	end, ok := errors.AsType[*quic.ApplicationError](err)
	if !ok || !end.Remote {
		t.Fatalf("the connection ended with %v, want that the registrar closes it", err)
	}
	return channel.Code(end.ErrorCode)
}

// Whoever sends what is no message of the protocol, or half of one, before a
// challenge or after it, loses the connection, and the next machine joins.
func TestI04_HostileMessagesOfStrangers(t *testing.T) {
	m := newMachine(t)
	in := newInstallation(t, m)
	token := in.token(rest.JoinTokenRequest{})
	unknown := stranger(t)
	register := wire.Register{
		Version: wire.ProtocolVersion, Software: "test", TokenID: "0123456789abcdef", TokenSecret: make([]byte, 32),
		EKPublic: []byte{1}, AKPublic: []byte{1}, Transport: []byte{1}, Certify: []byte{1}, Signature: []byte{1},
	}
	for _, f := range wiretest.Hostile(t, register) {
		if got := in.says(unknown, f.Bytes, nil); got != channel.CodeProtocol {
			t.Errorf("%s: closed with %v", f.Name, got)
		}
	}
	for _, cut := range wiretest.Cuts(t, register) {
		if got := in.says(unknown, cut, nil); got != channel.CodeProtocol {
			t.Errorf("Register cut after %d bytes: closed with %v", len(cut), got)
		}
	}
	for _, id := range []string{"0123456789ABCDEF", "0123456789abcde", "../../etc/passwd", "0123456789abcdef0"} {
		malformed := register
		malformed.TokenID = id
		if got := in.says(unknown, wiretest.Unchecked(t, malformed), nil); got != channel.CodeProtocol {
			t.Errorf("token id %q: closed with %v", id, got)
		}
	}
	if s := in.log.String(); strings.Count(s, "malformed message") < 20 || !strings.Contains(s, `"level":"WARN","msg":"no registration"`) {
		t.Errorf("the log does not tell of it:\n%s", s)
	}

	a := in.attempt(m, token)
	for _, f := range wiretest.Hostile(t, wire.Proof{HMAC: make([]byte, 32)}) {
		if got := in.says(a.certificate, f.Bytes, func(e []byte) wire.Message { return a.register(e) }); got != channel.CodeProtocol {
			t.Errorf("in the place of a proof, %s: closed with %v", f.Name, got)
		}
	}
	in.join(m, token, wire.OutcomeNew)
}
