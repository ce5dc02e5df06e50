package registrar_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-tpm/tpm2"

	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/jointoken"
	"quicklime/wire/rest"
	"quicklime/wire/tpm"
)

// attempt is a registration of the thief's machine, honest but for what an attack
// changes.
type attempt struct {
	in    *installation
	thief *machine
	token jointoken.Token

	certificate    tls.Certificate // of the connection
	ek             []byte
	certificates   [][]byte // of the EK
	ak, transport  []byte
	exporter       []byte // over which the keys are certified; nil: the connection's
	certify        func(qualifying []byte) (attest, signature []byte, err error)
	change         func(*wire.Register)              // after it was signed
	proof          func(right wire.Proof) wire.Proof // nil: the right one, if the TPM opens the credential
	proofs         int                               // how often to send one
	sent           wire.Proof                        // what was sent
	connectionOver bool                              // it was closed without a word
}

func (in *installation) attempt(thief *machine, token jointoken.Token) *attempt {
	in.t.Helper()
	a := &attempt{in: in, thief: thief, token: token, certify: thief.CertifyTransport, proofs: 1}
	k := a.keysOf(thief)
	a.ek, a.certificates, a.ak, a.transport, a.certificate = k.ek, k.certificates, k.ak, k.transport, k.certificate
	return a
}

// keys are a machine's, as it shows them.
type keys struct {
	ek, ak, transport []byte
	certificates      [][]byte
	certificate       tls.Certificate
}

func (a *attempt) keysOf(m *machine) (k keys) {
	t := a.in.t
	t.Helper()
	e, err := m.Endorsement()
	if err != nil {
		t.Fatal(err)
	}
	if k.ak, err = m.AK(); err != nil {
		t.Fatal(err)
	}
	transport, err := m.Transport()
	if err != nil {
		t.Fatal(err)
	}
	if k.certificate, err = transport.TLSCertificate(); err != nil {
		t.Fatal(err)
	}
	k.ek, k.certificates, k.transport = e.Public, e.Certificates, transport.PublicArea()
	return k
}

// dial connects to the registrar.
func (a *attempt) dial() *channel.Conn {
	a.in.t.Helper()
	c, err := channel.Dial(a.in.t.Context(), channel.DialConfig{
		Addr: a.token.Registrar.Address, ServerName: a.token.Registrar.ServerName, CAPin: a.token.CAPin,
		ALPN: wire.ALPNRegister, Exporter: wire.ExporterRegister, Certificate: a.certificate,
	})
	if err != nil {
		a.in.t.Fatal(err)
	}
	return c
}

// run registers, and returns the refusal; "" if the registrar refuses nothing.
func (a *attempt) run() wire.Refusal {
	t := a.in.t
	t.Helper()
	c := a.dial()
	defer c.Close(channel.CodeDone, "")
	register := a.register(c.Exporter())
	if err := c.Send(register); err != nil { // an honest client refuses to send what is malformed
		t.Fatal(err)
	}
	m := a.receive(c)
	credential, ok := m.(wire.Credential)
	if !ok {
		return a.refusal(m)
	}
	a.sent = a.answer(register, credential, c.Exporter())
	for range a.proofs {
		if c.Send(a.sent) != nil {
			break
		}
	}
	return a.refusal(a.receive(c))
}

func (a *attempt) register(exporter []byte) wire.Register {
	t := a.in.t
	t.Helper()
	if a.exporter != nil {
		exporter = a.exporter
	}
	q := wire.RegisterQualifying(exporter, nameOf(a.ek), nameOf(a.ak), nameOf(a.transport))
	attest, signature, err := a.certify(q[:])
	if err != nil {
		t.Fatal(err)
	}
	r := wire.Register{
		Version: wire.ProtocolVersion, Software: "test", Label: "thief", TokenID: a.token.ID, TokenSecret: a.token.Secret[:],
		EKPublic: a.ek, EKCertificates: a.certificates, AKPublic: a.ak, Transport: a.transport, Certify: attest, Signature: signature,
	}
	if a.change != nil {
		a.change(&r)
	}
	return r
}

// nameOf is the Name of a public area that a TPM may never have made.
func nameOf(area []byte) []byte { return append([]byte{0, 0x0b}, sum(area)...) }

