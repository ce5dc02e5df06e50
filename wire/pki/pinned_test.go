package pki

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"
)

func TestVerifyPinned(t *testing.T) {
	a, c := newAuthority(t)
	b, _ := newAuthority(t)
	good := certificate(t, newServer(t, a, hosts...)).Certificate
	foreign := certificate(t, newServer(t, b, hosts...)).Certificate
	n, err := roleName("operator")
	if err != nil {
		t.Fatal(err)
	}
	n.dns = []string{"verifier.example"}
	client, err := a.ensure(leaf{"client", x509.ExtKeyUsageClientAuth, n})
	if err != nil {
		t.Fatal(err)
	}
	year := c.t.Add(leafLife + time.Second)

	tests := []struct {
		name   string
		chain  [][]byte
		pin    [32]byte
		server string
		now    time.Time
		want   string // part of the error; "" is success
	}{
		{"DNS name", good, a.Pin(), "verifier.example", c.t, ""},
		{"IP address", good, a.Pin(), "127.0.0.1", c.t, ""},
		{"IPv6 address", good, a.Pin(), "::1", c.t, ""},
		{"clock behind within the skew", good, a.Pin(), "localhost", c.t.Add(-4 * time.Minute), ""},
		{"wrong pin", good, b.Pin(), "verifier.example", c.t, "not from the pinned authority"},
		{"another authority", foreign, a.Pin(), "verifier.example", c.t, "not from the pinned authority"},
		{"another authority's leaf beside the pinned one", [][]byte{foreign[0], good[1]}, a.Pin(), "verifier.example", c.t, "unknown authority"},
		{"all four", [][]byte{foreign[0], foreign[1], good[0], good[1]}, a.Pin(), "verifier.example", c.t, "unknown authority"},
		{"wrong name", good, a.Pin(), "other.example", c.t, "not other.example"},
		{"wrong address", good, a.Pin(), "127.0.0.2", c.t, "not 127.0.0.2"},
		{"no name", good, a.Pin(), "", c.t, "no server name"},
		{"expired", good, a.Pin(), "verifier.example", year, "expired"},
		{"not yet in force", good, a.Pin(), "verifier.example", c.t.Add(-time.Hour), "not yet valid"},
		{"a client's certificate", client.Certificate, a.Pin(), "verifier.example", c.t, "incompatible key usage"},
		{"the authority as leaf", [][]byte{good[1], good[1]}, a.Pin(), "verifier.example", c.t, "it is an authority's"},
		{"the authority alone", good[1:], a.Pin(), "verifier.example", c.t, "it is an authority's"},
		{"leaf alone", good[:1], a.Pin(), "verifier.example", c.t, "not from the pinned authority"},
		{"nothing", nil, a.Pin(), "verifier.example", c.t, "0 certificates"},
		{"too many", make([][]byte, maxPresented+1), a.Pin(), "verifier.example", c.t, "9 certificates"},
		{"no certificate", [][]byte{{1}, good[1]}, a.Pin(), "verifier.example", c.t, "malformed"},
		{"no authority", [][]byte{good[0], {1}}, a.Pin(), "verifier.example", c.t, "malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := VerifyPinned(tt.chain, tt.pin, tt.server, tt.now)
			if tt.want != "" {
				wantError(t, err, tt.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestVerifyPinnedRefusesEveryCut(t *testing.T) {
	a, c := newAuthority(t)
	good := certificate(t, newServer(t, a, hosts...)).Certificate
	for i, name := range []string{"leaf", "authority"} {
		for n := range good[i] {
			chain := slices.Clone(good)
			chain[i] = good[i][:n]
			if VerifyPinned(chain, a.Pin(), "localhost", c.t) == nil {
				t.Errorf("the first %d of the %d bytes of the %s are accepted", n, len(good[i]), name)
			}
		}
	}
}

// A leaf whose own key is pinned is no authority, even if it signs itself.
func TestVerifyPinnedNeedsAnAuthority(t *testing.T) {
	a, c := newAuthority(t)
	n, err := hostNames(hosts)
	if err != nil {
		t.Fatal(err)
	}
	x, err := a.issue(leaf{"x", x509.ExtKeyUsageServerAuth, n}, a.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	err = VerifyPinned([][]byte{x.Raw, x.Raw}, a.Pin(), "localhost", c.t)
	wantError(t, err, "not from the pinned authority")
}

func FuzzVerifyPinned(f *testing.F) {
	a, err := Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	s, err := a.Server("verifier", hosts)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.cert.Certificate[0], s.cert.Certificate[1])
	f.Fuzz(func(t *testing.T, leaf, ca []byte) {
		err := VerifyPinned([][]byte{leaf, ca}, a.Pin(), "localhost", time.Now())
		if err == nil && string(leaf) != string(s.cert.Certificate[0]) {
			t.Errorf("a leaf that the authority did not issue was accepted: %x", leaf)
		}
	})
}
