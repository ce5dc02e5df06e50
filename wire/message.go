package wire

import "quicklime/wire/pcr"

// Type is the first byte of a frame.
type Type uint8

// The messages. Those under 0x20 belong to the attestation session, the others
// to registration.
const (
	TypeHello     Type = 0x01 // agent → verifier
	TypeWelcome   Type = 0x02 // verifier → agent
	TypeEvidence  Type = 0x03 // agent → verifier, followed by raw bytes
	TypeVerdict   Type = 0x04 // verifier → agent
	TypeChallenge Type = 0x05 // verifier → agent
	TypeAlive     Type = 0x06 // agent → verifier

	TypeNotice  Type = 0x18 // verifier → agent
	TypeNoticed Type = 0x19 // agent → verifier

	TypeRegister   Type = 0x21 // agent → registrar
	TypeCredential Type = 0x22 // registrar → agent
	TypeProof      Type = 0x23 // agent → registrar
	TypeRegistered Type = 0x24 // registrar → agent
	TypeRefused    Type = 0x25 // registrar → agent
)

// Message is anything that travels in a frame.
type Message interface {
	// Type is the frame's first byte.
	Type() Type
	// Check refuses a message whose fields are outside their bounds.
	Check() error
}

// BootCounters are TPMS_CLOCK_INFO.resetCount and restartCount (TPM 2.0 Library
// part 2, section 10.11.1). Compared as a pair they only grow.
type BootCounters struct {
	_       struct{} `cbor:",toarray"`
	Reset   uint32
	Restart uint32
}

// Hello opens a session. Everything in it is a hint that saves a round trip;
// nothing of it is believed.
type Hello struct {
	Version   uint64       `cbor:"1,keyasint"` // ProtocolVersion
	Software  string       `cbor:"2,keyasint"` // the agent's version
	Boot      BootCounters `cbor:"3,keyasint"` // as the TPM tells them unsigned
	Entries   uint64       `cbor:"4,keyasint"` // in the list now
	Banks     []pcr.Bank   `cbor:"5,keyasint"` // active, each once
	Aggregate pcr.Bank     `cbor:"6,keyasint"` // bank of the list's boot_aggregate; 0: no list
	After     uint64       `cbor:"7,keyasint"` // Session of the last Welcome this agent had since it started; 0: none
}

// Resume says from where the verifier wants the list.
type Resume struct {
	Epoch   []byte `cbor:"1,keyasint"` // 32 bytes; empty: none yet
	Entries uint64 `cbor:"2,keyasint"` // certified so far
}

// Welcome answers Hello.
type Welcome struct {
	Version   uint64        `cbor:"1,keyasint"`
	Nonce     []byte        `cbor:"2,keyasint"` // NonceSize bytes
	Selection pcr.Selection `cbor:"3,keyasint"` // exactly what every quote of the session covers (I15)
	IMABank   pcr.Bank      `cbor:"4,keyasint"` // the bank in which the list is replayed
	Resume    Resume        `cbor:"5,keyasint"`
	WantBoot  bool          `cbor:"6,keyasint"` // send the boot log with the next evidence
	MaxList   uint64        `cbor:"7,keyasint"` // bytes of list the verifier takes in one evidence
	Session   uint64        `cbor:"8,keyasint"` // number of this session, larger than that of any in which the agent sent evidence
}

// Span says which entries of the measurement list follow an Evidence frame.
type Span struct {
	First uint64 `cbor:"1,keyasint"` // index of the first entry
	Count uint64 `cbor:"2,keyasint"`
	Bytes uint64 `cbor:"3,keyasint"` // length of all of them

	// Padded says that the kernel extends the bank with padded SHA-1, which the PCR
	// then proves. Of a list that goes on from an earlier point it says nothing new.
	Padded bool `cbor:"4,keyasint"`
}

// Evidence carries a quote in its envelope and announces the raw bytes that
// follow the frame: IMA.Bytes of list, then Boot bytes of boot log, then Systemd bytes
// of systemd's own log. Only the envelope is signed; pcrDigest covers PCRs, and they
// cover the logs.
type Evidence struct {
	Envelope []byte   `cbor:"1,keyasint"` // COSE_Sign1, see quicklime/wire/envelope
	PCRs     [][]byte `cbor:"2,keyasint"` // in the order of Welcome.Selection
	IMA      Span     `cbor:"3,keyasint"`
	Boot     uint64   `cbor:"4,keyasint"` // bytes of boot log; 0: none
	Systemd  uint64   `cbor:"5,keyasint"` // bytes of systemd's log; 0: none, or the same as before
}

