package session

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
	"quicklime/wire/rest"
)

// I15: single PCRs are asked for, judged in every quote, and again when their policy
// changes.
func TestI15_SinglePCRs(t *testing.T) {
	log, _ := boots(t)
	f := newPlatform(t, log)
	set := func(values ...string) {
		t.Helper()
		text := rest.Text(`{"23":["` + strings.Join(values, `","`) + `"],"mask":"0x800000"}`)
		f.update(rest.AgentUpdate{TPMPolicy: &text})
	}
	zero, one := strings.Repeat("00", 32), strings.Repeat("11", 32)
	set(zero, strings.Repeat("00", 20))
	f.welcomed()
	if want := pcr.Range(0, 10) | pcr.Of(23); f.selection[0].PCRs != want || len(f.selection) != 1 {
		t.Errorf("asked for %v", f.selection)
	}
	f.attest()
	if a := f.want("as listed", wire.Trusted); a.Policies.TPM == wire.NotEvaluated || a.TPMPolicy == "" {
		t.Errorf("%+v", a.Policies)
	}
	extended := f.machine.PCRs
	f.machine.PCRs = verifiertest.LedTo(verifiertest.EditLog(log, func(all []verifiertest.LogEvent) []verifiertest.LogEvent {
		all[len(all)-1].PCR = 23
		return all[len(all)-1:]
	}), pcr.SHA256)
	value, _ := f.machine.PCRs.Get(pcr.SHA256, 23)
	all, _ := pcr.NewValues(pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, pcr.Count-1)}}, slices.Concat(extended.In(pcr.SHA256).Digests()[:23], [][]byte{value}))
	f.machine.PCRs = all
	f.attest()
	f.want("extended", wire.Untrusted, wire.PCRInvalid(23))
	f.must(f.clear())
	f.want("cleared", wire.Trusted)
	f.attest()
	f.want("still so", wire.Untrusted, wire.PCRInvalid(23))
	set(one)
	f.judged()
	f.want("another value", wire.Untrusted, wire.PCRInvalid(23))
	set(one, hex.EncodeToString(value))
	f.judged()
	f.want("listed", wire.Trusted)
	set(one)
	f.judged()
	f.want("not listed again", wire.Untrusted, wire.PCRInvalid(23))
	set(zero) // and back, as only a resettable PCR goes
	f.machine.PCRs = extended
	f.attest()
	f.want("what was found stands", wire.Untrusted, wire.PCRInvalid(23))
	f.update(rest.AgentUpdate{TPMPolicy: new(rest.Text)})
	f.judged()
	f.want("nobody evaluates: that judges nothing away", wire.Untrusted, wire.PCRInvalid(23))
	if !bytes.Equal(value, all.Digests()[23]) {
		t.Fatal("the test says nothing")
	}
}

// I15: a PCR that is listed in no bank that the machine has fails, and is not waited
// for.
func TestI15_ABankThatTheMachineLacks(t *testing.T) {
	log, _ := boots(t)
	f := newPlatform(t, log)
	text := rest.Text(`{"23":"` + strings.Repeat("00", 48) + `"}`)
	f.update(rest.AgentUpdate{TPMPolicy: &text})
	f.welcomed()
	f.attest()
	f.want("no SHA-384", wire.Untrusted, wire.PCRMissing)
	if err := f.covers(t.Context()); err != nil {
		t.Error(err)
	}
}
