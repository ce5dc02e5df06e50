package appraise_test

import (
	"fmt"
	"testing"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// I17: what was remembered of one machine holds for another where its keys hold, and
// under the same template alone.
func TestI17_WhatIsRememberedHoldsForTheSame(t *testing.T) {
	s := newSigner(t)
	p := allow(t, fmt.Sprintf(`"keyrings":{".ima":["%x"]},"excludes":["/tmp/.*"],"ima":{"ignored_keyrings":[".other"]}`, pcr.SHA256.Sum(s.certificate)), "/bin/a")
	signed, excluded := three("ima-sig", bad, "/bin/signed", s.sign(bad)), ima.NewFileEntry(pcr.SHA256, bad, "/tmp/x")
	renamed := excluded
	renamed.Template = []byte("ima-ngv2")
	violation := excluded
	violation.Digest = make([]byte, 20)
	for range 2 { // the second time it is remembered
		for name, c := range map[string]struct {
			entries []ima.Entry
			want    []wire.FailureID
		}{
			"with the key":          {[]ima.Entry{loaded(".ima", s.certificate), signed}, nil},
			"without the key":       {[]ima.Entry{signed}, []wire.FailureID{wire.IMANotInPolicy}},
			"the key not learned":   {[]ima.Entry{loaded(".other", s.certificate), signed}, []wire.FailureID{wire.IMANotInPolicy}},
			"the key, later":        {[]ima.Entry{signed, loaded(".ima", s.certificate)}, []wire.FailureID{wire.IMANotInPolicy}},
			"excluded":              {[]ima.Entry{excluded, excluded}, nil},
			"excluded, renamed":     {[]ima.Entry{renamed}, []wire.FailureID{wire.IMANoValidator}},
			"excluded, a violation": {[]ima.Entry{violation}, []wire.FailureID{wire.IMAViolation}},
		} {
			m := newMachine(t)
			m.Measure(c.entries...)
			_, o := m.appraise(m.Standing(), 0, p)
			t.Run(name, func(t *testing.T) { want(t, o, true, c.want...) })
		}
	}
}

// I17: a key vouches under the id that a signature names. What was remembered of one
// machine does not outlive a blacklist of another, though the key is there under
// another id.
func TestI17_WhatIsRememberedEndsWithTheKeyID(t *testing.T) {
	s := newSigner(t)
	again := s.under(t, []byte("another id"))
	p := allow(t, fmt.Sprintf(`"keyrings":{".ima":["%[1]x","%[2]x"],".blacklist":["%[1]x"]}`, pcr.SHA256.Sum(s.certificate), pcr.SHA256.Sum(again)), "/bin/a")
	signed := three("ima-sig", bad, "/bin/signed", s.sign(bad))
	for _, c := range []struct {
		name    string
		entries []ima.Entry
		want    []wire.FailureID
	}{
		{"both ids", []ima.Entry{loaded(".ima", s.certificate), loaded(".ima", again), signed}, nil},
		{"the id is blacklisted", []ima.Entry{loaded(".ima", s.certificate), loaded(".ima", again), loaded(".blacklist", s.certificate), signed}, []wire.FailureID{wire.IMAInvalidSignature}},
		{"under another id alone", []ima.Entry{loaded(".ima", again), signed}, []wire.FailureID{wire.IMAInvalidSignature}},
	} {
		m := newMachine(t)
		m.Measure(c.entries...)
		_, o := m.appraise(m.Standing(), 0, p)
		t.Run(c.name, func(t *testing.T) { want(t, o, true, c.want...) })
	}
}
