package store_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"quicklime/verifier/verifiertest"
)

// Of two sessions the later one stays, from whichever is heard first.
func TestNewestSession(t *testing.T) {
	s := newStore(t)
	e := enrol(t, s, verifiertest.New(t), "")
	want := func(number uint64, peers ...netip.AddrPort) {
		t.Helper()
		st := standing(t, s, e)
		got, err := s.Peers(t.Context())
		if err != nil || st.Session != number || !slices.Equal(slices.Collect(maps.Values(got)), peers) || len(got) == 1 && !got[e.SPKI].IsValid() {
			t.Errorf("session %d from %v, %v", st.Session, got, err)
		}
	}
	establish := func(number uint64, peer string) {
		t.Helper()
		if err := s.Establish(t.Context(), e, number, peer); err != nil {
			t.Fatal(err)
		}
	}
	want(0)
	establish(7, "192.0.2.1:1")
	want(7, netip.MustParseAddrPort("192.0.2.1:1"))
	establish(6, "192.0.2.2:1")
	want(7, netip.MustParseAddrPort("192.0.2.1:1"))
	establish(8, "[2001:db8::1]:2")
	want(8, netip.MustParseAddrPort("[2001:db8::1]:2"))
	establish(9, "nowhere")
	want(9)
}
