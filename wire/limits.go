package wire

import "time"

// Every bound on what a peer may send or cost, and why it is what it is.
const (
	// MaxFrame bounds one message: an EK of 4096 bits with four certificates is
	// the largest, at some 10 KiB.
	MaxFrame = 32 << 10 // bytes

	// MaxEnvelope bounds one COSE object: an RSA-4096 quote over every bank is
	// under 1 KiB.
	MaxEnvelope = 4 << 10 // bytes

	// MaxNotice bounds one signed notice: three texts of MaxLabel bytes and some 400
	// bytes besides.
	MaxNotice = 2 << 10 // bytes

	// MaxList bounds the measurement list of one evidence: 300,000 entries of
	// usual length; a machine that measures more in one boot needs another IMA
	// policy.
	MaxList = 64 << 20 // bytes

	// MaxEpochList bounds the measurement list of one boot, all of which is kept
	// and judged again when a policy changes: over a million entries of usual
	// length.
	MaxEpochList = 256 << 20 // bytes

	// MaxBootLog bounds a UEFI log: the kernel itself keeps a log of at most
	// 64 KiB to 1 MiB, whatever the firmware wrote.
	MaxBootLog = 1 << 20 // bytes

	// MaxSystemdLog bounds systemd's own log: a record has some 400 bytes, a boot some
	// ten, and one more for each encrypted volume and each measured file system.
	MaxSystemdLog = 256 << 10 // bytes

	// MaxLabel bounds what a machine calls itself: a DNS name (RFC 1035, 2.3.4).
	MaxLabel = 253 // bytes

	// MaxVersion bounds the version string of a peer's software.
	MaxVersion = 64 // bytes

	// MaxEKCertificates bounds the certificates of one registration: one for
	// each TCG template a TPM may be provisioned with.
	MaxEKCertificates = 4

	// MaxCertificate bounds one EK certificate: vendors' are under 2 KiB.
	MaxCertificate = 4 << 10 // bytes

	// MaxPublic bounds a TPMT_PUBLIC: RSA-4096 needs some 560 bytes.
	MaxPublic = 1 << 10 // bytes

	// MaxKeptFailures bounds the failures of one boot of an agent that make it
	// untrusted and are kept, and what one answer of the API lists: after a thousand
	// different bad files the next one says nothing new. More are counted.
	MaxKeptFailures = 1000

	// MaxKeptTolerated bounds, of each label, those that leave the machine trusted,
	// beside MaxKeptFailures: what repeats without an end is one thing to know.
	MaxKeptTolerated = 100

	// MaxKeptFailuresAll bounds them over all boots of an agent, so that one that
	// reboots for ever fills no disk; those that are tolerated as many times as well.
	MaxKeptFailuresAll = 4 * MaxKeptFailures

	// MaxPayloads bounds the payloads of an agent, by name, so that all of their
	// offers fit a frame: a machine has a few secrets and a certificate.
	MaxPayloads = 16

	// MaxPayload bounds the plaintext of a payload: certificates, keys and
	// configuration take kilobytes, an initial ramdisk some tens of megabytes. The
	// machine holds it in memory, and the ciphertext while it arrives.
	MaxPayload = 64 << 20 // bytes

	// MaxSealedPayload bounds a ciphertext: MaxPayload and a tag of 16 bytes for
	// each segment of 64 KiB.
	MaxSealedPayload = MaxPayload + MaxPayload>>16*16 // bytes

	// MaxChunk bounds the ciphertext behind one Chunk. Evidence waits for it, so an
	// agent asks for less where it takes long.
	MaxChunk = 256 << 10 // bytes

	// MaxManifest bounds a payload's manifest: two names of 64 bytes, four digests,
	// a signature and the header need some 450.
	MaxManifest = 768 // bytes

	// MaxShareObject and MaxShareSecret bound the two parts of a sealed share: an
	// object under SHA-512 has 130 bytes, a secret for an EK of RSA-4096 has 512.
	MaxShareObject = 160 // bytes
	MaxShareSecret = 512 // bytes

	// PayloadShareSize is the length of a share of a payload's key.
	PayloadShareSize = 32 // bytes

	// MaxPayloadVersion bounds the version of a payload, so that it fits every
	// database and JSON.
	MaxPayloadVersion = 1<<53 - 1

	// MaxPayloadReason bounds the words with which an agent says what became of a
	// payload.
	MaxPayloadReason = 512 // bytes

	// MaxReceipt bounds a payload's receipt: the words, and the end of what a program
	// wrote.
	MaxReceipt = 16 << 10 // bytes

	// NonceSize is the length of a nonce: as strong as SHA-256.
	NonceSize = 32 // bytes

	// AlivePadding makes the packet of an Alive larger than the 42 bytes above
	// which QUIC implementations answer with a stateless reset.
	AlivePadding = 32 // bytes

	// ExporterSize is the length of the TLS exporter that binds a message to
	// its connection.
	ExporterSize = 32 // bytes
)

// Deadlines.
const (
	// HandshakeTimeout bounds a QUIC handshake: a TPM signs in it, which takes
	// up to a second on slow parts.
	HandshakeTimeout = 10 * time.Second

	// FrameTimeout bounds the arrival of one message once it is due.
	FrameTimeout = 10 * time.Second

	// EvidenceTimeout bounds the arrival of the raw bytes of one evidence: a
	// full list over a slow line (64 MiB at 10 Mbit/s).
	EvidenceTimeout = 60 * time.Second

	// IdleTimeout ends a connection on which nothing arrives, keep-alives
	// included.
	IdleTimeout = 60 * time.Second

	// AliveInterval is how often an agent says Alive, and so how long it may not
	// notice that its verifier was killed: a quarter of the usual trust.
	AliveInterval = 10 * time.Second

	// KeepAlive keeps state in middleboxes, most of which forget UDP after 30 s.
	KeepAlive = 20 * time.Second
)
