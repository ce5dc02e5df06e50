package agent

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/jointoken"
	"quicklime/wire/pcr"
	"quicklime/wire/pki"
	"quicklime/wire/tpm"
)

const serverName = "server.test"

// installation is a CA and the servers under it.
type installation struct {
	t  *testing.T
	ca *pki.Authority
}

func newInstallation(t *testing.T) installation {
	t.Helper()
	ca, err := pki.Open(t.TempDir() + "/pki")
	if err != nil {
		t.Fatal(err)
	}
	return installation{t, ca}
}

// listen serves until the test ends.
func (i installation) listen(alpn, exporter string, handle func(context.Context, *channel.Conn)) net.Addr {
	i.t.Helper()
	server, err := i.ca.Server("server", []string{serverName})
	if err != nil {
		i.t.Fatal(err)
	}
	l, err := channel.Listen(channel.ListenConfig{Addr: "127.0.0.1:0", ALPN: alpn, Exporter: exporter, Certificate: server.TLSCertificate})
	if err != nil {
		i.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Serve(ctx, handle) }()
	i.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			i.t.Error(err)
		}
	})
	return l.Addr()
}

func at(a net.Addr) jointoken.Server {
	return jointoken.Server{Address: a.String(), ServerName: serverName}
}

// registrar answers every registration with the outcome, or refuses it. It says
// on registered what it was told.
func (i installation) registrar(outcome wire.Outcome, why wire.Refusal) (addr net.Addr, registered <-chan wire.Register) {
	told := make(chan wire.Register, 10)
	addr = i.listen(wire.ALPNRegister, wire.ExporterRegister, func(_ context.Context, c *channel.Conn) {
		m, err := c.Receive(0)
		if err != nil {
			i.t.Error(err)
			return
		}
		r := m.(wire.Register)
		told <- r
		if why != "" {
			c.Send(wire.Refused{Why: why})
			return
		}
		if err := activate(c, r, outcome); err != nil {
			i.t.Error(err)
		}
	})
	return addr, told
}

// activate has the TPM open a credential, as registrar/credential specifies.
func activate(c *channel.Conn, r wire.Register, outcome wire.Outcome) error {
	ek, err := tpm.ParsePublic(r.EKPublic)
	if err != nil {
		return err
	}
	ak, err := tpm.ParsePublic(r.AKPublic)
	if err != nil {
		return err
	}
	secret := bytes.Repeat([]byte{7}, 32)
	area := ek.Area()
	encapsulate, err := tpm2.ImportEncapsulationKey(&area)
	if err != nil {
		return err
	}
	object, encrypted, err := tpm2.CreateCredential(rand.Reader, encapsulate, ak.Name(), secret)
	if err != nil {
		return err
	}
	credential := wire.Credential{Object: object, Secret: encrypted}
	if err := c.Send(credential); err != nil {
		return err
	}
	m, err := c.Receive(wire.FrameTimeout)
	if err != nil {
		return err
	}
	transcript := sha256.New()
	for _, m := range []wire.Message{r, credential} {
		frame, err := wire.AppendFrame(nil, m)
		if err != nil {
			return err
		}
		transcript.Write(frame)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(wire.ALPNRegister + " proof"))
	mac.Write(transcript.Sum(nil))
	mac.Write(c.Exporter())
	if !hmac.Equal(mac.Sum(nil), m.(wire.Proof).HMAC) {
		return errors.New("the proof is wrong")
	}
	return c.Send(wire.Registered{ID: ek.AgentID(), Outcome: outcome})
}

// attested is what a verifier was sent.
type attested struct {
	hello   wire.Hello
	entries uint64 // certified, as the verifier has accepted them
	peer    channel.Peer
}

// verifier accepts all evidence and says so on the channel.
func (i installation) verifier() (addr net.Addr, evidence <-chan attested) {
	told := make(chan attested, 100)
	addr = i.listen(wire.ALPNAttest, wire.ExporterAttest, func(_ context.Context, c *channel.Conn) {
		m, err := c.Receive(0)
		if err != nil {
			return // the agent was stopped
		}
		a := attested{hello: m.(wire.Hello), peer: c.Peer()}
		c.Send(wire.Welcome{
			Version: wire.ProtocolVersion, Nonce: make([]byte, wire.NonceSize), MaxList: wire.MaxList, IMABank: pcr.SHA256, Session: 1,
			Selection: pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10)}},
		})
		for {
			m, err := c.Receive(0)
			if err != nil {
				return
			}
			if m.Type() == wire.TypeAlive {
				continue
			}
			e := m.(wire.Evidence)
			if _, err := io.Copy(io.Discard, c.Raw(e.IMA.Bytes+e.Boot, 0)); err != nil {
				return
			}
			a.entries = e.IMA.First + e.IMA.Count
			told <- a
			c.Send(wire.Verdict{
				Accepted: true, Trust: wire.Trusted, Nonce: make([]byte, wire.NonceSize),
				Resume: wire.Resume{Epoch: make([]byte, 32), Entries: a.entries},
			})
		}
	})
	return addr, told
}
