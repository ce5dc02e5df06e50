package session_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"testing"
	"time"

	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/payload"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// sealedPayload is a payload as an operator sends it.
type sealedPayload struct {
	manifest payload.Manifest
	upload   rest.PayloadUpload
	sealed   []byte
}

func (v *verifier) sealed(name string, version uint64, size int) sealedPayload {
	v.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		v.t.Fatal(err)
	}
	p := sealedPayload{upload: rest.PayloadUpload{Object: []byte("object"), Secret: []byte("secret"), Share: bytes.Repeat([]byte{byte(version)}, 32)}}
	p.sealed = make([]byte, payload.SealedSize(uint64(size)))
	rand.Read(p.sealed)
	p.manifest = payload.Manifest{Agent: verifiertest.AgentID, Name: name, Version: version, Kind: payload.Archive, Size: uint64(size), Content: sha256.Sum256(p.sealed),
		Issued: time.Now().Truncate(time.Second), Expires: time.Now().Truncate(time.Second).Add(time.Hour)}
	if p.manifest.Share, err = (payload.SealedShare{Object: p.upload.Object, Secret: p.upload.Secret}).Digest(); err != nil {
		v.t.Fatal(err)
	}
	v.sign(&p, key)
	return p
}

func (v *verifier) sign(p *sealedPayload, key *ecdsa.PrivateKey) {
	v.t.Helper()
	var err error
	if p.upload.Manifest, err = p.manifest.Sign(rand.Reader, key); err != nil {
		v.t.Fatal(err)
	}
}

// send makes p one of the agent's payloads.
func (v *verifier) send(p sealedPayload) {
	v.t.Helper()
	if err := v.store.AddPayload(v.t.Context(), p.manifest, p.upload); err != nil {
		v.t.Fatal(err)
	}
	if _, err := v.store.WritePayload(v.t.Context(), p.manifest.Agent, p.manifest.Name, p.manifest.Version, 0, bytes.NewReader(p.sealed)); err != nil {
		v.t.Fatal(err)
	}
	v.server.PayloadsChanged(p.manifest.Agent)
}

// trusted is an agent in a session whose first verdict says that it is trusted.
func (v *verifier) trusted() *agent {
	v.t.Helper()
	a := v.agent()
	a.under("/bin/a")
	a.File("/bin/a", good)
	a.begin()
	if got := a.attest(0); got.Trust != wire.Trusted {
		v.t.Fatalf("%+v", got)
	}
	return a
}

// settled is a trusted agent whose session has done all that follows its first verdict:
// what is offered from now on is offered because it has changed.
func (v *verifier) settled() *agent {
	v.t.Helper()
	a := v.trusted()
	if got := a.attest(len(a.List)); got.Trust != wire.Trusted {
		v.t.Fatalf("%+v", got)
	}
	return a
}

// challenged is the same where challenges come at once.
func (v *verifier) challenged() *agent {
	v.t.Helper()
	a := v.trusted()
	if got := a.answer(receive[wire.Challenge](a)); got.Trust != wire.Trusted {
		v.t.Fatalf("%+v", got)
	}
	return a
}

// answer answers a challenge.
func (a *agent) answer(c wire.Challenge) wire.Verdict {
	a.v.t.Helper()
	a.Nonce, a.Trigger = c.Nonce, wire.TriggerChallenge
	return a.attest(len(a.List))
}

// silent fails if the verifier says something.
func (a *agent) silent(after string) {
	a.v.t.Helper()
	if m, err := a.conn.Receive(200 * time.Millisecond); err == nil {
		a.v.t.Errorf("%s: received %T %+v", after, m, m)
	}
}

