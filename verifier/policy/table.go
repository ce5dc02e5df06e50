package policy

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"quicklime/wire/pcr"
)

// table maps names to digests. All digests lie in one allocation and all names
// in another, so that a large policy is little work for the garbage collector.
type table struct {
	spans map[string]span
	sums  sums
}

// span is a part of a table's sums.
type span struct{ from, to uint32 }

// sums is a sequence of digests, each of them
//
//	algorithm u8, an index into pcr.Banks | digest
type sums []byte

// find returns the digests listed for name, and whether it is listed at all.
func (t *table) find(name []byte) (sums, bool) {
	s, ok := t.spans[string(name)]
	return t.sums[s.from:s.to], ok
}

// newTable packs files.
func newTable(files map[string]sums) table {
	var names, size int
	for name, s := range files {
		names, size = names+len(name), size+len(s)
	}
	var all strings.Builder
	all.Grow(names) // once, so that what String returns stays the same memory
	t := table{spans: make(map[string]span, len(files)), sums: make(sums, 0, size)}
	for name, s := range files {
		from, at := len(t.sums), all.Len()
		t.sums = append(t.sums, s...)
		all.WriteString(name)
		t.spans[all.String()[at:]] = span{uint32(from), uint32(len(t.sums))}
	}
	return t
}

// next returns the first digest of a sequence that is not empty, and the rest.
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
func (s sums) appendHex(text string) (sums, error) {
	for i, bank := range pcr.Banks {
		if len(text) != 2*bank.Size() {
			continue
		}
		if at := strings.IndexFunc(text, notHex); at >= 0 {
			return s, fmt.Errorf("%s: character %d is not a lower-case hexadecimal digit", quote(text), at+1)
		}
		s = append(s, byte(i))
		return hex.AppendDecode(s, []byte(text))
	}
	return s, fmt.Errorf("%s: %d digits are no digest: sha1 has 40, sha256 64, sha384 96, sha512 128", quote(text), len(text))
}

func notHex(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }
