package digsig

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Metadata are the fields of template evm-sig that a portable signature covers:
// all that the kernel hashes for it (security/integrity/evm/evm_crypto.c,
// evm_calc_hmac_or_hash and hmac_add_misc), for inode number, generation and file
// system are left out of a portable one:
//
//	values of the extended attributes | 0 u64 | 0 u32 | uid u32 | gid u32 | mode u16 | 0 u16
//
// in the machine's byte order. The widths are those of a 64-bit kernel, and the
// order little-endian; what another kernel verifies is ErrBadSignature here.
type Metadata struct {
	Names   []byte // xattrnames: the attributes, with "|" between them and a NUL at the end
	Lengths []byte // xattrlengths: u32 each, little-endian
	Values  []byte // xattrvalues: one after the other
	UID     uint32 // iuid
	GID     uint32 // igid
	Mode    uint16 // imode, with the file's type
}

// Verify checks that s is a portable signature over m by one of the keys in
// rings, and that the security.ima it covers vouches for d: holds that digest, or
// a signature over it by one of the keys. It returns the key of s.
//
// The kernel has keys of its own for the metadata, in the keyring .evm.
func (m Metadata) Verify(s Signature, d Digest, rings ...Ring) (*Key, error) {
	if s.Type != Portable {
		return nil, fmt.Errorf("%w: of type %d, for metadata", ErrBadSignature, s.Type)
	}
	if s.Hash.Size() == 0 {
		return nil, fmt.Errorf("%w hash %v", ErrUnsupported, s.Hash)
	}
	ima, err := m.ima()
	if err != nil {
		return nil, err
	}
	if err := vouches(ima, d, rings); err != nil {
		return nil, err
	}
	return s.verify(s.Hash.sum(m.Values, m.inode()), rings)
}

// inode is what struct h_misc of hmac_add_misc holds.
func (m Metadata) inode() []byte {
	b := make([]byte, 12, 24)
	b = binary.LittleEndian.AppendUint32(b, m.UID)
	b = binary.LittleEndian.AppendUint32(b, m.GID)
	return binary.LittleEndian.AppendUint32(b, uint32(m.Mode))
}

// ima returns the value of the one security.ima. Names, lengths and values are
// consumed to the last byte.
func (m Metadata) ima() (ima []byte, err error) {
	names, ended := bytes.CutSuffix(m.Names, []byte{0})
	lengths, values, found := m.Lengths, m.Values, 0
	for more := ended; more; {
		var name []byte
		name, names, more = bytes.Cut(names, []byte("|"))
		if len(lengths) < 4 || uint64(binary.LittleEndian.Uint32(lengths)) > uint64(len(values)) {
			return nil, fmt.Errorf("%w: fewer attributes than names", ErrMalformed)
		}
		n := binary.LittleEndian.Uint32(lengths)
		if string(name) == "security.ima" {
			ima, found = values[:n], found+1
		}
		lengths, values = lengths[4:], values[n:]
	}
	if found != 1 || len(lengths)+len(values) > 0 {
		return nil, fmt.Errorf("%w: the attributes are not those of the names, with one security.ima", ErrMalformed)
	}
	return ima, nil
}
