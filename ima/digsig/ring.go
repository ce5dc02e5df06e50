package digsig

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Ring is a set of keys, of which several may have one id. It does not change:
// With makes another. The zero Ring is empty.
type Ring struct {
	keys []*Key // in order of id, then fingerprint; never written to
}

var errFull = errors.New("too many keys")

// With returns r with k, which is r itself if it has it. Over MaxKeys keys it
// fails.
func (r Ring) With(k *Key) (Ring, error) {
	i, ok := slices.BinarySearchFunc(r.keys, k, compareKeys)
	if ok {
		return r, nil
	}
	if len(r.keys) >= MaxKeys {
		return r, fmt.Errorf("%w: a ring holds %d", errFull, MaxKeys)
	}
	return Ring{slices.Insert(slices.Clip(r.keys), i, k)}, nil
}

// Keys returns the keys in order of their ids.
func (r Ring) Keys() []*Key { return slices.Clone(r.keys) }

// Empty reports whether the ring has no key.
func (r Ring) Empty() bool { return len(r.keys) == 0 }

// Has reports whether a key with that fingerprint is in r under that id.
func (r Ring) Has(id uint32, fingerprint [sha256.Size]byte) bool {
	return slices.ContainsFunc(r.find(id), func(k *Key) bool { return k.Fingerprint == fingerprint })
}

// find returns the keys of an id.
func (r Ring) find(id uint32) []*Key {
	from, _ := slices.BinarySearchFunc(r.keys, id, func(k *Key, id uint32) int { return cmp.Compare(k.ID, id) })
	to := from
	for to < len(r.keys) && r.keys[to].ID == id {
		to++
	}
	return r.keys[from:to]
}

func compareKeys(a, b *Key) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), bytes.Compare(a.Fingerprint[:], b.Fingerprint[:]))
}

// Rings are a machine's keyrings by name: ".ima". They do not change: With makes
// others. The zero Rings are none.
type Rings map[string]Ring

// With returns r with k in the ring of that name. Over MaxKeys keys in all, or a
// name over MaxRingName or of no bytes, it fails.
func (r Rings) With(name string, k *Key) (Rings, error) {
	if name == "" || len(name) > MaxRingName {
		return r, fmt.Errorf("the name of a keyring has 1 to %d bytes, not %d", MaxRingName, len(name))
	}
	ring, err := r[name].With(k)
	if err != nil {
		return r, fmt.Errorf("keyring %q: %w", name, err)
	}
	with := maps.Clone(r)
	if with == nil {
		with = Rings{}
	}
	with[name] = ring
	if with.count() > MaxKeys {
		return r, fmt.Errorf("%w: the keyrings of a machine hold %d", errFull, MaxKeys)
	}
	return with, nil
}

func (r Rings) count() (n int) {
	for _, ring := range r {
		n += len(ring.keys)
	}
	return n
}

// blacklists are the kernel's keyrings of keys that are not to be used
// (certs/blacklist.c; security/integrity/ima/ima_mok.c).
var blacklists = []string{".blacklist", ".ima_blacklist"}

// Vouching returns the rings whose keys may vouch for a file: more, and all of r
// but the kernel's blacklists; without the keys that a blacklist has, by id as
// the kernel compares them (security/integrity/digsig_asymmetric.c,
// request_asymmetric_key). None of them is empty.
func (r Rings) Vouching(more ...Ring) []Ring {
	var rings []Ring
	add := func(ring Ring) {
		if ring = ring.without(r.blacklisted); len(ring.keys) > 0 {
			rings = append(rings, ring)
		}
	}
	for _, ring := range more {
		add(ring)
	}
	for name, ring := range r {
		if !slices.Contains(blacklists, name) {
			add(ring)
		}
	}
	return rings
}

func (r Rings) blacklisted(k *Key) bool {
	return slices.ContainsFunc(blacklists, func(name string) bool { return len(r[name].find(k.ID)) > 0 })
}

func (r Ring) without(unwanted func(*Key) bool) Ring {
	if !slices.ContainsFunc(r.keys, unwanted) {
		return r
	}
	return Ring{slices.DeleteFunc(slices.Clone(r.keys), unwanted)}
}

// StoredKey is a key of a keyring as it is kept.
type StoredKey struct {
	Ring string `cbor:"1,keyasint"`
	ID   uint32 `cbor:"2,keyasint"`
	SPKI []byte `cbor:"3,keyasint"` // DER SubjectPublicKeyInfo
}

// Stored returns what Restore makes the rings of again: the keys in order of
// ring, id and fingerprint.
func (r Rings) Stored() []StoredKey {
	var stored []StoredKey
	for _, name := range slices.SortedFunc(maps.Keys(r), strings.Compare) {
		for _, k := range r[name].keys {
			stored = append(stored, StoredKey{Ring: name, ID: k.ID, SPKI: k.spki})
		}
	}
	return stored
}

// Restore returns the rings that Stored wrote. It believes nothing: each key is
// read and bounded as a new one.
func Restore(stored []StoredKey) (Rings, error) {
	var r Rings
	for i, s := range stored {
		k, err := NewKey(s.ID, s.SPKI)
		if err == nil {
			r, err = r.With(s.Ring, k)
		}
		if err != nil {
			return nil, fmt.Errorf("stored key %d: %w", i, err)
		}
	}
	return r, nil
}
