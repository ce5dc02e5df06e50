package wire

import "strconv"

// FailureID names a kind of failure. Ids are stable and go to webhooks and
// alerts; where Keylime has an id for the same thing, it is Keylime's, spelling
// included.
type FailureID string

// Failures that a measurement list can have.
const (
	// IMANotInPolicy: the policy has no digest for the path.
	IMANotInPolicy FailureID = "ima.validation.ima-ng.not_in_allowlist"
	// IMAWrongDigest: the policy has other digests for the path.
	IMAWrongDigest FailureID = "ima.validation.ima-ng.runtime_policy_hash"
	// IMADenied: the policy denies the path or the digest.
	IMADenied FailureID = "ima.denied"
	// IMAInvalidSignature: the policy does not list the file, and no key that is
	// trusted has signed it.
	IMAInvalidSignature FailureID = "ima.validator.ima-sig.invalid_signature"
	// IMAInvalidKey: what was loaded into a keyring cannot be read as a key, or is
	// one too many.
	IMAInvalidKey FailureID = "ima.invalid_key"
	// IMAViolation: a violation entry (time of measurement, time of use; open
	// writers). What it says of a file is not covered by any digest (I18).
	IMAViolation FailureID = "ima.validation.tomtou"
	// IMAForeignPCR: an entry for a PCR that is not quoted.
	IMAForeignPCR FailureID = "ima.validation.ima_pcr"
	// IMANoValidator: a kind of entry that nothing here judges.
	IMANoValidator FailureID = "ima.validation.no_validator"
	// IMAMalformed: bytes that are no measurement list.
	IMAMalformed FailureID = "ima.parser.entry"
	// IMATooLong: the list of one boot is longer than MaxEpochList.
	IMATooLong FailureID = "ima.too_long"
	// IMAMismatch: the list does not replay to the quoted PCR.
	IMAMismatch FailureID = "ima.pcr_mismatch"
	// IMAWeakDigest: the kernel extends the quoted bank with padded SHA-1 (I16).
	IMAWeakDigest FailureID = "ima.weak_digest"
	// IMANotMeasuring: IMA is off, or its list has no certified boot_aggregate
	// (I26), or, as a condition, nothing else.
	IMANotMeasuring FailureID = "ima.not_measuring"
	// IMABootAggregate: a boot_aggregate entry that is not of the quoted boot
	// (I19).
	IMABootAggregate FailureID = "ima.boot_aggregate"
)

// Failures of a boot's log, beside BootPolicyFailure and BootInvalidPCR.
const (
	// BootMissingPCRs: the quote lacks PCRs that the boot policy judges.
	BootMissingPCRs FailureID = "measured_boot.missing_pcrs"
	// BootLogMissing, a condition: there is a boot policy, and the machine has sent
	// no boot log.
	BootLogMissing FailureID = "measured_boot.log_missing"
	// BootLogMalformed: bytes that are no event log.
	BootLogMalformed FailureID = "measured_boot.parser.malformed"
)

// BootPolicyFailure is the id of what the boot policy of that name does not accept:
// measured_boot.policy_example for a reference state.
func BootPolicyFailure(name string) FailureID {
	return FailureID("measured_boot.policy_" + name)
}

// BootInvalidPCR is the id of a PCR that the boot log does not lead to.
func BootInvalidPCR(i int) FailureID {
	return FailureID("measured_boot.invalid_pcr_" + strconv.Itoa(i))
}

// PCRMissing: the quote lacks a PCR that the TPM policy lists.
const PCRMissing FailureID = "pcr_validation.missing_pcrs"

// PCRInvalid is the id of a PCR that has none of the values that the TPM policy
// lists.
func PCRInvalid(i int) FailureID {
	return FailureID("pcr_validation.invalid_pcr_" + strconv.Itoa(i))
}

// RecordUnreadable stands for a failure whose record the verifier cannot read.
const RecordUnreadable FailureID = "quicklime.unreadable"