// Verdict answers Evidence after its outcome is on disk.
type Verdict struct {
	Accepted bool      `cbor:"1,keyasint"` // the quote was verified and the state moved
	Trust    Trust     `cbor:"2,keyasint"`
	Reason   FailureID `cbor:"3,keyasint"` // the newest standing failure that makes untrusted; empty: none
	Failures uint64    `cbor:"4,keyasint"` // standing now that make untrusted
	Nonce    []byte    `cbor:"5,keyasint"` // for the next evidence that the agent starts itself
	Resume   Resume    `cbor:"6,keyasint"` // from where the next evidence starts
	WantBoot bool      `cbor:"7,keyasint"`
}

// Challenge demands evidence now: the heartbeat.
type Challenge struct {
	Nonce  []byte `cbor:"1,keyasint"`
	Within uint64 `cbor:"2,keyasint"` // milliseconds
}

// Alive says nothing. The agent sends it every AliveInterval: a verifier that was
// killed and started again answers a packet of an unknown connection with a
// stateless reset, but only one that is large enough (RFC 9000, section 10.3.3),
// which QUIC's own keep-alive is not. So the agent comes back within that time.
type Alive struct {
	Padding [AlivePadding]byte `cbor:"1,keyasint"` // zero
}

// Register asks the registrar to know this TPM. The connection's TLS key is the
// transport key.
type Register struct {
	Version        uint64   `cbor:"1,keyasint"`
	Software       string   `cbor:"2,keyasint"`
	Label          string   `cbor:"3,keyasint"` // what the machine calls itself
	TokenID        string   `cbor:"4,keyasint"`
	TokenSecret    []byte   `cbor:"5,keyasint"`
	EKPublic       []byte   `cbor:"6,keyasint"`  // TPMT_PUBLIC
	EKCertificates [][]byte `cbor:"7,keyasint"`  // DER, as found in NV
	AKPublic       []byte   `cbor:"8,keyasint"`  // TPMT_PUBLIC
	Transport      []byte   `cbor:"9,keyasint"`  // TPMT_PUBLIC
	Certify        []byte   `cbor:"10,keyasint"` // TPMS_ATTEST of TPM2_Certify(transport key, by AK)
	Signature      []byte   `cbor:"11,keyasint"` // TPMT_SIGNATURE over it
}

// Credential is TPM2_MakeCredential's answer for the AK under the EK.
type Credential struct {
	Object []byte `cbor:"1,keyasint"` // contents of a TPM2B_ID_OBJECT
	Secret []byte `cbor:"2,keyasint"` // contents of a TPM2B_ENCRYPTED_SECRET
}

// Proof shows that the TPM opened the credential, on this connection, for this
// registration.
type Proof struct {
	HMAC []byte `cbor:"1,keyasint"` // 32 bytes, see quicklime/registrar/credential
}

// Outcome says what a registration changed.
type Outcome string

// The outcomes.
const (
	OutcomeNew       Outcome = "new"       // a TPM the registrar did not know
	OutcomeSame      Outcome = "same"      // the same keys again
	OutcomeOtherKeys Outcome = "otherkeys" // a known TPM with other keys: recorded, not in force (I11)
)

// Registered ends a registration that succeeded.
type Registered struct {
	ID      string  `cbor:"1,keyasint"`
	Outcome Outcome `cbor:"2,keyasint"`
}

// Refusal says why a registration was refused, in one of a few fixed words:
// whoever asks is not known yet and learns nothing else (I09).
type Refusal string

// The refusals.
const (
	RefusedToken       Refusal = "token"       // the join token is unknown, expired or used
	RefusedEK          Refusal = "ek"          // the EK is not of a TCG template, or its certificate does not fit it
	RefusedCertificate Refusal = "certificate" // the EK certificate chains to no anchor of the operator
	RefusedKeys        Refusal = "keys"        // AK or transport key are not what this protocol needs
	RefusedProof       Refusal = "proof"       // the credential was not opened
	RefusedInternal    Refusal = "internal"    // the registrar could not decide; its log says why
)

// Refused ends a registration that did not succeed.
type Refused struct {
	Why Refusal `cbor:"1,keyasint"`
}

// Type implements Message.
func (Hello) Type() Type      { return TypeHello }
func (Welcome) Type() Type    { return TypeWelcome }
func (Evidence) Type() Type   { return TypeEvidence }
func (Verdict) Type() Type    { return TypeVerdict }
func (Challenge) Type() Type  { return TypeChallenge }
func (Alive) Type() Type      { return TypeAlive }
func (Register) Type() Type   { return TypeRegister }
func (Credential) Type() Type { return TypeCredential }
func (Proof) Type() Type      { return TypeProof }
func (Registered) Type() Type { return TypeRegistered }
func (Refused) Type() Type    { return TypeRefused }
