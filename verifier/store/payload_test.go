package store_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"quicklime/verifier/store"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// sealedPayload is a payload as an operator sends it.
type sealedPayload struct {
	manifest payload.Manifest
	upload   rest.PayloadUpload
	sealed   []byte
}

func newPayload(t testing.TB, version uint64, size int, change ...func(*payload.Manifest)) sealedPayload {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	p := sealedPayload{upload: rest.PayloadUpload{Object: []byte("object"), Secret: []byte("secret"), Share: bytes.Repeat([]byte{7}, 32)}}
	p.sealed = make([]byte, payload.SealedSize(uint64(size)))
	rand.Read(p.sealed)
	p.manifest = payload.Manifest{Agent: verifiertest.AgentID, Name: "db", Version: version, Kind: payload.Archive, Size: uint64(size), Content: sha256.Sum256(p.sealed), Issued: now, Expires: now.Add(time.Hour)}
	for _, c := range change {
		c(&p.manifest)
	}
	if p.upload.Manifest, err = p.manifest.Sign(rand.Reader, key); err != nil {
		t.Fatal(err)
	}
	return p
}

func named(name string) func(*payload.Manifest) { return func(m *payload.Manifest) { m.Name = name } }

func (p sealedPayload) begin(t testing.TB, s *store.Store) error {
	t.Helper()
	return s.AddPayload(t.Context(), p.manifest, p.upload)
}

func (p sealedPayload) write(t testing.TB, s *store.Store, offset int, r io.Reader) (uint64, error) {
	t.Helper()
	return s.WritePayload(t.Context(), p.manifest.Agent, p.manifest.Name, p.manifest.Version, uint64(offset), r)
}

// send has all of it arrive.
func (p sealedPayload) send(t testing.TB, s *store.Store) {
	t.Helper()
	if err := p.begin(t, s); err != nil {
		t.Fatal(err)
	}
	if n, err := p.write(t, s, 0, bytes.NewReader(p.sealed)); err != nil || n != uint64(len(p.sealed)) {
		t.Fatal(n, err)
	}
}

