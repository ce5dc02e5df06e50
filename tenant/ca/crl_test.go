package ca

import (
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"
)

// next makes the next list and reads it.
func next(t *testing.T, a Authority, r *Register, at time.Time) *x509.RevocationList {
	t.Helper()
	der, after, err := a.Revocations(*r, at)
	if err != nil {
		t.Fatal(err)
	}
	*r = after
	l, err := x509.ParseRevocationList(der)
	if err != nil || l.CheckSignatureFrom(a.Certificate()) != nil {
		t.Fatalf("%v, %v", err, l.CheckSignatureFrom(a.Certificate()))
	}
	return l
}

func TestRevocationLists(t *testing.T) {
	a, r := newAuthority(t, P256), NewRegister(7*day)
	first := issue(t, a, &r, "first", Names{}, 10*day, now)
	second := issue(t, a, &r, "second", Names{}, 50*day, now)
	issue(t, a, &r, "good", Names{}, 90*day, now)
	at := func(days int) time.Time { return now.Add(time.Duration(days) * day) }
	want := func(l *x509.RevocationList, number int64, from, until time.Time, revoked ...*x509.Certificate) {
		t.Helper()
		if l.Number.Cmp(big.NewInt(number)) != 0 || !l.ThisUpdate.Equal(from.Truncate(time.Second)) || !l.NextUpdate.Equal(until.Truncate(time.Second)) {
			t.Errorf("list %v from %v until %v, want %d, %v, %v", l.Number, l.ThisUpdate, l.NextUpdate, number, from, until)
		}
		var got, serials []string
		for _, e := range l.RevokedCertificateEntries {
			got = append(got, e.SerialNumber.String())
		}
		for _, c := range revoked {
			serials = append(serials, c.SerialNumber.String())
		}
		if !slices.Equal(got, serials) {
			t.Errorf("list %d has %q, want %q", number, got, serials)
		}
	}
	want(next(t, a, &r, at(0)), 1, at(0), at(7))
	r.Revoke(r.Find("first"), "keyCompromise", at(1))
	r.Revoke(r.Find("second"), "unspecified", at(2))
	r.Revoke(r.Find("first"), "superseded", at(2))
	l := next(t, a, &r, at(2))
	want(l, 2, at(2), at(9), first, second)
	if e := l.RevokedCertificateEntries; e[0].ReasonCode != 1 || e[1].ReasonCode != 0 || !e[0].RevocationTime.Equal(at(1).Truncate(time.Second)) {
		t.Errorf("%+v", e)
	}
	want(next(t, a, &r, at(11)), 3, at(11), at(18), first, second) // its end was since the last list
	want(next(t, a, &r, at(12)), 4, at(12), at(19), second)
	want(next(t, a, &r, at(95)), 5, at(95), a.Certificate().NotAfter, second)
	if _, after, err := a.Revocations(r, at(94)); !errors.Is(err, ErrClockBehind) || after.List != r.List {
		t.Errorf("a list before the last: %v", err)
	}
	if _, _, err := a.Revocations(r, at(100)); err == nil {
		t.Error("a list after the authority's end")
	}
}
