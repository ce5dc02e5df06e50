package policy

import (
	"sync"
	"sync/atomic"
)

// A Hold is told of a set before p first searches it, and returns memory with the same
// contents to search instead, which must stay as it is for as long as p can be reached;
// or nil, and the set is searched where it is.
type Hold func(p *Policy, set []byte) []byte

// shapeSet is the set of a shape: as a compiled form has it, and where it is searched.
type shapeSet struct {
	form     *set                // nil: it is made of the lists
	searched atomic.Pointer[set] // nil: nobody has asked yet
	first    sync.Mutex          // held while what is searched comes to be
}

// set returns the set of a shape in which to search, the same to all who ask.
func (p *Policy) set(shape Shape) *set {
	of := &p.sets[shape]
	if s := of.searched.Load(); s != nil {
		return s
	}
	of.first.Lock()
	defer of.first.Unlock()
	if s := of.searched.Load(); s != nil {
		return s
	}
	s := of.form
	if s == nil {
		s = newSet(p.templateDigests(shape))
	}
	s = p.held(s)
	of.searched.Store(s)
	return s
}

// held returns a set where it is to be held.
func (p *Policy) held(s *set) *set {
	if p.hold == nil {
		return s
	}
	elsewhere, err := openSet(p.hold(p, s.bytes))
	if err != nil {
		return s
	}
	return elsewhere
}

// part returns a set as it is in the compiled form. No Hold is told for that of what
// was loaded from one.
func (p *Policy) part(shape Shape) []byte {
	if s := p.sets[shape].form; s != nil {
		return s.bytes
	}
	return p.set(shape).bytes
}
