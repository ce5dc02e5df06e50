package dsse

import "quicklime/verifier/policy"

// Every bound on a signed policy, and why it is what it is.
const (
	// MaxEnvelope bounds an envelope: the largest policy in base64, and what is
	// around it.
	MaxEnvelope = policy.MaxPolicy/3*4 + MaxAround // bytes

	// MaxAround bounds what an envelope has beside its payload: the signatures, and
	// room to spare.
	MaxAround = 256 << 10 // bytes

	// MaxSignatures bounds the signatures of one envelope, each of which may have
	// to be tried with every key: a policy that several people release.
	MaxSignatures = 8

	// MaxSignature bounds a signature: one of RSA with 8192 bits.
	MaxSignature = 1024 // bytes

	// MaxKeyID bounds a key id: a certificate of 8 KiB, base64 twice.
	MaxKeyID = 16 << 10 // bytes

	// MaxMembers bounds the members of one object, three of which are known.
	MaxMembers = 32

	// MaxDepth bounds nesting, which only an unknown member has.
	MaxDepth = 32

	// MaxKeys bounds the keys and certificates that are configured: each may be
	// tried for each signature, at up to a millisecond.
	MaxKeys = 100

	// MaxKeyFile bounds a file of keys or certificates.
	MaxKeyFile = 1 << 20 // bytes

	// minRSA and maxRSA bound an RSA modulus: NIST SP 800-131A allows no less,
	// and what is longer costs more than it protects.
	minRSA, maxRSA = 2048, 8192 // bits

	// maxShown bounds what a message quotes of an envelope.
	maxShown = 80 // bytes
)
