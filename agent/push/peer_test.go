package push

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm"
)

// peer is one session, seen from the verifier.
type peer struct {
	*verifier
	conn  *channel.Conn
	hello wire.Hello
	turn  uint64 // for nonces
}

// accept waits for the next session and its Hello.
func (v *verifier) accept() *peer {
	v.t.Helper()
	select {
	case c := <-v.conns:
		p := &peer{verifier: v, conn: c}
		hello, ok := p.receive().(wire.Hello)
		if !ok {
			v.t.Fatal("the session does not begin with Hello")
		}
		p.hello = hello
		return p
	case <-time.After(patience):
		v.t.Fatal("no session")
		return nil
	}
}

// receive returns the next message that says something.
func (p *peer) receive() wire.Message {
	p.t.Helper()
	for {
		m, err := p.conn.Receive(patience)
		if err != nil {
			p.t.Fatal(err)
		}
		if m.Type() != wire.TypeAlive {
			return m
		}
	}
}

func (p *peer) send(m wire.Message) {
	p.t.Helper()
	if err := p.conn.Send(m); err != nil {
		p.t.Fatal(err)
	}
}

// nonce returns one that this session has not seen.
func (p *peer) nonce() []byte {
	p.turn++
	return binary.BigEndian.AppendUint64(make([]byte, wire.NonceSize-8), p.turn)
}

// welcome sends the usual Welcome and returns its nonce.
func (p *peer) welcome(resume uint64, wantBoot bool) []byte {
	p.t.Helper()
	w := wire.Welcome{
		Version: wire.ProtocolVersion, Nonce: p.nonce(), Selection: selection, IMABank: pcr.SHA256,
		Resume: at(resume), WantBoot: wantBoot, MaxList: wire.MaxList, Session: 1,
	}
	p.send(w)
	return w.Nonce
}

func at(entries uint64) wire.Resume { return wire.Resume{Epoch: make([]byte, 32), Entries: entries} }

// accepted sends a verdict that took evidence up to entry n, and returns its
// nonce.
func (p *peer) accepted(n uint64) []byte {
	p.t.Helper()
	v := wire.Verdict{Accepted: true, Trust: wire.Trusted, Nonce: p.nonce(), Resume: at(n)}
	p.send(v)
	return v.Nonce
}

// rejected sends a verdict that took nothing, and returns its nonce.
func (p *peer) rejected(reason wire.FailureID, resume uint64, wantBoot bool) []byte {
	p.t.Helper()
	v := wire.Verdict{Trust: wire.Untrusted, Reason: reason, Nonce: p.nonce(), Resume: at(resume), WantBoot: wantBoot}
	p.send(v)
	return v.Nonce
}

// challenge sends a challenge and returns its nonce.
func (p *peer) challenge() []byte {
	p.t.Helper()
	c := wire.Challenge{Nonce: p.nonce(), Within: 5000}
	p.send(c)
	return c.Nonce
}

// got is evidence as a test compares it.
type got struct {
	Trigger  wire.Trigger
	Nonce    []byte
	First    uint64
	Count    uint64
	Boot     string
	Systemd  string
	Padded   bool
	Replays  bool // the entries sent are on the way to the PCR that is quoted
	bytes    []byte
	pcr10    []byte
	attested tpm.Attest
}

// evidence receives evidence, whose quote must cover the PCRs beside it. before
// is the state of the list before its first entry.
func (p *peer) evidence(before ima.State) got {
	p.t.Helper()
	e, ok := p.receive().(wire.Evidence)
	if !ok {
		p.t.Fatal("no evidence")
	}
	list, err := io.ReadAll(p.conn.Raw(e.IMA.Bytes, patience))
	if err != nil {
		p.t.Fatal(err)
	}
	boot, err := io.ReadAll(p.conn.Raw(e.Boot, patience))
	if err != nil {
		p.t.Fatal(err)
	}
	systemd, err := io.ReadAll(p.conn.Raw(e.Systemd, patience))
	if err != nil {
		p.t.Fatal(err)
	}
	o, err := envelope.Open(e.Envelope, p.ak, p.id, p.conn.Exporter())
	if err != nil {
		p.t.Fatal(err)
	}
	values, err := pcr.NewValues(selection, e.PCRs)
	if err != nil {
		p.t.Fatal(err)
	}
	if !bytes.Equal(values.Digest(p.ak.SigningHash()), o.Attest().PCRDigest) {
		p.t.Fatal("the quote does not cover the PCR values")
	}
	pcr10, _ := values.Get(pcr.SHA256, pcr.IMA)
	g := got{
		Trigger: o.Payload().Trigger, Nonce: o.Payload().Nonce, First: e.IMA.First, Count: e.IMA.Count,
		Boot: string(boot), Systemd: string(systemd), Padded: e.IMA.Padded, bytes: list, pcr10: pcr10, attested: o.Attest(),
	}
	if r, err := ima.Replay(before, list); err == nil {
		to := r.To()
		g.Replays = bytes.Equal(to.PCR(), pcr10) && to.Entries() == g.First+g.Count
	}
	return g
}

// after returns the state of the list after n entries.
func (m *machine) after(n uint64) ima.State {
	m.t.Helper()
	list, err := os.ReadFile(m.list)
	if err != nil {
		m.t.Fatal(err)
	}
	s := ima.NewState(pcr.SHA256)
	if m.padded {
		s = s.Pad()
	}
	for s.Entries() < n {
		e, size, err := ima.ParseEntry(list)
		if err != nil {
			m.t.Fatal(err)
		}
		s.Extend(e)
		list = list[size:]
	}
	return s
}

// silent fails the test if the agent says anything for a while.
func (p *peer) silent() {
	p.t.Helper()
	m, err := p.conn.Receive(silence)
	if err == nil && m.Type() == wire.TypeAlive {
		m, err = p.conn.Receive(silence)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("the agent is not silent: %+v, %v", m, err)
	}
}

// closed waits for the agent to close the connection.
func (p *peer) closed(want channel.Code) {
	p.t.Helper()
	if err := p.end(); err == nil || !err.Remote || err.Code != want {
		p.t.Fatalf("the session ended with %v, want %v", err, want)
	}
}

// end waits for the end of the session, past evidence that is under way. It
// returns nil if no side said why.
func (p *peer) end() *channel.CloseError {
	p.t.Helper()
	for {
		m, err := p.conn.Receive(patience)
		if e, ok := m.(wire.Evidence); ok { // the end may come in the middle of it
			_, err = io.Copy(io.Discard, p.conn.Raw(e.IMA.Bytes+e.Boot+e.Systemd, patience))
		}
		if err != nil {
			closed, _ := errors.AsType[*channel.CloseError](err)
			return closed
		}
	}
}
