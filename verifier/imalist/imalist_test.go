package imalist_test

import (
	"errors"
	"testing"

	"quicklime/ima"
	"quicklime/verifier/imalist"
	"quicklime/verifier/quote"
	"quicklime/verifier/verifiertest"
	"quicklime/wire/envelope"
	"quicklime/wire/pcr"
)

// quoted returns a machine's quote and its list.
func quoted(t *testing.T, m *verifiertest.Machine) (quote.Verified, []byte) {
	t.Helper()
	ev, list := m.Evidence(0)
	o, err := envelope.Open(ev.Envelope, m.AK.Public, verifiertest.AgentID, verifiertest.Exporter)
	if err != nil {
		t.Fatal(err)
	}
	q, err := quote.Verify(o, verifiertest.Nonce, verifiertest.Selection, ev.PCRs)
	if err != nil {
		t.Fatal(err)
	}
	return q, list
}

func replay(t *testing.T, from ima.State, list []byte) *ima.Replayed {
	t.Helper()
	r, err := ima.Replay(from, list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestI15_I16_Certify(t *testing.T) {
	m := verifiertest.New(t)
	m.File("/bin/a", pcr.SHA256.Sum(nil))
	q, list := quoted(t, m)
	start := ima.NewState(pcr.SHA256)
	whole := replay(t, start, list)
	var c imalist.Certified
	if err := imalist.Certify(&start, whole, &q, &c); err != nil {
		t.Fatal(err)
	}
	certified := c.Replayed()
	if to := certified.To(); to != m.PCR || to.Entries() != 2 {
		t.Errorf("certified to entry %d", to.Entries())
	}
	_, n, err := ima.ParseEntry(list)
	if err != nil {
		t.Fatal(err)
	}
	head, tail := replay(t, start, list[:n]), replay(t, replay(t, start, list[:n]).To(), list[n:])
	from := head.To()
	if err := imalist.Certify(&from, tail, &q, new(imalist.Certified)); err != nil {
		t.Errorf("the rest, from where the head ended: %v", err)
	}
	for name, c := range map[string]struct {
		resume ima.State
		r      *ima.Replayed
		want   error
	}{
		"a prefix":                      {start, head, imalist.ErrMismatch},
		"from another point":            {start, tail, imalist.ErrMismatch},
		"all of it, from a later point": {from, whole, imalist.ErrMismatch},
		"in another bank":               {ima.NewState(pcr.SHA1), replay(t, ima.NewState(pcr.SHA1), list), imalist.ErrNotQuoted},
		"nothing":                       {start, new(ima.Replayed), imalist.ErrMismatch},
	} {
		var got imalist.Certified
		if err := imalist.Certify(&c.resume, c.r, &q, &got); !errors.Is(err, c.want) || got.Quote().AKName() != nil || got.Replayed() != (ima.Replayed{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if err := imalist.Certify(&start, whole, new(quote.Verified), new(imalist.Certified)); !errors.Is(err, imalist.ErrNotQuoted) {
		t.Errorf("by a quote that nobody verified: %v", err)
	}
}
