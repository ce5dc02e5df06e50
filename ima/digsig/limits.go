package digsig

// Bounds on keys, which a machine or an operator may have from anywhere.
const (
	// MaxKey bounds a key in any of its forms: a certificate with a key of
	// MaxRSABits is about 2 KiB; a chain in its place is no key.
	MaxKey = 16 << 10 // bytes

	// MinRSABits is the least modulus: below it signatures are no longer to be
	// trusted (NIST SP 800-131A Revision 2, section 3). Kernels outside FIPS mode
	// verify with less.
	MinRSABits = 2048

	// MaxRSABits is the largest modulus that kernels verify with (kernel:
	// crypto/rsa.c, rsa_check_key_length).
	MaxRSABits = 4096

	// MaxKeys bounds the keys of one ring, and of all the rings of one machine: a
	// distribution's keyrings have some tens. All of them may share a key id, and
	// then one signature costs as many verifications.
	MaxKeys = 128

	// MaxRingName bounds the name of a keyring: kernels' own are under 32 bytes.
	MaxRingName = 255 // bytes
)
