package policy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"quicklime/wire/pcr"
)

// table maps names to digests. It is two byte strings without pointers, of the
// same contents in memory and in a file (little-endian):
//
//	records  one after the other: name length u16 | length of sums u16 | name | sums
//	index    slots of u32, each 0 or 1 + the offset of a record, which lies in the
//	         first empty slot at or behind the one that its name hashes to
//
// A record to which no slot leads has been replaced by a later one. Neither
// string is trusted: a record that does not fit is none.
type table struct {
	seed    uint64 // of the hash: not known to who chooses the names
	records []byte
	index   []byte
	names   int // filled slots; counted only while a table is made
}

// sums is a sequence of digests, each of them
//
//	algorithm u8, an index into pcr.Banks | digest
type sums []byte

const (
	recordHeader = 4  // bytes
	firstSlots   = 64 // of an index
)

// find returns the digests listed for name, and whether it is listed at all.
func (t *table) find(name []byte) (sums, bool) {
	_, s, listed := t.slot(name)
	return s, listed
}

// slot returns where in the index name is, or else belongs.
func (t *table) slot(name []byte) (at int, s sums, listed bool) {
	slots := len(t.index) / 4
	home, _ := bits.Mul64(hash(name, t.seed), uint64(slots))
	at = 4 * int(home)
	for range slots {
		entry := binary.LittleEndian.Uint32(t.index[at:])
		if entry == 0 {
			return at, nil, false
		}
		if found, s, _ := t.record(int(entry) - 1); found != nil && bytes.Equal(found, name) {
			return at, s, true
		}
		if at += 4; at == 4*slots {
			at = 0
		}
	}
	return 0, nil, false
}

// record returns the record at an offset and the offset behind it; the name is
// nil, and the next offset that of the end, if there is none.
func (t *table) record(at int) (name []byte, s sums, next int) {
	if at > len(t.records)-recordHeader {
		return nil, nil, len(t.records)
	}
	rest := t.records[at+recordHeader:]
	path := int(binary.LittleEndian.Uint16(t.records[at:]))
	size := path + int(binary.LittleEndian.Uint16(t.records[at+2:]))
	if size > len(rest) || !sums(rest[path:size]).valid() {
		return nil, nil, len(t.records)
	}
	return rest[:path:path], sums(rest[path:size:size]), at + recordHeader + size
}

// put adds a name, or replaces what is listed for it.
func (t *table) put(name []byte, s sums) {
	if 5*t.names >= len(t.index) { // four of five slots are filled
		t.grow()
	}
	at, _, listed := t.slot(name)
	if !listed {
		t.names++
	}
	binary.LittleEndian.PutUint32(t.index[at:], uint32(1+len(t.records)))
	t.records = binary.LittleEndian.AppendUint16(t.records, uint16(len(name)))
	t.records = binary.LittleEndian.AppendUint16(t.records, uint16(len(s)))
	t.records = append(append(t.records, name...), s...)
}

// grow doubles the index.
func (t *table) grow() {
	t.index = make([]byte, max(4*firstSlots, 2*len(t.index)))
	for at := 0; at < len(t.records); {
		name, _, next := t.record(at)
		slot, _, _ := t.slot(name)
		binary.LittleEndian.PutUint32(t.index[slot:], uint32(1+at))
		at = next
	}
}

// each calls f with every record, replaced ones included.
func (t *table) each(f func(name []byte, s sums)) {
	for at := 0; at < len(t.records); {
		name, s, next := t.record(at)
		if name != nil {
			f(name, s)
		}
		at = next
	}
}

// eachInForce calls f with every record that is not replaced by a later one.
func (t *table) eachInForce(f func(name []byte, s sums)) {
	for at := 0; at < len(t.records); {
		name, s, next := t.record(at)
		if name != nil {
			if slot, _, listed := t.slot(name); listed && binary.LittleEndian.Uint32(t.index[slot:]) == uint32(1+at) {
				f(name, s)
			}
		}
		at = next
	}
}

// hash mixes a name into a seed, eight bytes at a time.
func hash(name []byte, seed uint64) uint64 {
	const odd = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	h := seed ^ uint64(len(name))
	for ; len(name) >= 8; name = name[8:] {
		hi, lo := bits.Mul64(h^binary.LittleEndian.Uint64(name), odd)
		h = hi ^ lo
	}
	var last [8]byte
	copy(last[:], name)
	hi, lo := bits.Mul64(h^binary.LittleEndian.Uint64(last[:]), odd)
	h = hi ^ lo
	return h * odd
}

// valid reports whether the sequence is whole.
func (s sums) valid() bool {
	for len(s) > 0 {
		if int(s[0]) >= len(pcr.Banks) || len(s) <= pcr.Banks[s[0]].Size() {
			return false
		}
		s = s[1+pcr.Banks[s[0]].Size():]
	}
	return true
}

// next returns the first digest of a valid sequence that is not empty, and the rest.
func (s sums) next() (bank pcr.Bank, digest []byte, rest sums) {
	bank = pcr.Banks[s[0]]
	end := 1 + bank.Size()
	return bank, s[1:end], s[end:]
}

// has reports whether the digest is in the sequence.
func (s sums) has(algorithm pcr.Bank, digest []byte) bool {
	for len(s) > 0 {
		var bank pcr.Bank
		var listed []byte
		bank, listed, s = s.next()
		if bank == algorithm && bytes.Equal(listed, digest) {
			return true
		}
	}
	return false
}

// len returns the number of digests.
func (s sums) len() (n int) {
	for ; len(s) > 0; n++ {
		_, _, s = s.next()
	}
	return n
}

// show returns the first limit digests as "sha256:…" and how many it leaves out.
func (s sums) show(limit int) (shown []string, more int) {
	for len(s) > 0 {
		var bank pcr.Bank
		var digest []byte
		bank, digest, s = s.next()
		if len(shown) == limit {
			more++
			continue
		}
		shown = append(shown, bank.String()+":"+hex.EncodeToString(digest))
	}
	return shown, more
}

// appendHex appends the digest that text holds in lower-case hexadecimal.
func appendHex[T string | []byte](s sums, text T) (sums, error) {
	for i, bank := range pcr.Banks {
		if len(text) != 2*bank.Size() {
			continue
		}
		from := len(s)
		s = append(s, byte(i))
		for at := 0; at < len(text); at += 2 {
			high, low := nibble[text[at]], nibble[text[at+1]]
			if high|low == notHex {
				if high != notHex {
					at++
				}
				return s[:from], fmt.Errorf("%s: character %d is not a lower-case hexadecimal digit: write 0 to 9 and a to f", quote(string(text)), at+1)
			}
			s = append(s, high<<4|low)
		}
		return s, nil
	}
	return s, fmt.Errorf("%s: %d digits are no digest: sha1 has 40, sha256 64, sha384 96, sha512 128; write all of them and nothing else, no \"sha256:\"", quote(string(text)), len(text))
}

const notHex = 0xff

// nibble is the value of a lower-case hexadecimal digit, or notHex.
var nibble = func() (t [256]byte) {
	for i := range t {
		t[i] = notHex
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	return t
}()
