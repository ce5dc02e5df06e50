package session_test

import (
	"testing"

	"quicklime/wire"
	"quicklime/wire/channel"
	"quicklime/wire/pcr"
	"quicklime/wire/tpm/softtpm"
)

// I06: over the enrolled transport key, evidence by another TPM's AK proves
// nothing.
func TestI06_AnotherAKUnderTheEnrolledKey(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.AK = softtpm.New(t)
	a.begin()
	ev, list := a.Evidence(0)
	a.send(ev, list)
	if code := a.closed(); code != channel.CodeProtocol {
		t.Errorf("%v", code)
	}
	if r := v.status().Rejected; r == nil || r.ID != wire.QuoteInvalid {
		t.Errorf("%+v", r)
	}
}

// I16: a list that is not what was announced is malformed, though its bytes
// replay.
func TestI16_AsManyEntriesComeAsWereAnnounced(t *testing.T) {
	v := newVerifier(t, calm)
	a := v.agent()
	a.enrol(pcr.SHA256, "")
	a.begin()
	ev, list := a.Evidence(0)
	ev.IMA.Count++
	a.send(ev, list)
	if got := receive[wire.Verdict](a); got.Accepted || got.Reason != wire.IMAMalformed {
		t.Errorf("%+v", got)
	}
}