// answer is the proof that the thief's TPM comes to, however little it can open.
func (a *attempt) answer(r wire.Register, c wire.Credential, exporter []byte) wire.Proof {
	t := a.in.t
	t.Helper()
	secret, err := a.thief.ActivateCredential(c.Object, c.Secret)
	if err != nil {
		secret = make([]byte, 32) // it guesses
	}
	frame := func(m wire.Message) []byte {
		b, err := wire.AppendFrame(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	right := wire.Proof{HMAC: wire.RegisterProof(secret, frame(r), frame(c), exporter)}
	if a.proof != nil {
		return a.proof(right)
	}
	return right
}

func (a *attempt) receive(c *channel.Conn) wire.Message {
	m, err := c.Receive(wire.FrameTimeout)
	if err != nil {
		closed, ok := errors.AsType[*channel.CloseError](err)
		if !ok || !closed.Remote || closed.Code != channel.CodeProtocol {
			a.in.t.Fatalf("the registrar does not refuse: %v", err)
		}
		a.connectionOver = true
	}
	return m
}

func (a *attempt) refusal(m wire.Message) wire.Refusal {
	switch m := m.(type) {
	case wire.Refused:
		return m.Why
	case wire.Registered:
		return ""
	}
	if !a.connectionOver {
		a.in.t.Fatalf("the registrar answers with a %T", m)
	}
	return "closed"
}

// Every way in that is not an honest registration. What each asks for is refused
// with one word, nothing is stored and nothing lost: the victim is who it was, and
// the thief's own token is still good for the thief's own machine.
func TestI11_RegistrationAttacks(t *testing.T) {
	victim, thief := newMachine(t), newMachine(t)
	in := newInstallation(t, victim, thief)
	victims := in.token(rest.JoinTokenRequest{})
	id := in.join(victim, victims, wire.OutcomeNew).ID
	before := in.machine(id)
	token := in.token(rest.JoinTokenRequest{})
	of := (&attempt{in: in}).keysOf(victim)

	tests := []struct {
		name string
		do   func(a *attempt)
		want wire.Refusal // or "closed"
		log  string       // what the operator reads
	}{
		{"the victim's EK", func(a *attempt) { a.ek, a.certificates = of.ek, of.certificates }, wire.RefusedProof, "proof"},
		{"the victim's EK without certificate", func(a *attempt) { a.ek, a.certificates = of.ek, nil }, wire.RefusedProof, "proof"},
		{"the victim's EK with the thief's certificate", func(a *attempt) { a.ek = of.ek }, wire.RefusedEK, "certificate"},
		{"the thief's EK with the victim's certificate", func(a *attempt) { a.certificates = of.certificates }, wire.RefusedEK, "certificate"},
		{"the victim's AK", func(a *attempt) { a.ak = of.ak }, wire.RefusedKeys, "certification"},
		{"the victim's EK and AK", func(a *attempt) { a.ek, a.certificates, a.ak = of.ek, of.certificates, of.ak }, wire.RefusedKeys, "certification"},
		{"the victim's EK and AK, certified by its TPM for another connection", func(a *attempt) {
			a.ek, a.certificates, a.ak, a.transport, a.certify = of.ek, of.certificates, of.ak, of.transport, victim.CertifyTransport
			a.exporter = make([]byte, wire.ExporterSize)
		}, wire.RefusedKeys, "not the key of the connection"},

		{"a TLS key that is not registered", func(a *attempt) { a.certificate = stranger(t) }, wire.RefusedKeys, "not the key of the connection"},
		{"the victim's transport key", func(a *attempt) { a.transport = of.transport }, wire.RefusedKeys, "not the key of the connection"},
		{"the victim's transport key on a connection of it", func(a *attempt) { a.transport, a.certificate = of.transport, of.certificate }, wire.RefusedKeys, "it is of another key"},
		{"certified for another connection", func(a *attempt) { a.exporter = make([]byte, wire.ExporterSize) }, wire.RefusedKeys, "another connection"},
		{"certified for an earlier connection of the same key", func(a *attempt) {
			earlier := a.dial()
			defer earlier.Close(channel.CodeDone, "")
			a.exporter = earlier.Exporter()
		}, wire.RefusedKeys, "another connection"},

		{"an AK that signs what it is given", func(a *attempt) { a.otherAK(func(o *tpm2.TPMAObject) { o.Restricted = false }) }, wire.RefusedKeys, "AK: a key of another template"},
		{"an AK that may be duplicated", func(a *attempt) {
			a.otherAK(func(o *tpm2.TPMAObject) { o.FixedTPM, o.FixedParent = false, false })
		}, wire.RefusedKeys, "AK: a key of another template"},
		{"an AK of the owner hierarchy", func(a *attempt) { a.otherKey(tpm2.TPMRHOwner, tpm.AKTemplate()) }, wire.RefusedKeys, "no primary of the endorsement hierarchy"},
		{"the transport key as AK", func(a *attempt) { a.ak = a.transport }, wire.RefusedKeys, "AK: a key of another template"},

		{"an EK of another unique, made by the TPM", func(a *attempt) { a.mintEK() }, wire.RefusedEK, "certificate"},
		{"a zero before the modulus", func(a *attempt) { a.oddRSA(func(n []byte) []byte { return append([]byte{0}, n...) }) }, wire.RefusedEK, "257 bytes"},
		{"a modulus with a zero less", func(a *attempt) { a.oddRSA(func(n []byte) []byte { return n[1:] }) }, wire.RefusedEK, "255 bytes"},
		{"an even modulus", func(a *attempt) { a.oddRSA(func(n []byte) []byte { n[255] &= 0xfe; return n }) }, wire.RefusedEK, "modulus"},
		{"a modulus of 2047 bits", func(a *attempt) { a.oddRSA(func(n []byte) []byte { n[0] &= 0x7f; return n }) }, wire.RefusedEK, "an RSA modulus of"},
		{"a modulus that is 0", func(a *attempt) { a.oddRSA(func(n []byte) []byte { return make([]byte, 256) }) }, wire.RefusedEK, "modulus"},
		{"no modulus: the template itself", func(a *attempt) { a.ek = tpm2.Marshal(tpm2.RSAEKTemplate) }, wire.RefusedEK, "modulus"},
		{"the exponent spelt out", func(a *attempt) {
			a.oddEK(func(p *tpm2.TPMTPublic) {
				parms := rsaParms(t, p)
				parms.Exponent = 65537
				p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &parms)
			})
		}, wire.RefusedEK, "exponent 65537"},
		{"an RSA-3072 EK", func(a *attempt) {
			a.oddEK(func(p *tpm2.TPMTPublic) {
				parms := rsaParms(t, p)
				parms.KeyBits = 3072
				p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &parms)
				p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: bytes.Repeat([]byte{0xff}, 384)})
			})
		}, wire.RefusedEK, "neither TCG default template"},
		{"an EK that signs", func(a *attempt) { a.oddAttributes(func(o *tpm2.TPMAObject) { o.SignEncrypt = true }) }, wire.RefusedEK, "neither TCG default template"},
		{"an EK that is not restricted", func(a *attempt) { a.oddAttributes(func(o *tpm2.TPMAObject) { o.Restricted = false }) }, wire.RefusedEK, "neither TCG default template"},
		{"an EK with a password", func(a *attempt) { a.oddAttributes(func(o *tpm2.TPMAObject) { o.UserWithAuth = true }) }, wire.RefusedEK, "neither TCG default template"},
		{"an EK that was imported", func(a *attempt) { a.oddAttributes(func(o *tpm2.TPMAObject) { o.SensitiveDataOrigin = false }) }, wire.RefusedEK, "neither TCG default template"},
		{"an EK of no policy", func(a *attempt) { a.oddEK(func(p *tpm2.TPMTPublic) { p.AuthPolicy.Buffer = nil }) }, wire.RefusedEK, "neither TCG default template"},
		{"an EK named by SHA-1", func(a *attempt) { a.oddEK(func(p *tpm2.TPMTPublic) { p.NameAlg = tpm2.TPMAlgSHA1 }) }, wire.RefusedEK, "name algorithm"},
		{"an ECC EK off the curve", func(a *attempt) { a.oddECC(bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{1}, 32)) }, wire.RefusedEK, "malformed"},
		{"an ECC EK at infinity", func(a *attempt) { a.oddECC(nil, nil) }, wire.RefusedEK, "malformed"},
		{"an ECC EK with zeros before a coordinate", func(a *attempt) { a.oddECC(make([]byte, 33), make([]byte, 32)) }, wire.RefusedEK, "malformed"},
		{"a byte after the EK", func(a *attempt) { a.ek = append(bytes.Clone(a.ek), 0) }, wire.RefusedEK, "malformed"},

		{"a wrong answer", func(a *attempt) { a.proof = flipped }, wire.RefusedProof, "proof"},
		{"a wrong answer, and again", func(a *attempt) { a.proof, a.proofs = flipped, 3 }, wire.RefusedProof, "proof"},
		{"an empty EK certificate", func(a *attempt) { a.certificates = [][]byte{{0x30, 0}} }, wire.RefusedEK, "certificate"},

		{"no token", func(a *attempt) {
			a.change = func(r *wire.Register) { r.TokenID, r.TokenSecret = "", nil }
		}, wire.RefusedToken, "token"},
		{"a used token", func(a *attempt) { a.token = victims }, wire.RefusedToken, "token"},
		{"a token's id with the secret of another", func(a *attempt) { a.token.ID = victims.ID }, wire.RefusedToken, "token"},
		{"a token that nobody made", func(a *attempt) { a.token.ID = "0123456789abcdef" }, wire.RefusedToken, "token"},
		{"another secret", func(a *attempt) { a.token.Secret[31] ^= 1 }, wire.RefusedToken, "token"},
		{"an expired token", func(a *attempt) {
			a.token = in.token(rest.JoinTokenRequest{ExpiresIn: 1})
			eventually(t, "the token expires", func() bool { return time.Now().After(a.token.Expires) })
		}, wire.RefusedToken, "token"},
		{"a deleted token", func(a *attempt) {
			a.token = in.token(rest.JoinTokenRequest{})
			in.call(rest.DeleteJoinToken, a.token.ID, nil, nil, http.StatusNoContent)
		}, wire.RefusedToken, "token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := in.attempt(thief, token)
			tt.do(a)
			seen := len(in.log.String())
			if got := a.run(); got != tt.want {
				t.Errorf("the thief hears %q, want %q", got, tt.want)
			}
			said := in.log.String()[seen:]
			if !strings.Contains(said, `"registration refused","remote":"127.0.0.1:`) || !strings.Contains(said, fmt.Sprintf(`"why":%q`, tt.want)) || !strings.Contains(said, tt.log) {
				t.Errorf("the operator reads no %q and %q in\n%s", tt.want, tt.log, said)
			}
			if strings.Contains(said, string(a.token.Secret[:])) {
				t.Error("the secret is in the log")
			}
		})
	}
	in.unharmed(before)
	in.join(thief, token, wire.OutcomeNew)
}

