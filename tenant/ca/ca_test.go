package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC)

const day = 24 * time.Hour

// newAuthority makes an authority that lives for 100 days. Its RSA key is always the
// same: to make one takes a second.
func newAuthority(t *testing.T, kind KeyKind) Authority {
	t.Helper()
	if kind == RSA3072 {
		return rsaAuthority()
	}
	return made(New("Test CA", kind, 100*day, now))
}

var (
	rsaAuthority = sync.OnceValue(func() Authority { return made(New("Test CA", RSA3072, 100*day, now)) })
	rsaLeaf      = sync.OnceValue(func() crypto.Signer { return made(RSA3072.Generate()) })
)

func made[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// issue makes a certificate that lives for life, and enters it.
func issue(t *testing.T, a Authority, r *Register, name string, names Names, life time.Duration, at time.Time) *x509.Certificate {
	t.Helper()
	key := rsaLeaf
	if KindOf(a.Key().Public()) == P256 {
		key = func() crypto.Signer { return made(P256.Generate()) }
	}
	c, err := a.Issue(Request{name, names, key().Public(), life}, at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Add(c, names, at); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProfile(t *testing.T) {
	id := strings.Repeat("0a", 32)
	names, err := NewNames([]string{"Web.Example", "web.example"}, []string{"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"}, []string{"spiffe://example/web"}, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []KeyKind{P256, RSA3072} {
		a, r := newAuthority(t, kind), NewRegister(day)
		ca, c := a.Certificate(), issue(t, a, &r, id, names, 10*day, now)
		if !ca.IsCA || !ca.BasicConstraintsValid || ca.MaxPathLen != 0 || !ca.MaxPathLenZero || ca.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(ca.ExtKeyUsage) != 0 {
			t.Errorf("%s: the authority is %+v", kind, ca)
		}
		usage := x509.KeyUsageDigitalSignature
		if kind == RSA3072 {
			usage |= x509.KeyUsageKeyEncipherment
		}
		if c.IsCA || !c.BasicConstraintsValid || c.KeyUsage != usage || !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}) {
			t.Errorf("%s: the leaf is %+v", kind, c)
		}
		if len(ca.SubjectKeyId) != 20 || len(c.SubjectKeyId) != 20 || !bytes.Equal(c.AuthorityKeyId, ca.SubjectKeyId) || bytes.Equal(c.SubjectKeyId, ca.SubjectKeyId) {
			t.Errorf("%s: key identifiers %x, %x, %x", kind, ca.SubjectKeyId, c.AuthorityKeyId, c.SubjectKeyId)
		}
		if c.Version != 3 || c.Subject.String() != "CN="+id || c.Issuer.String() != "CN=Test CA" || KindOf(c.PublicKey) != kind {
			t.Errorf("%s: version %d, subject %s, issuer %s", kind, c.Version, c.Subject, c.Issuer)
		}
		var uris []string
		for _, u := range c.URIs {
			uris = append(uris, u.String())
		}
		if !slices.Equal(c.DNSNames, []string{"web.example"}) || len(c.IPAddresses) != 2 || !slices.Equal(uris, []string{"spiffe://example/web", "urn:x-quicklime:agent:" + id}) {
			t.Errorf("%s: names %q, %v, %q", kind, c.DNSNames, c.IPAddresses, uris)
		}
		if !c.NotAfter.Equal(now.Truncate(time.Second).Add(10*day)) || !c.NotBefore.Equal(ca.NotBefore) {
			t.Errorf("%s: from %v until %v", kind, c.NotBefore, c.NotAfter)
		}
		later := issue(t, a, &r, "later", Names{}, day, now.Add(day))
		if want := now.Add(day - skew).Truncate(time.Second); !later.NotBefore.Equal(want) {
			t.Errorf("%s: from %v, want %v", kind, later.NotBefore, want)
		}
	}
}

// A serial number has 128 random bits: of 64, the highest has more than 100 and no two
// are the same.
func TestSerialNumbers(t *testing.T) {
	a, r := newAuthority(t, P256), NewRegister(day)
	high := new(big.Int)
	for range 64 {
		if c := issue(t, a, &r, "x", Names{}, day, now); c.SerialNumber.Cmp(high) > 0 {
			high = c.SerialNumber
		}
	}
	if high.BitLen() <= 100 || high.BitLen() > 128 {
		t.Errorf("the highest of 64 serial numbers has %d bits", high.BitLen())
	}
	again := r.Certificates[0]
	c := issue(t, a, &r, "x", Names{}, day, now)
	c.SerialNumber.SetString(again.Serial, 16)
	if _, err := r.Add(c, Names{}, now); err == nil {
		t.Error("a serial number was given twice")
	}
}

func TestCertificateLivesNoLongerThanItsAuthority(t *testing.T) {
	a := newAuthority(t, P256)
	end := a.Certificate().NotAfter
	for _, c := range []struct {
		life time.Duration
		at   time.Time
		want error
	}{
		{99 * day, now, nil},
		{end.Sub(now), now, nil},
		{end.Sub(now) + time.Second, now, ErrOutlives},
		{time.Second, end, ErrOutlives},
	} {
		got, err := a.Issue(Request{"x", Names{}, a.Key().Public(), c.life}, c.at)
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || got.NotAfter.After(end)) {
			t.Errorf("%v at %v: %v, want %v", c.life, c.at, err, c.want)
		}
	}
	for name, r := range map[string]Request{
		"a life of nothing":    {Name: "x"},
		"no name":              {Life: day},
		"a path":               {Name: "../x", Life: day},
		"a name with an end":   {Name: "x\x00", Life: day},
		"a name of 65 letters": {Name: strings.Repeat("x", 65), Life: day},
	} {
		r.Public = a.Key().Public()
		if _, err := a.Issue(r, now); err == nil {
			t.Errorf("%s was certified", name)
		}
	}
	if _, err := a.Issue(Request{"x", Names{}, a.Key().Public(), day}, now.Add(-day)); err == nil || !strings.Contains(err.Error(), "clock is behind") {
		t.Errorf("before the authority: %v", err)
	}
}

func TestI03_NamesRefused(t *testing.T) {
	for what, n := range map[string]struct{ dns, ip, uri, agent string }{
		"a wildcard":          {dns: "*.example"},
		"a final dot":         {dns: "web.example."},
		"an empty name":       {dns: ""},
		"no address":          {ip: "192.0.2.256", dns: "a"},
		"a zone":              {ip: "fe80::1%eth0", dns: "a"},
		"a relative URI":      {uri: "web", dns: "a"},
		"no authority":        {uri: "https:", dns: "a"},
		"a blank":             {uri: "https://a/ b", dns: "a"},
		"not ASCII":           {uri: "https://ä/", dns: "a"},
		"a role":              {uri: "urn:x-quicklime:role:operator", dns: "a"},
		"a role, in capitals": {uri: "URN:X-QuickLime:role:operator", dns: "a"},
		"an agent":            {uri: "urn:x-quicklime:agent:" + strings.Repeat("a", 64), dns: "a"},
		"a short id":          {agent: strings.Repeat("a", 63), dns: "a"},
	} {
		list := func(s string) []string {
			if s == "" {
				return nil
			}
			return []string{s}
		}
		if _, err := NewNames([]string{n.dns}, list(n.ip), list(n.uri), n.agent); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	if _, err := NewNames(strings.Split(strings.Repeat("a ", 64)+"a", " "), nil, nil, ""); err != nil {
		t.Errorf("one name 65 times: %v", err)
	}
	many := make([]string, 65)
	for i := range many {
		many[i] = "h" + strings.Repeat("x", i)
	}
	if _, err := NewNames(many[:60], nil, []string{"https://a/1", "https://a/2", "https://a/3", "https://a/4", "https://a/5"}, ""); err == nil {
		t.Error("65 names were accepted")
	}
}

func TestLoadRefuses(t *testing.T) {
	a, other, r := newAuthority(t, P256), newAuthority(t, P256), NewRegister(day)
	if b, err := Load(a.Certificate(), a.Key()); err != nil || !b.Certificate().Equal(a.Certificate()) {
		t.Errorf("%v", err)
	}
	leaf := issue(t, a, &r, "x", Names{}, day, now)
	signed, err := sign(func() *x509.Certificate {
		c, err := template("x", other.Key().Public(), now, now.Add(day))
		if err != nil {
			t.Fatal(err)
		}
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		return c
	}(), a.Certificate(), other.Key().Public(), a.Key())
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]*x509.Certificate{"belong together": a.Certificate(), "own key": signed} {
		if _, err := Load(c, other.Key()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	key := a.Key()
	leaf.PublicKey = key.Public()
	if _, err := Load(leaf, key); err == nil || !strings.Contains(err.Error(), "authority that signs") {
		t.Errorf("a leaf: %v", err)
	}
}
