package appraise

import (
	"quicklime/ima"
	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// Counts says what a policy makes of the entries of a list, each of which is counted
// once.
type Counts struct {
	Entries    uint64 `json:"entries"`    // the sum of the others
	Failed     uint64 `json:"failed"`     // with at least one failure
	Listed     uint64 `json:"listed"`     // files whose digest the policy lists
	Excluded   uint64 `json:"excluded"`   // files that nobody judges
	Signed     uint64 `json:"signed"`     // files that only their signature vouches for
	Buffers    uint64 `json:"buffers"`    // keys and other buffers
	Aggregates uint64 `json:"aggregates"` // boot_aggregate, which only a quote could confirm
	Violations uint64 `json:"violations"` // that the policy accepts
}

// Survey judges a whole list that no quote is at hand for, as Preview does, and
// calls each with every failure, however many there are, but for those that the
// policy only warns of. They have no label: that is a verifier's to give.
func Survey(list []byte, p *policy.Policy, each func(wire.Failure)) (Counts, error) {
	s := surveyor{failed: map[uint64]bool{}}
	s.judge.each = func(f wire.Failure) {
		if f.Warned {
			return
		}
		f.Severity, f.Tolerated = "", false
		if f.Entry != nil {
			s.failed[*f.Entry] = true
		}
		each(f)
	}
	s.judge.under(p)
	r, err := ima.Replay(ima.NewState(pcr.SHA256), list, &s)
	if err != nil {
		return Counts{}, err
	}
	s.judge.conclude(r)
	return s.counts, nil
}

// A surveyor counts what its judge decides.
type surveyor struct {
	judge  judge
	failed map[uint64]bool // entries of the batch
	counts Counts
}

func (s *surveyor) Visit(b ima.Batch) {
	clear(s.failed)
	s.judge.Visit(b)
	for at, e := range b.Entries {
		s.counts.Entries++
		*s.of(b.First+uint64(at), e)++
	}
}

// of returns the count that an entry belongs to.
func (s *surveyor) of(i uint64, e ima.Entry) *uint64 {
	switch {
	case s.failed[i]:
		return &s.counts.Failed
	case e.Violation():
		return &s.counts.Violations
	}
	events, _ := s.judge.readings(e) // or it would have failed
	ev := events[0]
	switch {
	case ev.Buffer != nil:
		return &s.counts.Buffers
	case string(ev.Name) == ima.BootAggregate:
		return &s.counts.Aggregates
	case s.judge.policy == nil:
		return &s.counts.Excluded
	}
	switch s.judge.policy.JudgeFile(ev.Name, ev.Algorithm, ev.Digest).Verdict {
	case policy.Allowed:
		return &s.counts.Listed
	case policy.Excluded:
		return &s.counts.Excluded
	}
	return &s.counts.Signed
}
