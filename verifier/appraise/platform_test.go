package appraise_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/ima"
	"quicklime/verifier/appraise"
	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/verifier/pcrpolicy"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

const sha384Boot = "ovmf-6.1-sha384bank"

// referenceIn is the reference state of a captured boot in one bank.
func referenceIn(t testing.TB, name string, b pcr.Bank) *bootpolicy.Policy {
	t.Helper()
	p, err := bootpolicy.Parse(verifiertest.Reference(t, b, verifiertest.BootLog(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// begun is evidence of a captured boot that quotes a selection.
func begun(t testing.TB, name string, s pcr.Selection) *appraise.Begun {
	t.Helper()
	m := verifiertest.New(t)
	m.PCRs = verifiertest.PCRs(t, name)
	m.Selection, m.List, m.PCR = s, nil, ima.NewState(pcr.SHA256)
	m.Measure(m.Aggregate())
	ev, _ := m.Evidence(0)
	q := verifiertest.Question()
	q.Selection = s
	b, err := appraise.Begin(m.Standing(), q, ev)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// I15: a boot is quoted and judged in the bank that its reference state is of, and
// not in a stronger one that is quoted for another reason.
func TestI15_TheBankOfTheBootPolicy(t *testing.T) {
	base := pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10)}}
	boot := pcr.Range(0, 9) | pcr.Of(14)
	active := []pcr.Bank{pcr.SHA256, pcr.SHA384}
	for _, c := range []struct {
		of, lowest pcr.Bank
		base, want pcr.Selection
	}{
		{pcr.SHA256, pcr.SHA256, base, pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10) | pcr.Of(14)}}},
		{pcr.SHA384, pcr.SHA256, base, pcr.Selection{base[0], {Bank: pcr.SHA384, PCRs: boot}}},
		{pcr.SHA256, pcr.SHA256, pcr.Selection{base[0], {Bank: pcr.SHA384, PCRs: pcr.Range(0, 9)}},
			pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10) | pcr.Of(14)}, {Bank: pcr.SHA384, PCRs: pcr.Range(0, 9)}}},
		{pcr.SHA256, pcr.SHA256, pcr.Selection{base[0], {Bank: pcr.SHA384, PCRs: boot}}, pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10) | pcr.Of(14)}, {Bank: pcr.SHA384, PCRs: boot}}},
	} {
		p := appraise.Platform{Boot: referenceIn(t, sha384Boot, c.of), Lowest: c.lowest}
		got := p.Widen(c.base, pcr.SHA256, active)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%v (-want +got):\n%s", c.of, d)
		}
		b := begun(t, sha384Boot, got)
		o := b.Opine(p, appraise.Boot{Logs: appraise.Logs{Boot: verifiertest.BootLog(t, sha384Boot)}, Asked: true})
		if len(o.OfBoot) > 0 || o.BootWaits || o.BootValues == nil {
			t.Errorf("%v: %+v", c.of, o)
		}
		if b.BootValues(p) == nil || string(b.BootValues(p)) != string(o.BootValues) {
			t.Error("the same boot has other values")
		}
		weaker := begun(t, sha384Boot, base)
		if o := weaker.Opine(p, appraise.Boot{Logs: appraise.Logs{Boot: verifiertest.BootLog(t, sha384Boot)}, Asked: true}); len(o.OfBoot) == 0 || o.OfBoot[0].ID != wire.BootMissingPCRs {
			t.Errorf("without PCR 14: %+v", o)
		}
	}
	p := appraise.Platform{Boot: referenceIn(t, sha384Boot, pcr.SHA384), Lowest: pcr.SHA256}
	if got := p.Widen(base, pcr.SHA256, []pcr.Bank{pcr.SHA256}); len(got) != 1 || got[0].PCRs != pcr.Range(0, 10)|pcr.Of(14) {
		t.Errorf("without the bank: %v", got)
	}
}

