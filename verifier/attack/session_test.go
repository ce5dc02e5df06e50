package attack_test

import (
	"errors"
	"time"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/envelope"
	"quicklime/wire/jointoken"
	"quicklime/wire/pcr"
)

// session is a session with the verifier that an attack conducts: it says what
// the agent would, until the attack says something else.
type session struct {
	*machine
	conn      *channel.Conn
	welcome   wire.Welcome
	nonce     []byte // for evidence that the machine starts itself
	from      uint64 // entry from which the verifier wants the list
	challenge []byte // nonce of the last challenge
	sent      testimony
}

// connect dials a verifier and says Hello.
func (m *machine) connect(to jointoken.Server, hello wire.Hello) *session {
	m.t.Helper()
	conn, err := channel.Dial(m.t.Context(), m.dialConfig(to))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close(channel.CodeDone, "") })
	k := &session{machine: m, conn: conn}
	if err := conn.Send(hello); err != nil {
		m.t.Fatal(err)
	}
	return k
}

func (m *machine) dialConfig(to jointoken.Server) channel.DialConfig {
	return channel.DialConfig{
		Addr: to.Address, ServerName: to.ServerName, CAPin: m.site.pin,
		ALPN: wire.ALPNAttest, Exporter: wire.ExporterAttest, Certificate: m.certificate,
	}
}

func (m *machine) hello() wire.Hello {
	return wire.Hello{Version: wire.ProtocolVersion, Software: "attack", Boot: m.counters, Banks: m.banks, Entries: uint64(len(m.list)), Aggregate: pcr.SHA256}
}

// dial begins a session.
func (m *machine) dial() *session { m.t.Helper(); return m.dialTo(m.site.attesting) }

func (m *machine) dialTo(to jointoken.Server) *session {
	m.t.Helper()
	k := m.connect(to, m.hello())
	k.awaitWelcome()
	return k
}

func (k *session) awaitWelcome() {
	k.t.Helper()
	k.welcome = receive[wire.Welcome](k)
	k.nonce, k.from = k.welcome.Nonce, k.welcome.Resume.Entries
}

// honest begins a session and shows that the machine is trusted.
func (m *machine) honest() *session {
	m.t.Helper()
	k := m.dial()
	k.send(k.testify(k.nonce))
	if v := k.verdict(); !v.Accepted || v.Trust != wire.Trusted {
		m.t.Fatalf("an honest machine: %+v, %+v", v, m.agent())
	}
	if a := m.agent(); a.Trust != wire.Trusted {
		m.t.Fatalf("an honest machine is %s: %s", a.Trust, a.Reason)
	}
	return k
}

// receive returns the next message that is no challenge.
func receive[M wire.Message](k *session) (m M) {
	k.t.Helper()
	for {
		got, err := k.conn.Receive(patience)
		if err != nil {
			k.t.Fatal(err)
		}
		switch got := got.(type) {
		case M:
			return got
		case wire.Challenge:
			k.challenge = got.Nonce
		default:
			k.t.Fatalf("received a %T, want a %T", got, m)
		}
	}
}

// verdict receives a verdict and does what it says.
func (k *session) verdict() wire.Verdict {
	k.t.Helper()
	v := receive[wire.Verdict](k)
	k.nonce, k.from = v.Nonce, v.Resume.Entries
	return v
}

// closed waits for the verifier to end the connection, which it must do for a
// reason.
func (k *session) closed(want channel.Code) {
	k.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		_, err := k.conn.Receive(time.Until(deadline))
		if err == nil {
			continue
		}
		if closed, ok := errors.AsType[*channel.CloseError](err); !ok || closed.Code != want {
			k.t.Errorf("the verifier ended the session with %v, want %v", err, want)
		}
		return
	}
}

// testimony is evidence with the list behind it. An attack changes it.
type testimony struct {
	envelope []byte
	pcrs     [][]byte
	first    uint64
	count    uint64
	list     []byte
	padded   bool
	boot     []byte // boot log
}

// testify makes the evidence that the agent would send now.
func (k *session) testify(nonce []byte) testimony {
	k.t.Helper()
	return k.over(nonce, k.welcome.Selection)
}

// over is testify with a quote over other PCRs.
func (k *session) over(nonce []byte, sel pcr.Selection) testimony {
	k.t.Helper()
	t := k.listed(k.list[min(k.from, uint64(len(k.list))):])
	t.first, t.boot = k.from, k.log
	t.envelope = k.seal(nonce, k.conn.Exporter(), func(extra []byte) ([]byte, []byte, error) { return k.device.Quote(sel, extra) })
	if v, err := k.device.ReadPCRs(k.welcome.Selection); err != nil {
		k.t.Fatal(err)
	} else {
		t.pcrs = v.Digests()
	}
	return t
}

func (k *session) seal(nonce, exporter []byte, quote envelope.Quoter) []byte {
	k.t.Helper()
	b, err := envelope.Seal(envelope.Payload{Nonce: nonce, AgentID: k.id, Trigger: wire.TriggerGrowth}, k.ak, exporter, quote)
	if err != nil {
		k.t.Fatal(err)
	}
	return b
}

// listed is testimony of entries alone.
func (k *session) listed(entries []ima.Entry) testimony {
	return testimony{first: k.from, count: uint64(len(entries)), list: encode(entries)}
}

func encode(entries []ima.Entry) (b []byte) {
	for _, e := range entries {
		b = e.AppendTo(b)
	}
	return b
}

func (t testimony) message() wire.Evidence {
	return wire.Evidence{Envelope: t.envelope, PCRs: t.pcrs, IMA: wire.Span{First: t.first, Count: t.count, Bytes: uint64(len(t.list)), Padded: t.padded}, Boot: uint64(len(t.boot))}
}

func (k *session) send(t testimony) {
	k.t.Helper()
	k.sent = t
	if err := k.conn.Send(t.message(), t.list, t.boot); err != nil {
		k.t.Fatal(err)
	}
}

// refused sends testimony that proves nothing, for which the session ends.
func (k *session) refused(t testimony) {
	k.t.Helper()
	k.send(t)
	k.closed(channel.CodeProtocol)
}
