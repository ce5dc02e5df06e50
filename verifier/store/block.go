package store

import (
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// block is a run of entries, unpacked. It is immutable.
type block struct {
	first   int64 // number of the first entry
	kinds   []kind
	names   [][]byte // template names of the kinds
	which   []byte   // kind of each entry, plus one; 0: it was collected
	ends    []uint32
	all     []byte // template data of all
	sums    [][sha256.Size]byte
	columns [][sha1.Size]byte // the digest column
}

func (b *block) count() int { return len(b.which) }

func (b *block) has(n int64) bool { return b.first <= n && n-b.first < int64(len(b.which)) }

// kind returns the kind of an entry, nil if it was collected.
func (b *block) kind(i int) *kind {
	if b.which[i] == 0 {
		return nil
	}
	return &b.kinds[b.which[i]-1]
}

func (b *block) data(i int) []byte {
	var start uint32
	if i > 0 {
		start = b.ends[i-1]
	}
	return b.all[start:b.ends[i]:b.ends[i]]
}

// size is what the block takes in memory.
func (b *block) size() int {
	return 512 + len(b.all) + len(b.which)*(1+4+sha256.Size+sha1.Size)
}

// packer gathers entries for a block. The zero packer is empty.
type packer struct {
	kinds []kind
	which []byte
	sizes []int
	all   []byte
}

// add appends an entry, or reports that there is no room for it. An entry without
// a kind stands for one that was collected.
func (p *packer) add(k *kind, data []byte) bool {
	if len(p.which) == maxBlockEntries || len(p.which) > 0 && len(p.all)+len(data) > maxBlockData {
		return false
	}
	which, ok := p.kind(k)
	if !ok {
		return false
	}
	p.which = append(p.which, which)
	p.sizes = append(p.sizes, len(data))
	p.all = append(p.all, data...)
	return true
}

func (p *packer) kind(k *kind) (byte, bool) {
	if k == nil {
		return 0, true
	}
	for i := range p.kinds {
		if p.kinds[i].mask == k.mask {
			return byte(i + 1), true
		}
	}
	if len(p.kinds) == maxBlockKinds {
		return 0, false
	}
	p.kinds = append(p.kinds, *k)
	return byte(len(p.kinds)), true
}

// live is how many entries were not collected.
func (p *packer) live() int { return len(p.which) - bytes.Count(p.which, []byte{0}) }

// pack encodes the block: DEFLATE (RFC 1951) of
//
//	count uvarint | kinds u8 | kinds × {violation u8 | length u8 | template name}
//	count × kind u8 (0: collected) | count × length uvarint | data of all
//
// and after it its CRC-32C, little-endian.
func (p *packer) pack() []byte {
	b := binary.AppendUvarint(nil, uint64(len(p.which)))
	b = append(b, byte(len(p.kinds)))
	for _, k := range p.kinds {
		violation := byte(0)
		if k.violation {
			violation = 1
		}
		b = append(append(b, violation, byte(len(k.template))), k.template...)
	}
	b = append(b, p.which...)
	for _, n := range p.sizes {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return seal(deflate(nil, append(b, p.all...)))
}

var errDamaged = errors.New("damaged")

// unpack decodes a block whose first entry has the number first, and computes its
// digests.
func unpack(first int64, packed []byte) (*block, error) {
	b, err := unpackOnly(first, packed)
	if err != nil {
		return nil, fmt.Errorf("block of entries from number %d on: %w", first, err)
	}
	b.sums = make([][sha256.Size]byte, b.count())
	b.columns = make([][sha1.Size]byte, b.count())
	for i := range b.which {
		if k := b.kind(i); k != nil {
			b.sums[i], b.columns[i] = k.sum(b.data(i)), k.column(b.data(i))
		}
	}
	return b, nil
}

func unpackOnly(first int64, packed []byte) (*block, error) {
	packed, ok := unseal(packed)
	if !ok {
		return nil, errDamaged
	}
	raw, err := inflate(nil, packed, maxBlock)
	if err != nil {
		return nil, err
	}
	r := reader{rest: raw}
	b := &block{first: first}
	count := r.uvarint(maxBlockEntries)
	b.kinds = make([]kind, r.byte())
	for i := range b.kinds {
		violation := r.byte()
		name := r.bytes(int(r.byte()))
		b.kinds[i] = newKind(string(name), violation == 1)
		b.names = append(b.names, name)
	}
	b.which = r.bytes(count)
	end := 0
	for _, k := range b.which {
		if int(k) > len(b.kinds) {
			return nil, errDamaged
		}
		end += r.uvarint(ima.MaxTemplateData)
		b.ends = append(b.ends, uint32(end))
	}
	b.all = r.bytes(end)
	if r.failed || len(r.rest) != 0 || count == 0 {
		return nil, errDamaged
	}
	for i := range b.which {
		if k := b.kind(i); k != nil && !k.fits(b.data(i)) {
			return nil, errDamaged
		}
	}
	return b, nil
}

// entry returns an entry as the kernel writes it, and its digest. Its slices are
// the block's. It reports false if the entry was collected.
func (b *block) entry(n int64) (e ima.Entry, sum *[sha256.Size]byte, ok bool) {
	i := int(n - b.first)
	k := b.which[i]
	if k == 0 {
		return e, nil, false
	}
	return ima.Entry{PCR: pcr.IMA, Digest: b.columns[i][:], Template: b.names[k-1], Data: b.data(i)}, &b.sums[i], true
}

// seal appends the CRC-32C of b.
func seal(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// unseal checks and takes off what seal appended.
func unseal(b []byte) ([]byte, bool) {
	n := len(b) - crc32.Size
	if n < 0 || binary.LittleEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) {
		return nil, false
	}
	return b[:n:n], true
}

var (
	deflaters = sync.Pool{New: func() any {
		w, _ := flate.NewWriter(nil, flate.DefaultCompression) // the level is one that there is
		return w
	}}
	inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}
)

// deflate appends the compressed b.
func deflate(to, b []byte) []byte {
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	out := bytes.NewBuffer(to)
	w.Reset(out)
	w.Write(b) // a Buffer takes everything
	w.Close()
	return out.Bytes()
}

// inflate appends what b was before deflate: at most limit bytes, and b to its end.
func inflate(to, b []byte, limit int) ([]byte, error) {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	in := bytes.NewReader(b)
	r.(flate.Resetter).Reset(in, nil)
	out := bytes.NewBuffer(to)
	n, err := out.ReadFrom(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if n > int64(limit) || in.Len() > 0 {
		return nil, errDamaged
	}
	return out.Bytes(), nil
}

// reader reads from the front of rest. After it has failed it returns nothing.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) bytes(n int) []byte {
	if r.failed || n < 0 || n > len(r.rest) {
		r.failed = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	b := r.bytes(1)
	if b == nil {
		return 0
	}
	return b[0]
}

func (r *reader) uvarint(limit int) int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > uint64(limit) {
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}