// I21: no policy says nothing, whatever there is to judge.
func TestI21_NoPlatform(t *testing.T) {
	b := begun(t, sha384Boot, verifiertest.Selection)
	if d := cmp.Diff(appraise.Opinion{Boot: wire.NotEvaluated, PCRs: wire.NotEvaluated}, b.Opine(appraise.Platform{}, appraise.Boot{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if p := (appraise.Platform{}); b.BootValues(p) != nil || len(p.Widen(verifiertest.Selection, pcr.SHA256, nil)) != 1 {
		t.Error("something is judged")
	}
}

// I04: however much is wrong with a boot, so much is recorded, and the last says how
// much more there is.
func TestI04_FailuresOfABootAreBounded(t *testing.T) {
	name := "ovmf-secureboot-6.1"
	log := verifiertest.EditLog(verifiertest.BootLog(t, name), func(all []verifiertest.LogEvent) []verifiertest.LogEvent {
		for i := range 1000 {
			e := verifiertest.LogEvent{PCR: 14, Type: uint32(eventlog.IPL), Digests: map[pcr.Bank][]byte{pcr.SHA1: nil, pcr.SHA256: nil}, Data: fmt.Appendf(nil, "Mok%d\x00", i)}
			e.Measured(e.Data)
			all = append(all, e)
		}
		return all
	})
	m := verifiertest.New(t)
	m.Booted(log)
	p := appraise.Platform{Boot: referenceIn(t, name, pcr.SHA256), Lowest: pcr.SHA256}
	m.Selection = p.Widen(verifiertest.Selection, pcr.SHA256, nil)
	q := verifiertest.Question()
	q.Selection = m.Selection
	ev, _ := m.Evidence(0)
	b, err := appraise.Begin(m.Standing(), q, ev)
	if err != nil {
		t.Fatal(err)
	}
	o := b.Opine(p, appraise.Boot{Logs: appraise.Logs{Boot: log}})
	if n := len(o.OfBoot); n != 120 || o.OfBoot[n-1].Message != "and 881 more" || o.OfBoot[n-1].ID != o.OfBoot[0].ID {
		t.Errorf("%d failures, the last %+v", n, o.OfBoot[n-1])
	}
	seen := map[string]bool{}
	for _, f := range o.OfBoot {
		if seen[string(f.Key)] || f.Entry != nil {
			t.Errorf("%+v is not told from others", f)
		}
		seen[string(f.Key)] = true
	}
}

// I07, I15: what single PCRs hold is not judged by a quote that was not asked to
// cover them.
func TestI15_PCRsWait(t *testing.T) {
	p, err := pcrpolicy.Parse([]byte(`{"16":"` + hex.EncodeToString(make([]byte, 32)) + `","7":"` + strings.Repeat("1", 64) + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	platform := appraise.Platform{PCRs: p, Lowest: pcr.SHA256}
	b := begun(t, sha384Boot, verifiertest.Selection)
	if o := b.Opine(platform, appraise.Boot{}); !o.PCRsWait || len(o.OfPCRs) > 0 {
		t.Errorf("%+v", o)
	}
	if o := b.Opine(platform, appraise.Boot{Asked: true}); o.PCRsWait || len(o.OfPCRs) != 2 {
		t.Errorf("%+v", o)
	}
	wide := begun(t, sha384Boot, platform.Widen(verifiertest.Selection, pcr.SHA256, nil))
	if o := wide.Opine(platform, appraise.Boot{}); o.PCRsWait || len(o.OfPCRs) != 1 || o.OfPCRs[0].ID != wire.PCRInvalid(7) {
		t.Errorf("%+v", o)
	}
}

// BenchmarkBoot judges a boot with Secure Boot by its own reference state, which is
// what one costs at its first evidence.
func BenchmarkBoot(b *testing.B) {
	const name = "ovmf-secureboot-6.1"
	p := appraise.Platform{Boot: referenceIn(b, name, pcr.SHA256), Lowest: pcr.SHA256}
	e := begun(b, name, p.Widen(verifiertest.Selection, pcr.SHA256, nil))
	log := verifiertest.BootLog(b, name)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if o := e.Opine(p, appraise.Boot{Logs: appraise.Logs{Boot: log}}); len(o.OfBoot) > 0 || o.BootWaits {
			b.Fatalf("%+v", o)
		}
	}
}
