package ca

import "time"

const (
	// serialBits is the length of a serial number, all of it random: nobody can guess
	// one, and two are never the same. RFC 5280, section 4.1.2.2, has room for 159.
	serialBits = 128

	// maxCommonName is X.520's ub-common-name (RFC 5280, appendix A): an agent's id
	// just fits.
	maxCommonName = 64 // bytes

	// maxNames bounds the alternative names of a certificate: more is a mistake of a
	// script, and grows every handshake.
	maxNames = 64

	// maxURI bounds a URI: what TLS stacks are known to take.
	maxURI = 2 << 10 // bytes

	// skew is how far a peer's clock may be behind ours.
	skew = 5 * time.Minute

	// keepExpired is how long the register remembers a certificate that has ended:
	// with one a day for each of a thousand machines it has some 20 MB.
	keepExpired = 30 * 24 * time.Hour

	// MaxRegister bounds a register: some hundred thousand certificates.
	MaxRegister = 64 << 20 // bytes

	// MaxPEM bounds a file with one key or certificate: RSA of 4096 bits has some
	// 3 KiB.
	MaxPEM = 64 << 10 // bytes
)
