package verifier_test

import (
	"crypto/tls"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quicklime/verifier"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
	"quicklime/wire/wiretest"
)

// liar is an enrolled machine whose agent sends whatever a test wants.
type liar struct {
	*host
	certificate tls.Certificate
}

func (in *installation) newLiar(label string) liar {
	in.t.Helper()
	h := in.newHost(label)
	h.enrol()
	transport, err := h.device.Transport()
	if err != nil {
		in.t.Fatal(err)
	}
	certificate, err := transport.TLSCertificate()
	if err != nil {
		in.t.Fatal(err)
	}
	return liar{h, certificate}
}

// dial connects and opens the stream, without this project's client.
func (l liar) dial() (*quic.Conn, *quic.Stream) {
	l.in.t.Helper()
	q, err := quic.DialAddr(l.in.t.Context(), l.in.addr, &tls.Config{
		NextProtos: []string{wire.ALPNAttest}, Certificates: []tls.Certificate{l.certificate}, InsecureSkipVerify: true,
	}, nil)
	if err != nil {
		l.in.t.Fatal(err)
	}
	s, err := q.OpenStream()
	if err != nil {
		l.in.t.Fatal(err)
	}
	return q, s
}

// says sends bytes after honest messages have been answered, ends the stream and
// returns the code that the verifier closes with.
func (l liar) says(b []byte, honest ...wire.Message) channel.Code {
	l.in.t.Helper()
	q, s := l.dial()
	defer q.CloseWithError(0, "")
	s.SetDeadline(time.Now().Add(30 * time.Second))
	for _, m := range honest {
		if _, err := s.Write(frame(l.in.t, m)); err != nil {
			l.in.t.Fatal(err)
		}
		if _, err := wire.ReadFrame(s); err != nil {
			l.in.t.Fatal(err)
		}
	}
	s.Write(b)
	s.Close()
	return closed(l.in.t, s)
}

// closed reads to the end of a connection, and returns the code of it.
func closed(t testing.TB, s *quic.Stream) channel.Code {
	t.Helper()
	_, err := io.Copy(io.Discard, s)
	end, ok := errors.AsType[*quic.ApplicationError](err)
	if !ok || !end.Remote {
		t.Fatalf("the connection ended with %v, want that the verifier closes it", err)
	}
	return channel.Code(end.ErrorCode)
}

func frame(t testing.TB, m wire.Message) []byte {
	t.Helper()
	b, err := wire.AppendFrame(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An enrolled machine that sends what is no message of the protocol, or half of
// one, loses its connection, costs little and keeps no other from attesting.
func TestI04_HostileMessagesOfAnEnrolledMachine(t *testing.T) {
	in := newInstallation(t, func(*verifier.Config) {})
	honest := in.newHost("honest")
	honest.enrol()
	honest.run()
	honest.attested()
	evil := in.newLiar("evil")
	var before runtime.MemStats
	runtime.ReadMemStats(&before)

	hello := wire.Hello{Version: wire.ProtocolVersion, Software: "test", Banks: []pcr.Bank{pcr.SHA256}, Aggregate: pcr.SHA256}
	evidence := wire.Evidence{Envelope: []byte{1}, PCRs: [][]byte{make([]byte, 32)}, IMA: wire.Span{Count: 1, Bytes: wire.MaxList}}
	for _, f := range wiretest.Hostile(t, hello) {
		if got := evil.says(f.Bytes); got != channel.CodeProtocol {
			t.Errorf("first %s: closed with %v", f.Name, got)
		}
	}
	for _, f := range wiretest.Hostile(t, evidence) {
		if got := evil.says(f.Bytes, hello); got != channel.CodeProtocol {
			t.Errorf("after Welcome %s: closed with %v", f.Name, got)
		}
	}
	second := in.newLiar("second") // one machine begins 60 sessions a minute
	for _, cut := range wiretest.Cuts(t, hello) {
		if got := second.says(cut); got != channel.CodeProtocol {
			t.Errorf("Hello cut after %d bytes: closed with %v", len(cut), got)
		}
	}
	for name, m := range map[string]wire.Message{
		"Hello twice":                     hello,
		"Proof":                           wire.Proof{HMAC: make([]byte, 32)},
		"Challenge":                       wire.Challenge{Nonce: make([]byte, wire.NonceSize), Within: 5000},
		"Refused":                         wire.Refused{Why: wire.RefusedToken},
		"evidence whose list never comes": evidence,
	} {
		if got := second.says(frame(t, m), hello); got != channel.CodeProtocol {
			t.Errorf("after Welcome %s: closed with %v", name, got)
		}
	}

	var after runtime.MemStats
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<30 {
		t.Errorf("%d MiB were allocated because a length said so", n>>20)
	}
	if s := in.log.String(); !strings.Contains(s, evil.id[:12]) || !strings.Contains(s, "malformed message: frame of 4294967295 bytes, limit is 32768") {
		t.Errorf("the log does not say who sent what:\n%s", s)
	}
	honest.measureFile("/after/it")
	honest.attested()
}

// A message that comes in drops, and evidence whose list does not come at all,
// keep nobody else waiting; the first ends within wire.FrameTimeout.
func TestI08_SlowMessagesOfAnEnrolledMachine(t *testing.T) {
	t.Parallel()
	in := newInstallation(t, func(*verifier.Config) {})
	honest := in.newHost("honest")
	honest.enrol()
	slow, stuck := in.newLiar("slow"), in.newLiar("stuck")
	hello := frame(t, wire.Hello{Version: wire.ProtocolVersion, Software: "test", Banks: []pcr.Bank{pcr.SHA256}, Aggregate: pcr.SHA256})

	q, s := slow.dial()
	defer q.CloseWithError(0, "")
	go func() {
		for _, b := range hello {
			if _, err := s.Write([]byte{b}); err != nil {
				return
			}
			// Some bytes must come before the deadline, which they may not put off,
			// and some after it; on a loaded machine more of them come after it.
			time.Sleep(wire.FrameTimeout / 10)
		}
	}()
	q2, s2 := stuck.dial()
	defer q2.CloseWithError(0, "")
	s2.Write(hello)
	if _, err := wire.ReadFrame(s2); err != nil {
		t.Fatal(err)
	}
	s2.Write(frame(t, wire.Evidence{Envelope: []byte{1}, PCRs: [][]byte{make([]byte, 32)}, IMA: wire.Span{Count: 1, Bytes: wire.MaxList}}))

	honest.run()
	honest.attested()
	s.SetReadDeadline(time.Now().Add(6 * wire.FrameTimeout))
	if got := closed(t, s); got != channel.CodeProtocol {
		t.Errorf("a message in drops: closed with %v", got)
	}
	honest.measureFile("/meanwhile")
	honest.attested()
	in.logs("deadline exceeded")
}
