// Package wire is what the programs share: the messages they exchange, the ids of
// failures, every limit, and the version of it all. It is the specification of
// the protocol; docs/protocol.md tells the same for people who do not read Go.
//
// # Connections
//
// An agent dials; nothing dials an agent. It speaks QUIC version 1 (RFC 9000)
// with TLS 1.3, mutually authenticated, without 0-RTT and without tickets, to the
//
//	registrar  ALPN "quicklime-register/1"  exporter label EXPORTER-quicklime-register-1
//	verifier   ALPN "quicklime-attest/1"    exporter label EXPORTER-quicklime-attest-1
//
// The agent knows the server by a name under a CA whose SubjectPublicKeyInfo it
// has pinned. The server knows the agent by the SHA-256 of the
// SubjectPublicKeyInfo of its one certificate, self-signed by the TPM's transport
// key. The first bidirectional stream, which the agent opens, carries the whole
// session, so that it could as well be carried by TLS over TCP.
//
// # Frames
//
//	frame = type u8 | length u32, big-endian | body
//
// The body is one CBOR item (RFC 8949) of length bytes, at most MaxFrame, in core
// deterministic encoding (section 4.2.1). A receiver refuses any other encoding,
// an unknown key, a missing key, and a value outside its bounds. An Evidence
// frame is followed by ima.bytes of measurement list, boot bytes of boot log and
// systemd bytes of systemd's log, raw; a Chunk frame by its bytes of ciphertext.
//
// # Messages
//
// In CDDL (RFC 8610):
//
//	; attestation session
//	hello     = { 1: 1, 2: tstr, 3: [reset: u32, restart: u32], 4: uint, 5: [* bank], 6: bank / 0, 7: uint } ; 0x01, agent
//	welcome   = { 1: 1, 2: nonce, 3: selection, 4: bank, 5: resume, 6: bool, 7: uint, 8: uint }       ; 0x02, verifier
//	evidence  = { 1: bstr, 2: [* bstr], 3: { 1: uint, 2: uint, 3: uint, 4: bool }, 4: uint, 5: uint } ; 0x03, agent
//	verdict   = { 1: bool, 2: trust, 3: tstr, 4: uint, 5: nonce, 6: resume, 7: bool }                 ; 0x04, verifier
//	challenge = { 1: nonce, 2: uint }                                                                 ; 0x05, verifier
//	alive     = { 1: bstr .size 32 }                                                                  ; 0x06, agent
//	notice    = { 1: bstr }                                                                           ; 0x18, verifier
//	noticed   = { 1: uint, 2: uint, ? 3: tstr .size 64, ? 4: "clock" / "key" / "storage", ? 5: uint }  ; 0x19, agent
//
//	; registration
//	register   = { 1: 1, 2: tstr, 3: tstr, 4: tstr, 5: bstr, 6: bstr, 7: [* bstr], 8: bstr, 9: bstr, 10: bstr, 11: bstr } ; 0x21, agent
//	credential = { 1: bstr, 2: bstr }                                                                 ; 0x22, registrar
//	proof      = { 1: bstr .size 32 }                                                                 ; 0x23, agent
//	registered = { 1: tstr .size 64, 2: "new" / "same" / "otherkeys" }                                ; 0x24, registrar
//	refused    = { 1: tstr }                                                                          ; 0x25, registrar
//
//	nonce     = bstr .size 32
//	u32       = uint .size 4
//	bank      = 4 / 11 / 12 / 13        ; TPM_ALG_ID: sha1, sha256, sha384, sha512; a list names each once
//	selection = [+ [bank, uint]]        ; bit i of the second is PCR i
//	resume    = { 1: bstr, 2: uint }    ; epoch (32 bytes, or none yet), entries certified
//	trust     = "pending" / "trusted" / "untrusted" / "stale" / "not evaluated"
//
// The messages about payloads are specified where they are declared, at TypeOffers.
// What the keys mean stands at the message types. Evidence 1 is the envelope of
// quicklime/wire/envelope. What a registration proves, and how, is specified in
// quicklime/registrar/credential.
//
// # The attestation session
//
//	agent                                              verifier
//	  Hello ────────────────────────────────────────────►
//	  ◄──────────────────────────────────────────── Welcome   (when the agent is enrolled)
//	  quote, read the list, cut it where it meets the quote
//	  Evidence, list, boot log, systemd's log ──────────►     replayed while it arrives
//	  ◄──────────────────────────────────────────── Verdict   after it is on disk
//	  ◄────────────────────────────────────────── Challenge   at random times
//	  Evidence ─────────────────────────────────────────►
//	  ◄──────────────────────────────────────────── Verdict
//
// Evidence answers the nonce of a Challenge, or one that the agent has from
// Welcome or the last Verdict; each counts once. It continues the list where
// Welcome or the last Verdict said; a Verdict that is not accepted and names
// another point asks for the list from there. Trust is dated from the issue of
// the nonce. Alive, at any time, is not answered.
//
// An agent that has a revocation key pinned says after Welcome which notice it
// accepted last (Noticed). From then on the verifier sends those that follow, in
// order, each as soon as it may, and the agent answers each with Noticed. Notice 1 is
// specified in quicklime/wire/notice. If the agent's key (Noticed 3) is an earlier one of
// the verifier's, the successions to the newest come first. After one that is refused for
// a reason that may pass, the verifier sends nothing for a while, and then goes on after
// the last that was accepted.
//
// Sessions are numbered. Hello names the last one that the agent was welcomed to,
// so that two copies of one machine show: the one that comes back goes on from a
// session that is not the newest in which evidence was sent.
//
// # Example
//
// A Challenge with a nonce of 32 bytes 0x11, to be answered within 5 s:
//
//	05 00 00 00 28                           type, length 40
//	a2                                       map of 2
//	   01 58 20 11 11 11 11 11 11 11 11      1: nonce
//	            11 11 11 11 11 11 11 11
//	            11 11 11 11 11 11 11 11
//	            11 11 11 11 11 11 11 11
//	   02 19 13 88                           2: 5000 ms
package wire

// ProtocolVersion is the version that Hello, Welcome and Register carry. Another
// version is refused, never guessed at.
const ProtocolVersion = 1

// The ALPN protocol ids.
const (
	ALPNAttest   = "quicklime-attest/1"
	ALPNRegister = "quicklime-register/1"
)

// The labels of the TLS exporters (RFC 8446, section 7.5) that bind what a TPM
// signs to the connection it is sent over.
const (
	ExporterAttest   = "EXPORTER-quicklime-attest-1"
	ExporterRegister = "EXPORTER-quicklime-register-1"
)