// A proof is of one connection: another's is refused, and the token is not used
// up by it.
func TestI09_ReplayedProof(t *testing.T) {
	m := newMachine(t)
	in := newInstallation(t, m)
	first, second := in.token(rest.JoinTokenRequest{}), in.token(rest.JoinTokenRequest{})
	honest := in.attempt(m, first)
	if got := honest.run(); got != "" {
		t.Fatalf("an honest attempt is refused: %q", got)
	}
	before := in.machine(in.id(m))
	replay := in.attempt(m, second)
	replay.proof = func(wire.Proof) wire.Proof { return honest.sent }
	if got := replay.run(); got != wire.RefusedProof {
		t.Errorf("a proof of another connection: %q", got)
	}
	in.unharmed(before)
	in.join(m, second, wire.OutcomeSame)
}

func flipped(p wire.Proof) wire.Proof {
	p.HMAC[0] ^= 1
	return p
}

func (in *installation) id(m *machine) string {
	in.t.Helper()
	e, err := m.Endorsement()
	if err != nil {
		in.t.Fatal(err)
	}
	ek, err := tpm.ParsePublic(e.Public)
	if err != nil {
		in.t.Fatal(err)
	}
	return ek.AgentID()
}

// unharmed wants the one registered machine to be what it was.
func (in *installation) unharmed(before rest.Machine) {
	in.t.Helper()
	var list rest.MachineList
	in.call(rest.ListMachines, "", nil, &list, http.StatusOK)
	if len(list.Agents) != 1 {
		in.t.Errorf("%d machines are registered, want the victim alone", len(list.Agents))
	}
	if d := cmp.Diff(before, in.machine(before.ID)); d != "" {
		in.t.Errorf("the victim's record (-before +after):\n%s", d)
	}
}