func offered(t testing.TB, s *store.Store, e store.Enrolment) []store.Payload {
	t.Helper()
	all, _, err := s.Payloads(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPayloadArrivesInPieces(t *testing.T) {
	s := newStore(t)
	e := enrol(t, s, verifiertest.New(t), "")
	p := newPayload(t, 1, 700_000)
	if err := p.begin(t, s); err != nil {
		t.Fatal(err)
	}
	if _, ever, err := s.Payloads(t.Context(), e); err != nil || !ever || len(offered(t, s, e)) > 0 {
		t.Errorf("it is offered before it is here: %v, %v", ever, err)
	}
	// The connection breaks within a part, and again within the same.
	broken := io.MultiReader(bytes.NewReader(p.sealed[:300_001]), iotest.ErrReader(io.ErrNoProgress))
	if n, err := p.write(t, s, 0, broken); n != 300_001 || !errors.Is(err, io.ErrNoProgress) {
		t.Fatal(n, err)
	}
	if n, err := p.write(t, s, 300_001, bytes.NewReader(p.sealed[300_001:300_005])); n != 300_005 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := p.write(t, s, 0, bytes.NewReader(p.sealed)); n != 300_005 || !errors.Is(err, store.ErrConflict) {
		t.Errorf("from the start again: %d, %v", n, err)
	}
	if err := p.begin(t, s); err != nil { // it is resumed
		t.Error(err)
	}
	if n, err := p.write(t, s, 300_005, bytes.NewReader(append(slices.Clone(p.sealed[300_005:]), "more"...))); n != uint64(len(p.sealed)) || err != nil {
		t.Fatal(n, err)
	}
	all := offered(t, s, e)
	if len(all) != 1 || all[0].Name != "db" || all[0].Version != 1 || all[0].Size != uint64(len(p.sealed)) || !bytes.Equal(all[0].Offer.Manifest, p.upload.Manifest) {
		t.Fatalf("%+v", all)
	}
	var got []byte
	for {
		b, err := s.PayloadPart(t.Context(), all[0].ID, uint64(len(got)), 99_999)
		if err != nil || len(b) > 99_999 {
			t.Fatal(len(b), err)
		}
		if len(b) == 0 {
			break
		}
		got = append(got, b...)
	}
	if !bytes.Equal(got, p.sealed) {
		t.Errorf("%d of %d bytes, and others", len(got), len(p.sealed))
	}
}

func TestPayloadWithAnotherDigestIsForgotten(t *testing.T) {
	s := newStore(t)
	e := enrol(t, s, verifiertest.New(t), "")
	p := newPayload(t, 1, 300_000)
	if err := p.begin(t, s); err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(p.sealed)
	other[299_999] ^= 1
	if _, err := p.write(t, s, 0, bytes.NewReader(other)); !errors.Is(err, store.ErrContent) {
		t.Errorf("%v", err)
	}
	if all := offered(t, s, e); len(all) > 0 {
		t.Errorf("%+v", all)
	}
	p.send(t, s)
	if all := offered(t, s, e); len(all) != 1 {
		t.Errorf("%+v", all)
	}
}

func TestI27_PayloadVersionsOnlyGrow(t *testing.T) {
	s := newStore(t)
	e := enrol(t, s, verifiertest.New(t), "")
	newPayload(t, 5, 10).send(t, s)
	for _, version := range []uint64{4, 5} {
		if err := newPayload(t, version, 10).begin(t, s); !errors.Is(err, store.ErrConflict) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	next := newPayload(t, 6, 10)
	if err := next.begin(t, s); err != nil {
		t.Fatal(err)
	}
	if all := offered(t, s, e); len(all) != 1 || all[0].Version != 5 {
		t.Errorf("%+v: the old version goes before the new one is here", all)
	}
	next.send(t, s)
	newPayload(t, 7, 10, named("other")).send(t, s)
	if all := offered(t, s, e); len(all) != 2 || all[0].Version != 6 || all[1].Version != 7 {
		t.Errorf("%+v", all)
	}
	if err := s.WithdrawPayload(t.Context(), verifiertest.AgentID, "db"); err != nil {
		t.Fatal(err)
	}
	if err := newPayload(t, 6, 10).begin(t, s); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a version that was withdrawn: %v", err)
	}
	if _, err := next.write(t, s, 0, bytes.NewReader(next.sealed)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the ciphertext of one that was withdrawn: %v", err)
	}
	if err := s.WithdrawPayload(t.Context(), verifiertest.AgentID, "db"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("withdrawn twice: %v", err)
	}
	newPayload(t, 8, 10).send(t, s)
	if all := offered(t, s, e); len(all) != 2 || all[0].Version != 8 {
		t.Errorf("%+v", all)
	}
}

func TestWithdrawnPayload(t *testing.T) {
	s := newStore(t)
	e := enrol(t, s, verifiertest.New(t), "")
	p := newPayload(t, 1, 10)
	p.send(t, s)
	id := offered(t, s, e)[0].ID
	if err := s.WithdrawPayload(t.Context(), verifiertest.AgentID, "db"); err != nil {
		t.Fatal(err)
	}
	if _, ever, err := s.Payloads(t.Context(), e); err != nil || !ever || len(offered(t, s, e)) > 0 {
		t.Errorf("%v, %v", ever, err)
	}
	if b, err := s.PayloadPart(t.Context(), id, 0, 10); err != nil || len(b) > 0 {
		t.Errorf("its ciphertext stays: %x, %v", b, err)
	}
	receipt, err := (payload.ReceiptKey{}).Receipt(payload.Outcome{Name: "db", Version: 1, State: payload.Withdrawn})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.KeepReceipt(t.Context(), e, receipt); err != nil {
		t.Error(err)
	}
	got, err := s.Payload(t.Context(), verifiertest.AgentID, "db")
	if err != nil || got.WithdrawnAt == nil || got.Complete || !bytes.Equal(got.Receipt, receipt) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, err := range map[string]error{
		"agent":   s.AddPayload(t.Context(), newPayload(t, 1, 10, func(m *payload.Manifest) { m.Agent = "b2" + m.Agent[2:] }).manifest, p.upload),
		"name":    s.WithdrawPayload(t.Context(), verifiertest.AgentID, "other"),
		"refusal": s.KeepRefusal(t.Context(), e, wire.PayloadRefusal{Name: "db", Version: 2, Reason: "no"}),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

func TestI04_PayloadsAreBounded(t *testing.T) {
	s := newStore(t)
	enrol(t, s, verifiertest.New(t), "")
	for n := range wire.MaxPayloads {
		newPayload(t, 1, 10, named(fmt.Sprint("p", n))).send(t, s)
	}
	if err := newPayload(t, 1, 10, named("q")).begin(t, s); !errors.Is(err, store.ErrFull) {
		t.Errorf("one more name: %v", err)
	}
	if err := newPayload(t, 2, 10, named("p3")).begin(t, s); err != nil {
		t.Errorf("a new version of one: %v", err)
	}
	if err := s.WithdrawPayload(t.Context(), verifiertest.AgentID, "p0"); err != nil {
		t.Fatal(err)
	}
	for n, want := range []error{nil, nil, nil, store.ErrFull} {
		huge := newPayload(t, 3, 10, named(fmt.Sprint("p", n+1)), func(m *payload.Manifest) { m.Size = payload.MaxSize })
		if n == 0 {
			huge.manifest.Name = "q"
		}
		if err := huge.begin(t, s); !errors.Is(err, want) {
			t.Errorf("the largest, %d of them before: %v", n, err)
		}
		if err := newPayload(t, 1, 10, named(huge.manifest.Name)).begin(t, s); n < 3 && !errors.Is(err, store.ErrConflict) {
			t.Errorf("%v", err)
		}
	}
}

// What decides is in the transaction, whatever the session believes.
func TestI27_ReleasedInTheTransactionOfTheVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		bad  bool
		wait func(a *store.Accepted, asked *store.Asked)
		sent func(*payload.Manifest)
		do   func(s *store.Store) error
		want int
	}{
		"released":               {want: 1},
		"untrusted":              {bad: true},
		"asked after the nonce":  {wait: func(a *store.Accepted, asked *store.Asked) { asked.At = a.NonceIssued.Add(time.Millisecond) }},
		"another epoch":          {wait: func(_ *store.Accepted, asked *store.Asked) { asked.Epoch = make([]byte, 32) }},
		"no epoch":               {wait: func(_ *store.Accepted, asked *store.Asked) { asked.Epoch = nil }},
		"another payload":        {wait: func(_ *store.Accepted, asked *store.Asked) { asked.Payload++ }},
		"trust that has run out": {wait: func(a *store.Accepted, _ *store.Asked) { a.TrustedUntil = a.NonceIssued.Add(-time.Second) }},
		"expired":                {sent: func(m *payload.Manifest) { m.Issued, m.Expires = time.Unix(1, 0), time.Unix(2, 0) }},
		"withdrawn":              {do: func(s *store.Store) error { return s.WithdrawPayload(t.Context(), verifiertest.AgentID, "db") }},
		"replaced":               {do: func(s *store.Store) error { newPayload(t, 2, 10).send(t, s); return nil }},
	} {
		s := newStore(t)
		m := verifiertest.New(t)
		p := addPolicy(t, s, "web", "/bin/a")
		e := enrol(t, s, m, "web")
		m.File("/bin/a", good)
		commit(t, s, m, e, p)
		sent := newPayload(t, 1, 10, func(m *payload.Manifest) {
			if c.sent != nil {
				c.sent(m)
			}
		})
		sent.send(t, s)
		st := standing(t, s, e)
		asked := store.Asked{Payload: offered(t, s, e)[0].ID, Epoch: st.EpochID}
		if c.bad {
			m.File("/bin/a", bad)
		}
		a := attest(t, s, m, st, p)
		asked.At = a.NonceIssued
		if c.wait != nil {
			c.wait(&a, &asked)
		}
		if c.do != nil {
			if err := c.do(s); err != nil {
				t.Fatal(err)
			}
		}
		_, released, err := s.CommitAsked(t.Context(), e, st, a, []store.Asked{asked})
		if err != nil || len(released) != c.want {
			t.Errorf("%s: released %d, %v, want %d", name, len(released), err, c.want)
		}
		got, err := s.Payload(t.Context(), verifiertest.AgentID, "db")
		if err != nil || got.Releases != int64(c.want) {
			t.Errorf("%s: %d releases are recorded, %v", name, got.Releases, err)
		}
		if c.want == 1 && !bytes.Equal(released[0].Share[:], sent.upload.Share) {
			t.Errorf("another share is released")
		}
	}
}

// A verdict that is not committed releases nothing.
func TestI22_I27_NoReleaseWithoutAVerdict(t *testing.T) {
	s := newStore(t)
	m := verifiertest.New(t)
	p := addPolicy(t, s, "web", "/bin/a")
	e := enrol(t, s, m, "web")
	m.File("/bin/a", good)
	commit(t, s, m, e, p)
	newPayload(t, 1, 10).send(t, s)
	st := standing(t, s, e)
	a := attest(t, s, m, st, p)
	asked := []store.Asked{{Payload: offered(t, s, e)[0].ID, Epoch: st.EpochID, At: a.NonceIssued}}
	r, _ := policyOf(t, "web", "/bin/b")
	if err := s.RuntimePolicies.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, released, err := s.CommitAsked(t.Context(), e, st, a, asked); !errors.Is(err, store.ErrConflict) || len(released) > 0 {
		t.Errorf("released %d, %v", len(released), err)
	}
	if got, err := s.Payload(t.Context(), verifiertest.AgentID, "db"); err != nil || got.Releases != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
