// Package digsig reads the signatures of files that IMA and EVM keep with them,
// and the keys that verify them. It judges nothing: what a good signature is
// worth is the caller's to say.
//
// # Signature
//
// A signature stands in the extended attributes security.ima and security.evm of
// a file, and so in the fields sig and evmsig of a measurement list (kernel:
// security/integrity/integrity.h, struct signature_v2_hdr), big-endian:
//
//	type u8 | version u8 | hash u8 | key id u32 | size u16 | size bytes
//
// The hash is a number of enum hash_algo (include/uapi/linux/hash_info.h). The
// bytes are RSASSA-PKCS1-v1_5 (RFC 8017, 8.2) or an ECDSA-Sig-Value (RFC 3279,
// 2.2.3), by the kind of the key. What is signed depends on type and version
// (kernel: security/integrity/digsig_asymmetric.c):
//
//	type 3, version 2   the digest of the file
//	type 5, version 2   the digest of the file's metadata
//	type 3, 5, 6, version 3   the hash of {type u8, hash u8, digest}
//
// where 3 is of a file, 5 a portable signature of its metadata, which EVM makes
// and which says nothing about a file's digest by itself ([Metadata]), and 6 of
// an fs-verity digest. Kernels know version 3 of type 6 since 6.0, of 3 and 5
// since 7.1.
//
// The kernel computes a file's digest with the hash that its signature names, so
// a signature over another hash than that of the digest at hand verifies nothing.
//
// # Key id
//
// The key id is the last four bytes of a certificate's subject key identifier
// (kernel: crypto/asymmetric_keys/asymmetric_type.c, asymmetric_key_id_partial).
// Without one it is the last four bytes of the SHA-1 of the subjectPublicKey bits
// (evmctl: calc_keyid_v2). It finds a key and proves nothing; several keys may
// share one. The kernel also finds a certificate by the last bytes of its issuer,
// which nothing that signs files writes and which is not done here.
package digsig

import "errors"

var (
	// ErrNoSignature says that a field holds no signature: nothing, or the digest
	// or HMAC that a file without one has in its place.
	ErrNoSignature = errors.New("no signature")
	// ErrMalformed says that the bytes are nothing that a kernel accepts there.
	ErrMalformed = errors.New("malformed signature")
	// ErrUnsupported says that it is a signature or a key of a kind that is not
	// verified here; the text names the kind.
	ErrUnsupported = errors.New("unsupported")
	// ErrUnknownKey says that no key at hand has the signature's key id.
	ErrUnknownKey = errors.New("unknown key")
	// ErrBadSignature says that the signature is not one by that key over what it
	// was checked for.
	ErrBadSignature = errors.New("bad signature")
	// ErrNotKey says that the bytes are neither a certificate nor a public key.
	ErrNotKey = errors.New("not a public key or certificate")
)
