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