// Failures of a boot and of an identity.
const (
	// EpochRollback: the TPM's counters went back, or the same boot shows other
	// contents (I14).
	EpochRollback FailureID = "epoch.rollback"
	// IdentityDuplicate: two machines, or two agents of one, attest with the same
	// TPM.
	IdentityDuplicate FailureID = "identity.duplicate"
)

// Rejections: evidence that proves nothing, so that it is recorded and counted
// but decides nothing. "qoute" is Keylime's spelling.
const (
	QuoteInvalid  FailureID = "qoute_validation.quote_validation"
	QuoteBadData  FailureID = "qoute_validation.invalid_data"
	QuotePCRs     FailureID = "pcr_validation.missing_pcrs"
	QuoteStale    FailureID = "quicklime.nonce"
	QuoteWeakBank FailureID = "quicklime.weak_bank"
	// Unanswered: a challenge ran out, or the agent left in the face of one.
	Unanswered FailureID = "quicklime.unanswered"
)

// Failure is one thing that is wrong with a machine, as a rule a reason why it is
// not trusted: what was expected and what was seen.
type Failure struct {
	ID       FailureID `json:"id" cbor:"1,keyasint"`
	Message  string    `json:"message" cbor:"2,keyasint"`
	Epoch    string    `json:"epoch,omitempty" cbor:"-"`
	Entry    *uint64   `json:"entry,omitempty" cbor:"3,keyasint,omitempty"` // index in the epoch's list; nil: not about one entry
	Path     string    `json:"path,omitempty" cbor:"4,keyasint,omitempty"`  // quoted as Go quotes it if it is not printable (I24)
	Got      string    `json:"got,omitempty" cbor:"5,keyasint,omitempty"`   // "sha256:…"
	Expected []string  `json:"expected,omitempty" cbor:"6,keyasint,omitempty"`
	Hint     string    `json:"hint,omitempty" cbor:"7,keyasint,omitempty"`

	Severity  string `json:"severity,omitempty" cbor:"8,keyasint,omitempty"`  // label; empty: not labelled
	Tolerated bool   `json:"tolerated,omitempty" cbor:"9,keyasint,omitempty"` // the label is below the highest: the machine is not untrusted for it
	Warned    bool   `json:"-" cbor:"-"`                                      // the runtime policy wants to be warned of it, and no more
}

// Result is the outcome of one appraisal: data, never an error.
type Result struct {
	Failures []Failure // the first MaxKeptFailures of them, and MaxKeptTolerated of each label that is tolerated
	More     uint64    // how many failures there are beside them
	Entries  uint64    // entries judged
	Runtime  string    // digest of the runtime policy it was judged under, or NotEvaluated

	MoreTolerated uint64 // those of More that are tolerated

	kept map[string]int // of Failures, by label; "": of those that are not tolerated
}

// Fail records a failure and reports whether it is kept. What is tolerated takes no
// room from what is not.
func (r *Result) Fail(f Failure) bool {
	limit, label := MaxKeptFailures, ""
	if f.Tolerated {
		limit, label = MaxKeptTolerated, f.Severity
	}
	if r.kept[label] >= limit {
		r.More++
		if f.Tolerated {
			r.MoreTolerated++
		}
		return false
	}
	if r.kept == nil {
		r.kept = map[string]int{}
	}
	r.kept[label]++
	r.Failures = append(r.Failures, f)
	return true
}

// NotEvaluated stands where a policy's name would: nobody looked (I21).
const NotEvaluated = "not evaluated"

// Trust is what the verifier says of a machine at the moment it is asked.
type Trust string

// The trust states.
const (
	Pending   Trust = "pending"   // no verdict yet, or none under the policy now in force
	Trusted   Trust = "trusted"   // judged, no failure, and fresh
	Untrusted Trust = "untrusted" // at least one failure that was neither cleared nor judged away
	Stale     Trust = "stale"     // no evidence in time
	Unjudged  Trust = NotEvaluated
)

// Trigger says why the agent sent evidence.
type Trigger string

// The triggers.
const (
	TriggerStart     Trigger = "start"     // the session began
	TriggerGrowth    Trigger = "growth"    // the measurement list grew
	TriggerChallenge Trigger = "challenge" // the verifier asked
)