func TestPayload(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.settled()
	a.silent("without a payload")
	p := v.sealed("db", 7, 300_000)
	v.send(p)
	o := receive[wire.Offers](a)
	if len(o.Offers) != 1 || !bytes.Equal(o.Offers[0].Manifest, p.upload.Manifest) || string(o.Offers[0].Object) != "object" || string(o.Offers[0].Secret) != "secret" {
		t.Fatalf("%+v", o)
	}
	var got []byte
	for len(got) < len(p.sealed) {
		a.send(wire.Fetch{Name: "db", Version: 7, Offset: uint64(len(got)), Bytes: 100_000})
		c := receive[wire.Chunk](a)
		b := make([]byte, c.Bytes)
		if _, err := io.ReadFull(a.conn.Raw(c.Bytes, 0), b); err != nil || c.Offset != uint64(len(got)) {
			t.Fatal(c, err)
		}
		got = append(got, b...)
	}
	if !bytes.Equal(got, p.sealed) {
		t.Error("another ciphertext came than was sent")
	}

	a.send(wire.Ask{Name: "db", Version: 7})
	c := receive[wire.Challenge](a)
	if got := a.answer(c); got.Trust != wire.Trusted {
		t.Fatalf("%+v", got)
	}
	if r := receive[wire.Release](a); r.Name != "db" || r.Version != 7 || !bytes.Equal(r.Share[:], p.upload.Share) {
		t.Errorf("%v", r)
	}
	a.silent("after the release")

	key := payload.ReceiptKey{1}
	receipt, err := key.Receipt(payload.Outcome{Name: "db", Version: 7, State: payload.Stored, At: 1, Files: 2})
	if err != nil {
		t.Fatal(err)
	}
	a.send(wire.PayloadRefusal{Name: "db", Version: 7, Reason: "not yet"})
	a.send(wire.Receipt{Receipt: receipt})
	a.attest(len(a.List)) // it has been read by now
	s, err := v.store.Payload(t.Context(), verifiertest.AgentID, "db")
	if err != nil || s.Releases != 1 || s.ReleasedAt == nil || !bytes.Equal(s.Receipt, receipt) || s.Refusal != "" || s.RefusedAt != nil {
		t.Errorf("%+v, %v", s, err)
	}

	if err := v.store.WithdrawPayload(t.Context(), verifiertest.AgentID, "db"); err != nil {
		t.Fatal(err)
	}
	v.server.PayloadsChanged(verifiertest.AgentID)
	if o := receive[wire.Offers](a); len(o.Offers) != 0 {
		t.Errorf("%+v", o)
	}
	a.send(wire.Fetch{Name: "db", Version: 7, Bytes: 1})
	a.send(wire.Ask{Name: "db", Version: 7})
	a.silent("a withdrawn payload")
	b := *a
	b.begin()
	b.attest(len(b.List))
	if o := receive[wire.Offers](&b); len(o.Offers) != 0 { // a machine that was away wipes it, too
		t.Errorf("%+v", o)
	}
}

// Of the nonces that an agent has when it asks none will do: not the one of the last
// verdict, nor that of a challenge that is outstanding.
func TestI27_OnlyANonceIssuedAfterAsking(t *testing.T) {
	v := newVerifier(t, eager)
	p := v.sealed("db", 1, 10)
	a := v.challenged()
	v.send(p)
	outstanding := awaitBoth(a)
	a.send(wire.Ask{Name: "db", Version: 1})

	a.Trigger = wire.TriggerGrowth
	a.attest(len(a.List)) // by the nonce of the last verdict
	if got := a.answer(outstanding); got.Trust != wire.Trusted {
		t.Fatalf("%+v", got)
	}
	next := receive[wire.Challenge](a) // and no Release before it
	a.answer(next)
	receive[wire.Release](a)
}

// awaitBoth takes the offers and a challenge, whichever comes first.
func awaitBoth(a *agent) (c wire.Challenge) {
	a.v.t.Helper()
	var offers, challenge bool
	for !offers || !challenge {
		switch m := receive[wire.Message](a).(type) {
		case wire.Offers:
			offers = true
		case wire.Challenge:
			c, challenge = m, true
		}
	}
	return c
}

// An answer that came in time counts, however long the verifier took for what came before
// it: here to write to a disk that others keep busy.
func TestI13_AnAnswerBehindASlowWriteIsInTime(t *testing.T) {
	v := newVerifier(t, strict)
	a := v.challenged()
	v.send(v.sealed("db", 1, 10))
	c := awaitBoth(a)
	db, err := sql.Open("sqlite", v.db)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	busy, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if _, err := busy.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	a.send(wire.PayloadRefusal{Name: "db", Version: 1, Reason: "no"})
	time.AfterFunc(3*strict.Answer/2, func() { busy.ExecContext(context.Background(), "ROLLBACK") })
	if got := a.answer(c); !got.Accepted {
		t.Errorf("%+v", got)
	}
}

