package store

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"

	"quicklime/ima"
)

// identity is what makes an entry the same as another: two of one identity have
// the same template data and the same template, and both or none record a
// violation. It is the SHA-256 of the data, in whose place a kind has its mask.
type identity [sha256.Size]byte

// kind is what of an entry is not in its template data. The digest column is not
// part of it: it decides nothing but whether a violation is recorded (I16).
type kind struct {
	template  string
	violation bool
	mask      identity
}

func newKind(template string, violation bool) kind {
	b := append([]byte{0}, template...)
	if violation {
		b[0] = 1
	}
	return kind{template, violation, sha256.Sum256(b)}
}

// is reports whether e is of the kind.
func (k kind) is(e ima.Entry) bool {
	return k.template == string(e.Template) && k.violation == e.Violation()
}

// identify returns the identity of an entry of the kind whose data has the digest
// sum.
func (k kind) identify(sum *[sha256.Size]byte) (id identity) {
	for i := 0; i < len(id); i += 8 {
		binary.NativeEndian.PutUint64(id[i:], binary.NativeEndian.Uint64(sum[i:])^binary.NativeEndian.Uint64(k.mask[i:]))
	}
	return id
}

// The index finds entries by 48 bits of a hash: of their identity, their path, or
// their file digest. What it finds has to be looked at; 48 bits are few enough for
// SQLite to store them in six bytes, and enough to find little else.

func (id identity) hash() int64 { return first48(id[:]) }

func pathHash(path []byte) int64 { return namedHash("path", path) }

func digestHash(digest []byte) int64 { return namedHash("digest", digest) }

func namedHash(name string, b []byte) int64 {
	in := append(make([]byte, 0, 256), name...)
	sum := sha256.Sum256(append(append(in, 0), b...))
	return first48(sum[:])
}

func first48(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) >> 16) }

// hashes appends the hashes that the index has of an entry. What a violation says
// of a file is not covered by any digest (I18), so that nobody finds it by that.
func (k kind) hashes(to []int64, id identity, data []byte) []int64 {
	to = append(to, id.hash())
	ev, ok := k.event(data)
	if !ok {
		return to
	}
	return append(to, pathHash(ev.Name), digestHash(ev.Digest))
}

// event is what an entry of the kind says of a file or a buffer.
func (k kind) event(data []byte) (ima.Event, bool) {
	if k.violation {
		return ima.Event{}, false
	}
	ev, err := ima.Entry{Template: []byte(k.template), Data: data}.Event()
	return ev, err == nil
}

// sum is the digest of what an entry of the kind hashes.
func (k kind) sum(data []byte) [sha256.Size]byte {
	if k.template != ima.Legacy {
		return sha256.Sum256(data)
	}
	return sha256.Sum256(ima.Entry{Template: []byte(k.template), Data: data}.AppendHashed(nil))
}

// column is the digest column that the kernel writes for an entry of the kind.
func (k kind) column(data []byte) (c [sha1.Size]byte) {
	switch {
	case k.violation:
		return c
	case k.template != ima.Legacy:
		return sha1.Sum(data)
	}
	return sha1.Sum(ima.Entry{Template: []byte(k.template), Data: data}.AppendHashed(nil))
}

// fits reports whether data can be that of an entry of the kind.
func (k kind) fits(data []byte) bool {
	e := ima.Entry{Digest: make([]byte, sha1.Size), Template: []byte(k.template), Data: data}
	if !e.Legacy() {
		return true
	}
	_, n, err := ima.ParseEntry(e.AppendTo(nil))
	return err == nil && n == len(e.AppendTo(nil))
}

// unstored is an entry that no number is known of.
type unstored struct {
	at   int // index in the collection
	kind *kind
	id   identity
	data []byte
}

// same reports whether an entry of a block is the same.
func (u *unstored) same(b *block, i int) bool {
	k := b.kind(i)
	return k != nil && k.violation == u.kind.violation && k.template == u.kind.template && bytes.Equal(b.data(i), u.data)
}
