package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// A memo remembers templates of files that a policy allows though no set has them:
// what an exclusion matches, or a key has signed. That takes microseconds to find
// out, and every machine of a fleet asks the same. What it forgets is found out
// again.
type memo struct {
	once  sync.Once
	slots []atomic.Pointer[remembered]
}

// memoSize is the number of slots, a power of two: the signed files of a
// distribution, of some 90 bytes each.
const memoSize = 1 << 18

type remembered struct {
	sum      [sha256.Size]byte
	by       By
	template string
}

// By is the key whose signature allows a file, under the id that the signature
// names: a machine may have the key under another id, or have blacklisted this one.
// The zero By is no key.
type By struct {
	ID          uint32
	Fingerprint [sha256.Size]byte
}

// home returns the two slots that a sum can be in.
func (m *memo) home(sum *[sha256.Size]byte) (a, b *atomic.Pointer[remembered]) {
	m.once.Do(func() { m.slots = make([]atomic.Pointer[remembered], memoSize) })
	at := binary.LittleEndian.Uint64(sum[:]) % memoSize
	return &m.slots[at], &m.slots[at^1]
}

// Recall returns what Remember was told of an entry: its template's digest and
// name.
func (p *Policy) Recall(sum *[sha256.Size]byte, template []byte) (by By, ok bool) {
	a, b := p.memo.home(sum)
	for _, s := range [...]*atomic.Pointer[remembered]{a, b} {
		if r := s.Load(); r != nil && r.sum == *sum && r.template == string(template) {
			return r.by, true
		}
	}
	return by, false
}

// Remember notes that the policy allows the file of an entry, because of the
// signature of the key by; of none: whatever keys there are.
func (p *Policy) Remember(sum *[sha256.Size]byte, template []byte, by By) {
	a, b := p.memo.home(sum)
	if a.Load() != nil && b.Load() == nil {
		a = b
	}
	a.Store(&remembered{*sum, by, string(template)})
}