// asked has the agent asked for a share, and returns the challenge.
func (a *agent) asked(p sealedPayload) wire.Challenge {
	a.v.t.Helper()
	a.v.send(p)
	receive[wire.Offers](a)
	a.send(wire.Ask{Name: p.manifest.Name, Version: p.manifest.Version})
	return a.challenged()
}

// challenged returns the next challenge, before which offers may come.
func (a *agent) challenged() wire.Challenge {
	a.v.t.Helper()
	for {
		switch m := receive[wire.Message](a).(type) {
		case wire.Challenge:
			return m
		case wire.Offers: // the same again: with the first verdict, and because it is new
		default:
			a.v.t.Fatalf("%T %+v", m, m)
		}
	}
}

func TestI27_NoReleaseWithAVerdictThatIsNotTrusted(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.settled()
	c := a.asked(v.sealed("db", 1, 10))
	a.File("/bin/evil", bad)
	a.Nonce, a.Trigger = c.Nonce, wire.TriggerChallenge
	if got := a.attest(len(a.List) - 1); got.Trust != wire.Untrusted {
		t.Fatalf("%+v", got)
	}
	a.silent("an untrusted verdict")
	a.send(wire.Ask{Name: "db", Version: 1})
	a.silent("an untrusted agent that asks") // no challenge either
	if s, err := v.store.Payload(t.Context(), verifiertest.AgentID, "db"); err != nil || s.Releases != 0 {
		t.Errorf("%+v, %v", s, err)
	}

	// The policy allows what was measured: it is offered again, and asked for again.
	update := web("/bin/a")
	update.Text = fmt.Sprintf(`{"meta":{"version":1},"digests":{"/bin/a":["%x"],"/bin/evil":["%x"]}}`, good, bad)
	update.Digest = fmt.Sprintf("%x", pcr.SHA256.Sum([]byte(update.Text)))
	if err := v.store.RuntimePolicies.Update(t.Context(), update); err != nil {
		t.Fatal(err)
	}
	if got := a.attest(len(a.List)); got.Trust != wire.Trusted {
		t.Fatalf("%+v", got)
	}
	receive[wire.Offers](a)
	a.silent("what was asked for before it was untrusted")
	a.send(wire.Ask{Name: "db", Version: 1})
	a.answer(receive[wire.Challenge](a))
	receive[wire.Release](a)
}

// Not evaluated is not trusted (I21): it is told what there is, and gets none of it.
func TestI21_I27_NothingComesWithoutAPolicy(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	v.send(v.sealed("db", 1, 10))
	a.begin()
	if got := a.attest(0); got.Trust != wire.Unjudged {
		t.Fatalf("%+v", got)
	}
	receive[wire.Offers](a)
	a.send(wire.Ask{Name: "db", Version: 1})
	a.send(wire.Fetch{Name: "db", Version: 1, Bytes: 1})
	a.silent("a machine that nobody judged")
	if err := v.store.WithdrawPayload(t.Context(), verifiertest.AgentID, "db"); err != nil {
		t.Fatal(err)
	}
	v.server.PayloadsChanged(verifiertest.AgentID)
	if o := receive[wire.Offers](a); len(o.Offers) != 0 {
		t.Errorf("%+v", o)
	}
}

// The policy in force when the verdict is committed decides.
func TestI27_PolicyChangedMeanwhile(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.settled()
	c := a.asked(v.sealed("db", 1, 10))
	tight := web()
	tight.Text = fmt.Sprintf(`{"meta":{"version":1},"digests":{"/bin/a":["%x"]}}`, bad)
	tight.Digest = fmt.Sprintf("%x", pcr.SHA256.Sum([]byte(tight.Text)))
	if err := v.store.RuntimePolicies.Update(t.Context(), tight); err != nil {
		t.Fatal(err)
	}
	if got := a.answer(c); got.Trust != wire.Untrusted {
		t.Fatalf("%+v", got)
	}
	a.silent("a policy that forbids what runs")
}

