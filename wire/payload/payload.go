// Package payload is how an operator sends something secret to one machine through
// a verifier that cannot read it: the split key, the ciphertext, the manifest that
// the operator signs, and the receipt that the machine answers with.
//
// # Keys
//
// U and V are 32 random bytes each, made anew for each version of a payload.
//
//	U  is sealed by the operator to one TPM with one AK: TPM2_MakeCredential for
//	   the EK and the Name of the AK (TPM 2.0 Library part 1, section 24)
//	V  is kept by the verifier, which gives it to the agent only with a verdict
//	   that the machine is trusted
//
// Neither says anything of U xor V, from which two keys come by HKDF-SHA-256 (RFC
// 5869) without a salt and with
//
//	info = << [label, agent id, name, version] >>
//
// where label is "quicklime-payload/1 content" for the content and
// "quicklime-payload/1 receipt" for receipts.
//
// # Ciphertext
//
// The plaintext is cut into segments of 64 KiB, of which the last may be shorter
// and is empty only if all is. Each is sealed by AES-256-GCM without additional
// data, under a nonce of
//
//	7 zero bytes | number of the segment u32, big-endian | 1 if it is the last, else 0
//
// which is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online
// Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance, 2015): segments
// can be neither left out, reordered, repeated nor cut off at the end. A key
// encrypts one plaintext, so that the nonces need no random part.
//
// # Manifest
//
// A tagged COSE_Sign1 (RFC 9052, section 4.2) in deterministic encoding (RFC 8949,
// section 4.2.1), by the operator's payload key, ECDSA on P-256, which the join
// token gave to the machine:
//
//	18([protected, {}, claims, signature])
//
//	protected = << {1: -7, 4: kid, 16: "application/quicklime-payload+cbor"} >>
//	            ; alg ES256; kid: SHA-256 of the key as an uncompressed point
//	claims    = << {
//	              1: bstr .size 32  ; agent id
//	              2: tstr           ; name
//	              3: uint           ; version, from 1; of a name, it only grows
//	              4: "file" / "archive" / "certificates"
//	              5: tstr           ; name of the file; empty, if it is no file
//	              6: uint           ; length of the plaintext
//	              7: bstr .size 32  ; SHA-256 of the ciphertext
//	              8: bstr .size 32  ; SHA-256 of the sealed share, as SealedShare.Digest
//	              9: uint           ; issued, seconds since 1970 UTC
//	             10: uint           ; expiry, the same
//	            } >>
//
// The external_aad is << "quicklime-payload/1" >>. The length of the ciphertext
// follows from that of the plaintext.
//
// # Receipt
//
// What became of a version, on the machine's word, authenticated by whoever opened
// it and so by nobody but the operator and the machine:
//
//	receipt = << [outcome, mac] >>
//	outcome = << { 1: bstr .size 32, 2: tstr, 3: uint, 4: "stored" / "failed" / "withdrawn", 5: uint, 6: uint, 7: tstr, ? 8: run } >>
//	run     = { 1: int, 2: uint, 3: bstr, 4: bool }
//	mac     = HMAC-SHA256(receipt key, outcome)
//
// See Outcome and Run for what the keys mean.
//
// The package is pure: plain data in, plain data out.
package payload

import "errors"

// ErrInvalid says that bytes are not what they should be, or not by whom, or not
// for whom. Every error about a manifest, a ciphertext or a receipt wraps it.
var ErrInvalid = errors.New("invalid payload")

// protocol is the version of it all.
const protocol = "quicklime-payload/1"
