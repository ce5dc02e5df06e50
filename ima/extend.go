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
func (s *Stream) extend(b Batch) {
	if !s.together() {
		for i, e := range b.Entries {
			b.Sums[i] = sha256.Sum256(e.hashed(&s.scratch))
			s.replayed.to.Extend(e)
		}
		return
	}
	for at := 0; at < len(b.Entries); {
		n := s.run(b, at)
		if n == 0 {
			s.alone(b, at)
			n = 1
		}
		at += n
	}
}

// run replays the entries from one on that extend what is hashed of their data, up
// to the first that does not, and returns how many they are.
func (s *Stream) run(b Batch, at int) int {
	end := at
	if b.Alike && !b.Entries[at].Legacy() {
		end = len(b.Entries)
	}
	for end < len(b.Entries) && !b.Entries[end].Legacy() && !b.Entries[end].Violation() {
		end++
	}
	s.pcr.Extend(s.hashed[at:end], b.Sums[at:end], s.near(b, at))
	s.replayed.to.entries += uint64(end - at)
	return end - at
}

// near is where the sums of entries like that one are looked for.
func (s *Stream) near(b Batch, at int) chain.Near {
	if s.finder == nil {
		return chain.Near{}
	}
	return s.finder.Near(b.Entries[at].Template)
}

// alone replays one entry of another kind.
func (s *Stream) alone(b Batch, at int) {
	e := b.Entries[at]
	b.Sums[at] = sha256.Sum256(e.hashed(&s.scratch))
	extends := b.Sums[at : at+1]
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
		s.near(b, at).Fetch(b.Sums[at : at+n])
	}
	chain.ExtendSums(to.sha256(), b.Sums[at:at+n])
	to.entries += uint64(n)
	return n
}