// Whoever asks in one session gets nothing in another, and a boot that is another
// than the one in which it was asked for has to ask anew.
func TestI27_AskedInAnotherSessionOrBoot(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.settled()
	a.asked(v.sealed("db", 1, 10))
	b := *a
	b.begin()
	b.attest(len(b.List))
	receive[wire.Offers](&b)
	b.silent("asked in another session")

	b.send(wire.Ask{Name: "db", Version: 1})
	c := receive[wire.Challenge](&b)
	b.Reboot()
	b.File("/bin/a", good)
	b.Nonce, b.Trigger = c.Nonce, wire.TriggerChallenge
	if got := b.attest(0); !got.Accepted || got.Trust != wire.Trusted {
		t.Fatalf("%+v", got)
	}
	b.silent("asked in another boot")
}

// Keys that are enrolled in the place of others bring another enrolment, which has
// none of the payloads.
func TestI27_ReboundAgent(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.settled()
	a.asked(v.sealed("db", 1, 10))
	b := v.agent()
	e := rest.Enrolment{ID: verifiertest.AgentID, EKPublic: []byte("ek"), AKPublic: b.AK.Public.Bytes(), Transport: b.transport.Public.Bytes(), LowestBank: pcr.SHA256, Policy: "web"}
	ended, err := v.store.Rebind(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	v.server.End(verifiertest.AgentID, ended)
	if code := a.closed(); code != channel.CodeNotEnrolled {
		t.Errorf("%v", code)
	}
	b.File("/bin/a", good)
	b.begin()
	if got := b.attest(0); got.Trust != wire.Trusted {
		t.Fatalf("%+v", got)
	}
	b.send(wire.Ask{Name: "db", Version: 1})
	b.silent("a machine with other keys")
}

func TestI27_OldAndUnknownVersions(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.settled()
	v.send(v.sealed("db", 1, 10))
	receive[wire.Offers](a)
	v.send(v.sealed("db", 2, 10))
	receive[wire.Offers](a)
	for _, m := range []wire.Message{wire.Ask{Name: "db", Version: 1}, wire.Ask{Name: "db", Version: 3}, wire.Ask{Name: "other", Version: 1}, wire.Fetch{Name: "db", Version: 1, Bytes: 1}} {
		a.send(m)
	}
	a.silent("what is not offered")
	a.send(wire.Ask{Name: "db", Version: 2})
	c := receive[wire.Challenge](a)
	v.send(v.sealed("db", 3, 10)) // while the challenge is outstanding
	receive[wire.Offers](a)
	a.answer(c)
	a.silent("a version that has been replaced")
}

// A receipt that says nothing new costs no write, and the agent nothing: it says all of
// them again when what it is offered changes.
func TestReceiptsThatSayNothingNew(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.trusted()
	v.send(v.sealed("db", 1, 10))
	receive[wire.Offers](a)
	key := payload.ReceiptKey{1}
	receipt, err := key.Receipt(payload.Outcome{Name: "db", Version: 1, State: payload.Stored, At: 1, Files: 2})
	if err != nil {
		t.Fatal(err)
	}
	a.send(wire.PayloadRefusal{Name: "db", Version: 1, Reason: "not yet"})
	for range 300 {
		a.send(wire.Receipt{Receipt: receipt})
	}
	a.send(wire.Ask{Name: "db", Version: 1})
	a.answer(a.challenged())
	if s, err := v.store.Payload(t.Context(), verifiertest.AgentID, "db"); err != nil || !bytes.Equal(s.Receipt, receipt) || s.RefusedAt != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestI04_I08_PayloadMessagesHaveBounds(t *testing.T) {
	for name, send := range map[string]func(a *agent){
		"beyond the end": func(a *agent) { a.send(wire.Fetch{Name: "db", Version: 1, Offset: 1 << 20, Bytes: 1}) },
		"no receipt":     func(a *agent) { a.send(wire.Receipt{Receipt: []byte("x")}) },
		"refusals for ever": func(a *agent) {
			for range 200 {
				if a.conn.Send(wire.PayloadRefusal{Name: "db", Version: 1, Reason: "no"}) != nil {
					return
				}
			}
		},
	} {
		v := newVerifier(t, calm)
		a := v.settled()
		v.send(v.sealed("db", 1, 10))
		receive[wire.Offers](a)
		send(a)
		if code := a.closed(); code != channel.CodeProtocol {
			t.Errorf("%s: closed with %v", name, code)
		}
	}
}
