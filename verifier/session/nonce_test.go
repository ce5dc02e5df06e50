package session

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
)

// I07, I13: trust is dated from the issue of the nonce, however late its evidence
// comes.
func TestI07_I13_TrustIsDatedFromTheNonce(t *testing.T) {
	f := newFixture(t, "/bin/a")
	f.own.issued = mustNow(f).Add(-DefaultTiming.Trust())
	ev, b, r := f.began()
	if accepted, err := f.settle(t.Context(), ev, b, r); !accepted || err != nil {
		t.Fatal(accepted, err)
	}
	if got := f.trust(); got.Trust != wire.Stale {
		t.Errorf("%s (%s)", got.Trust, got.Reason)
	}
}

func TestI13_NoncesAreUnique(t *testing.T) {
	f := newFixture(t, "/bin/a")
	seen := map[[wire.NonceSize]byte]bool{{}: true}
	for range 100 {
		n, err := f.server.newNonce(t.Context())
		if err != nil || seen[n.value] {
			t.Fatalf("nonce %x, %v", n.value, err)
		}
		seen[n.value] = true
	}
}

// I13: a session that never had evidence ends. It has no connection to challenge
// on.
func TestI13_WhoShowsNothingIsLeft(t *testing.T) {
	f := newFixture(t, "/bin/a")
	f.due = time.Now().Add(-time.Millisecond)
	if err := f.step(t.Context()); !errors.Is(err, errSilent) {
		t.Error(err)
	}
}

// I15: what is asked for is PCR 10 and the boot PCRs in the bank of the list, and
// the boot PCRs in the bank of boot_aggregate.
func TestI15_WelcomeAsksForWhatIsJudged(t *testing.T) {
	f := newFixture(t, "/bin/a")
	boot, list := pcr.Range(0, 9), pcr.Range(0, 10)
	for aggregate, want := range map[pcr.Bank]pcr.Selection{
		0:          {{Bank: pcr.SHA256, PCRs: list}},
		pcr.SHA256: {{Bank: pcr.SHA256, PCRs: list}},
		pcr.SHA1:   {{Bank: pcr.SHA256, PCRs: list}, {Bank: pcr.SHA1, PCRs: boot}},
	} {
		if err := f.choose(wire.Hello{Banks: []pcr.Bank{pcr.SHA1, pcr.SHA256}, Aggregate: aggregate}, false); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, f.selection, cmp.AllowUnexported(pcr.BankSet{})); d != "" {
			t.Errorf("boot_aggregate in %v: %s", aggregate, d)
		}
	}
}

// I08: only an enrolled key has a place among the known; any other is a stranger's
// (wire/channel bounds them apart).
func TestI08_OnlyEnrolledKeysAreKnown(t *testing.T) {
	f := newFixture(t, "/bin/a")
	if known, err := f.server.Admit(channel.Peer{}); known || err != nil {
		t.Errorf("a key that is not enrolled: %v, %v", known, err)
	}
	if known, err := f.server.Admit(channel.Peer{SPKI: f.enrolment.SPKI}); !known || err != nil {
		t.Errorf("one that is: %v, %v", known, err)
	}
}
