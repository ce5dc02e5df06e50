// Package ima reads the kernel's measurement list and replays it to the value of
// the PCR that covers it. It is plain hashing, used by agent and verifier alike;
// it judges nothing.
//
// # Format
//
// The binary list (binary_runtime_measurements; kernel:
// security/integrity/ima/ima_fs.c, ima_measurements_show; Documentation/security/
// IMA-templates.rst) is a concatenation of entries in little-endian order:
//
//	pcr u32 | template digest [20]byte | length u32 | template name | length u32 | template data
//
// Template data is a sequence of fields, see [Format], each of them
//
//	length u32 | bytes
//
// The legacy template, "ima", has another layout: no length before the data, which
// is
//
//	digest [20]byte | length u32 | name, without a NUL
//
// The template digest column is the SHA-1 of what the template hashes, or all zero
// for a violation. A PCR bank is extended with the bank's own hash of it, and for a
// violation with 0xFF in every byte. What a template hashes is its data, and for
// the legacy one digest | name, filled up with NUL to 256 bytes. A kernel that does
// not have the hash of a bank extends it with the SHA-1, filled up with zeros
// ([State.Padded]).
//
// Neither the PCR index, nor the digest column, nor the template name is covered by
// what is extended; only the template data is, and for a violation not even that.
//
// Lists of big-endian kernels are not read.
package ima

import "errors"

var (
	// ErrShort says that the bytes end inside an entry.
	ErrShort = errors.New("measurement list ends inside an entry")
	// ErrMalformed says that the bytes are no measurement list.
	ErrMalformed = errors.New("malformed measurement list")
	// ErrOtherPCR says that an entry extends another PCR than the one that the
	// replay is of, which says nothing about it.
	ErrOtherPCR = errors.New("an entry for another PCR")
)
