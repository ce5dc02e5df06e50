package pcr

import (
	"crypto"
	_ "crypto/sha1" // the hash of the SHA-1 bank
	_ "crypto/sha256"
	_ "crypto/sha512"
	"fmt"
)

// Bank names a PCR bank by the TPM_ALG_ID of its hash (TCG Algorithm Registry,
// table 3). The zero Bank is no bank.
type Bank uint16

// The banks this project can replay.
const (
	SHA1   Bank = 0x0004
	SHA256 Bank = 0x000B
	SHA384 Bank = 0x000C
	SHA512 Bank = 0x000D
)

// Banks lists the known banks, weakest first.
var Banks = []Bank{SHA1, SHA256, SHA384, SHA512}

// Hash returns the bank's hash function, or 0 for a bank that is not known.
func (b Bank) Hash() crypto.Hash {
	switch b {
	case SHA1:
		return crypto.SHA1
	case SHA256:
		return crypto.SHA256
	case SHA384:
		return crypto.SHA384
	case SHA512:
		return crypto.SHA512
	}
	return 0
}

// Known reports whether the project can replay the bank.
func (b Bank) Known() bool { return b.Hash() != 0 }

// Size returns the length of the bank's values in bytes, 0 if it is not known.
func (b Bank) Size() int {
	if !b.Known() {
		return 0
	}
	return b.Hash().Size()
}

// String returns the name the kernel uses: "sha256".
func (b Bank) String() string {
	switch b {
	case SHA1:
		return "sha1"
	case SHA256:
		return "sha256"
	case SHA384:
		return "sha384"
	case SHA512:
		return "sha512"
	}
	return fmt.Sprintf("alg-0x%04x", uint16(b))
}

// ParseBank reads a name as String writes it.
func ParseBank(s string) (Bank, error) {
	for _, b := range Banks {
		if b.String() == s {
			return b, nil
		}
	}
	return 0, fmt.Errorf("PCR bank %q is not one of sha1, sha256, sha384, sha512", s)
}

// MarshalText writes the bank's name, so that JSON and TOML show it.
func (b Bank) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a bank's name, or that of one that is not known as String
// writes it, so that what a newer program says can be read.
func (b *Bank) UnmarshalText(t []byte) (err error) {
	var id uint16
	if n, _ := fmt.Sscanf(string(t), "alg-0x%04x", &id); n == 1 && Bank(id).String() == string(t) {
		*b = Bank(id)
		return nil
	}
	*b, err = ParseBank(string(t))
	return err
}

// Extend returns H(value ‖ digest) in the bank, the new value of a PCR (TPM 2.0
// Library part 1, section 11.4.7). Both are Size bytes.
func (b Bank) Extend(value, digest []byte) []byte {
	h := b.Hash().New()
	h.Write(value)
	h.Write(digest)
	return h.Sum(nil)
}

// Sum returns H(p ‖ …) in the bank.
func (b Bank) Sum(parts ...[]byte) []byte {
	h := b.Hash().New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
