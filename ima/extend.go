package ima

import (
	"crypto/sha256"

	"quicklime/ima/chain"
	"quicklime/wire/pcr"
)

// together reports whether the sums of a batch are what the PCR is extended with.
func (s *Stream) together() bool {
	to := &s.replayed.to
	return to.bank == pcr.SHA256 && !to.padded
}

// extend computes the sums of the batch, and the PCR after it.
func (s *Stream) extend() {
	if !s.together() {
		for i, e := range s.entries[:s.n] {
			s.sums[i] = sha256.Sum256(e.hashed(&s.scratch))
			s.replayed.to.Extend(e)
		}
		return
	}
	for at := 0; at < s.n; {
		n := s.run(at)
		if n == 0 {
			s.alone(at)
			n = 1
		}
		at += n
	}
}

// run replays the entries from one on that extend what is hashed of their data, up
// to the first that does not, and returns how many they are.
func (s *Stream) run(at int) int {
	end := at
	if s.alike && !isLegacy(s.entries[at].Template) {
		end = s.n
	}
	for end < s.n && !isLegacy(s.entries[end].Template) && !isViolation(s.entries[end].Digest) {
		end++
	}
	s.pcr.Extend(s.hashed[at:end], s.sums[at:end], s.near(s.entries[at].Template))
	s.replayed.to.entries += uint64(end - at)
	return end - at
}

// near is where the sums of entries of a template are looked for.
func (s *Stream) near(template []byte) chain.Near {
	if s.finder == nil {
		return chain.Near{}
	}
	return s.finder.Near(template)
}

// alone replays one entry of another kind.
func (s *Stream) alone(at int) {
	e := s.entries[at]
	s.sums[at] = sha256.Sum256(e.hashed(&s.scratch))
	extends := s.sums[at : at+1]
	if e.Violation() {
		extends = [][sha256.Size]byte{[sha256.Size]byte(violation[:])}
	}
	s.pcr.ExtendSums(extends)
	s.replayed.to.entries++
}

// Visit takes entries that were parsed and hashed before, with the sums that they
// had then.
func (s *Stream) Visit(b Batch) {
	if s.err != nil {
		return
	}
	for at := 0; at < len(b.Entries); {
		n := s.again(b, at)
		if n == 0 {
			s.replayed.to.Extend(b.Entries[at])
			n = 1
		}
		at += n
	}
	for _, e := range b.Entries {
		s.replayed.size += e.size()
	}
	for _, v := range s.visitors {
		v.Visit(b)
	}
}

// again is run for entries whose sums are known.
func (s *Stream) again(b Batch, at int) (n int) {
	if !s.together() {
		return 0
	}
	to := &s.replayed.to
	for _, e := range b.Entries[at:] {
		if e.Violation() {
			break
		}
		n++
	}
	if n > 0 {
		s.near(b.Entries[at].Template).Fetch(b.Sums[at : at+n])
	}
	chain.ExtendSums(to.sha256(), b.Sums[at:at+n])
	to.entries += uint64(n)
	return n
}
