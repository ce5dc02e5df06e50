package store

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
)

// known remembers the numbers of entries by identity. When half of maxKnown are
// new, it forgets those that nobody asked for since half of it was new the last
// time.
type known struct {
	mu         sync.Mutex
	generation int64 // of the garbage collection that the numbers are good for
	young, old *numbers
}

func newKnown(generation int64) *known {
	return &known{generation: generation, young: newNumbers(), old: newNumbers()}
}

// renew forgets everything that was of another generation.
func (k *known) renew(generation int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.generation != generation {
		k.generation, k.young, k.old = generation, newNumbers(), newNumbers()
	}
}

// forget makes the numbers good for the generation after, in which those of some
// identities are not any more.
func (k *known) forget(generation int64, ids []identity) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.generation != generation-1 {
		return
	}
	k.generation = generation
	for i := range ids {
		k.young.forget(&ids[i])
		k.old.forget(&ids[i])
	}
}

func (k *known) now() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.generation
}

// look sets the number of each identity, 0 if it is not known.
func (k *known) look(ids []identity, numbers []int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range ids {
		n := k.young.get(&ids[i])
		if n == 0 {
			if n = k.old.get(&ids[i]); n != 0 {
				k.put(&ids[i], n)
			}
		}
		numbers[i] = n
	}
}

// add remembers the number of an identity that was found or stored in a
// generation.
func (k *known) add(generation int64, id identity, n int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.generation == generation && k.young.get(&id) == 0 {
		k.put(&id, n)
	}
}

func (k *known) put(id *identity, n int64) {
	if len(k.young.ids) >= maxKnown/2 {
		k.young, k.old = newNumbers(), k.young
	}
	k.young.put(id, n)
}

// numbers is a hash table with open addressing, from identities to numbers.
type numbers struct {
	seed  [2]uint64 // secret: machines choose identities
	slots []uint32  // index in ids and of, plus one; 0: empty; twice as many as ids or more
	ids   []identity
	of    []int64
}

func newNumbers() *numbers {
	return &numbers{seed: [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1}, slots: make([]uint32, 1024)}
}

// slot is where the search for an identity begins: a multilinear hash of its
// first 16 bytes.
func (t *numbers) slot(id *identity) uint64 {
	h := binary.LittleEndian.Uint64(id[:])*t.seed[0] + binary.LittleEndian.Uint64(id[8:])*t.seed[1]
	return (h >> 40) & uint64(len(t.slots)-1)
}

func (t *numbers) get(id *identity) int64 {
	if n := t.find(id); n != nil {
		return *n
	}
	return 0
}

// find returns where the number of an identity is, or nil.
func (t *numbers) find(id *identity) *int64 {
	for s := t.slot(id); t.slots[s] != 0; s = (s + 1) & uint64(len(t.slots)-1) {
		if i := t.slots[s] - 1; t.ids[i] == *id && t.of[i] != 0 {
			return &t.of[i]
		}
	}
	return nil
}

// forget leaves the identity in the table without a number.
func (t *numbers) forget(id *identity) {
	if n := t.find(id); n != nil {
		*n = 0
	}
}

func (t *numbers) put(id *identity, n int64) {
	t.ids = append(t.ids, *id)
	t.of = append(t.of, n)
	if 2*len(t.ids) > len(t.slots) {
		t.slots = make([]uint32, 2*len(t.slots))
		for i := range t.ids {
			t.enter(i)
		}
		return
	}
	t.enter(len(t.ids) - 1)
}

func (t *numbers) enter(i int) {
	s := t.slot(&t.ids[i])
	for t.slots[s] != 0 {
		s = (s + 1) & uint64(len(t.slots)-1)
	}
	t.slots[s] = uint32(i + 1)
}
