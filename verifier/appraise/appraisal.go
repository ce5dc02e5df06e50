package appraise

import (
	"errors"
	"fmt"

	"quicklime/ima"
	"quicklime/verifier/epoch"
	"quicklime/verifier/imalist"
	"quicklime/verifier/policy"
	"quicklime/wire"
)

// Appraisal replays and judges the list of evidence while it arrives, as bytes or
// as entries that were parsed before. It keeps none of it but what fails. One that
// has given its outcome may begin again: who judges one list after another needs one.
type Appraisal struct {
	judge    judge
	visitors [2]ima.Visitor // the judge, and mostly no more than another
	stream   ima.Stream
	replayed *ima.Replayed // by the stream, which has ended
	err      error         // of the replay: what the list is, not how it came
	ended    bool
}

// Begin begins to take the list of evidence, which goes on from its From, and
// judges it by a policy; nil is none. The visitors are shown every entry, too.
func (a *Appraisal) Begin(b *Begun, p *policy.Policy, visitors ...ima.Visitor) {
	a.judge.begin(b, p)
	a.stream.Begin(b.from, append(append(a.visitors[:0], &a.judge), visitors...)...)
	a.replayed, a.err, a.ended = nil, nil, false
}

// Write takes the next bytes of the list. It returns no error: what a list is that
// is none, the outcome says. After an outcome it takes nothing more.
func (a *Appraisal) Write(p []byte) (int, error) {
	if a.err == nil && !a.ended {
		_, a.err = a.stream.Write(p)
	}
	return len(p), nil
}

// Visit takes entries that were parsed before, as they stand in the list, and as Write
// does.
func (a *Appraisal) Visit(b ima.Batch) {
	if !a.ended {
		a.stream.Visit(b)
	}
}

// end ends the list.
func (a *Appraisal) end() {
	if a.ended {
		return
	}
	a.ended = true
	if a.err == nil {
		a.replayed, a.err = a.stream.Finish()
	}
	if a.err == nil {
		a.judge.conclude(a.replayed)
	}
}

// Outcome is the verdict on one evidence.
type Outcome struct {
	Accepted  bool              // the list is certified: the state moves to it
	Certified imalist.Certified // of an accepted evidence
	Result    wire.Result
	Learned   Learned // of an accepted evidence: from all entries of the epoch
	// Conditions are what the policy still waits for, of an accepted evidence: they
	// are of the moment, and over when the next evidence does not have them.
	Conditions []wire.Failure
	Failed     map[uint64][]byte // of an accepted evidence: the bytes of entries that failed, by index; not of all, if they are many
}

// Outcome ends the list and gives the verdict on it for b, which is the evidence
// that was begun, perhaps anew for a standing that moved meanwhile. An
// evidence-wide failure (rollback, malformed list, mismatch) leaves the state where
// it was, and nothing is said of any entry.
func (a *Appraisal) Outcome(b *Begun) (o Outcome) {
	a.end()
	if b.step == epoch.Rollback {
		return b.failed(wire.EpochRollback, "after a restored snapshot or a copy that ran, enrol the machine anew; if neither was, treat it as compromised",
			"the TPM's counters or clock went back, or the same boot shows other boot PCRs: last %v at clock %d, now %v at clock %d",
			b.standing.Epoch, b.standing.Clock, b.epoch, b.quote.Clock())
	}
	if a.err != nil {
		if errors.Is(a.err, ima.ErrOtherPCR) {
			return b.failed(wire.IMAForeignPCR, "an IMA policy with pcr= is not supported", "%v, which is not quoted", a.err)
		}
		return b.failed(wire.IMAMalformed, "", "%v", a.err)
	}
	if n := a.replayed.Count(); n != b.span.Count {
		return b.failed(wire.IMAMalformed, "", "%d entries were announced, %d came", b.span.Count, n)
	}
	if err := imalist.Certify(&b.from, a.replayed, &b.quote, &o.Certified); err != nil {
		return b.failed(wire.IMAMismatch, "something else extended PCR 10, or the list lost entries (hibernation, kexec): reboot the machine", "%v", err)
	}
	if n := b.bytes + a.replayed.Size(); n > wire.MaxEpochList {
		return b.failed(wire.IMATooLong, "reboot the machine, and measure less with another IMA policy",
			"the list of this boot has %d bytes, the limit is %d", n, wire.MaxEpochList)
	}
	o.Accepted, o.Learned, o.Conditions = true, a.judge.learned, a.judge.outstanding(a.replayed)
	o.Result, o.Failed = a.judge.result, a.judge.failed
	return o
}

// Elsewhere judges evidence that keeps its list from another point than From
// though it was told: the machine does not have what it once proved.
func (b *Begun) Elsewhere() Outcome {
	return b.failed(wire.IMAMismatch, "the list was replaced or lost entries: reboot the machine",
		"the list was sent from entry %d on, though %d entries were certified in this boot", b.span.First, b.from.Entries())
}

func (b *Begun) failed(id wire.FailureID, hint, format string, args ...any) Outcome {
	var o Outcome
	o.Result.Fail(b.standing.Severity.Label(wire.Failure{ID: id, Message: fmt.Sprintf(format, args...), Hint: hint}))
	return o
}
