package digsig

import (
	"crypto"
	"fmt"
	"slices"

	"quicklime/wire/pcr"
)

// Hash names a hash function by the kernel's number for it
// (include/uapi/linux/hash_info.h, enum hash_algo).
type Hash uint8

// The hashes that are supported.
const (
	SHA1   Hash = 2
	SHA256 Hash = 4
	SHA384 Hash = 5
	SHA512 Hash = 6
	SHA224 Hash = 7
)

const (
	md5Hash Hash = 1
	unknown Hash = 0xFF // no kernel's number
)

// hashNames are the kernel's names of its hashes, by number (crypto/hash_info.c,
// hash_algo_name).
var hashNames = []string{
	"md4", "md5", "sha1", "rmd160", "sha256", "sha384", "sha512", "sha224",
	"rmd128", "rmd256", "rmd320", "wp256", "wp384", "wp512",
	"tgr128", "tgr160", "tgr192", "sm3", "streebog256", "streebog512",
	"sha3-256", "sha3-384", "sha3-512",
}

// HashOf returns the hash of a PCR bank.
func HashOf(b pcr.Bank) Hash { return ParseHash(b.String()) }

// ParseHash returns the hash of that name, as the kernel writes it in a digest
// field: "sha256". One that the kernel does not have is not supported.
func ParseHash(name string) Hash {
	if i := slices.Index(hashNames, name); i >= 0 {
		return Hash(i)
	}
	return unknown
}

// known reports whether the kernel has such a number.
func (h Hash) known() bool { return int(h) < len(hashNames) }

// String returns the kernel's name: "sha256".
func (h Hash) String() string {
	if h.known() {
		return hashNames[h]
	}
	return fmt.Sprintf("hash-%d", uint8(h))
}

// Size returns the length of a digest in bytes, 0 if h is not supported.
func (h Hash) Size() int {
	if h.function() == 0 {
		return 0
	}
	return h.function().Size()
}

func (h Hash) function() crypto.Hash {
	switch h {
	case SHA1:
		return crypto.SHA1
	case SHA224:
		return crypto.SHA224
	case SHA256:
		return crypto.SHA256
	case SHA384:
		return crypto.SHA384
	case SHA512:
		return crypto.SHA512
	}
	return 0
}

// sum returns the hash of the parts one after the other. h is supported.
func (h Hash) sum(parts ...[]byte) []byte {
	f := h.function().New()
	for _, p := range parts {
		f.Write(p)
	}
	return f.Sum(nil)
}
