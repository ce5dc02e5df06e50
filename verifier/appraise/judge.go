package appraise

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"quicklime/ima"
	"quicklime/ima/digsig"
	"quicklime/verifier/policy"
	"quicklime/verifier/severity"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// judge collects what there is to say of the entries of a list. What ties the list
// to the boot is judged without a policy, too; nothing else is (I21). What an
// operator has cleared is left out.
type judge struct {
	policy  *policy.Policy // nil: not evaluated
	quoted  bool           // a quote is at hand
	pcrs    pcr.Values     // of the quote
	padded  bool           // the bank is extended with padded SHA-1
	cleared map[Finding]bool
	past    bool // the entry is of an earlier boot, and alone
	learned Learned
	vouch   []digsig.Ring // what verifies a file's signature now, none of them empty
	by      *digsig.Key   // whose signature was good in the entry at hand
	scale   *severity.Scale
	two     bool // there may be two: of the metadata, and of the digest in it
	result  wire.Result
	each    func(wire.Failure) // nil, or is told of every failure, however many are kept

	failed map[uint64][]byte
	kept   [2]int // bytes of failed: of what is decisive, and of what is tolerated
}

// maxFailed bounds the bytes of entries that are kept to be judged again when
// their boot is past: of each of MaxKeptFailures entries with a path of PATH_MAX;
// and beside them those of entries of which everything is tolerated.
const maxFailed = wire.MaxKeptFailures * (maxPath + 200) // bytes

func (j *judge) begin(b *Begun, p *policy.Policy) {
	*j = judge{}
	j.quoted, j.pcrs, j.cleared, j.padded, j.scale = true, b.quote.PCRs(), b.standing.Cleared, b.from.Padded(), b.standing.Severity
	if b.from.Entries() > 0 {
		j.learned = b.standing.Learned
	}
	j.under(p)
}

func (j *judge) under(p *policy.Policy) {
	j.result.Runtime = wire.NotEvaluated
	if p != nil && !p.Empty() {
		j.policy, j.result.Runtime = p, p.Digest()
		j.trust()
	}
}

// trust makes vouch what the policy and the rings say, which mostly have no key.
func (j *judge) trust() {
	j.vouch = nil
	if len(j.learned.rings) > 0 || !j.policy.Keys().Empty() {
		j.vouch = j.learned.rings.Vouching(j.policy.Keys())
	}
}

// Visit judges entries. Whatever they are, only what the PCR covers decides (I16 to
// I18).
func (j *judge) Visit(b ima.Batch) {
	for at := 0; at < len(b.Entries); {
		n := j.quick(&b, at)
		if n == 0 {
			j.entry(b.First+uint64(at), b.Entries[at], &b.Sums[at])
			n = 1
		}
		at += n
	}
}

// conclude ends the list.
func (j *judge) conclude(r *ima.Replayed) {
	if j.policy != nil && r.Empty() {
		j.record(wire.Failure{ID: wire.IMANotMeasuring, Message: "the measurement list is empty: IMA measures nothing",
			Hint: "boot the machine with ima_policy=tcb, or load an IMA policy"})
	}
}

// outstanding is what the policy waits for in a list so far.
func (j *judge) outstanding(r *ima.Replayed) (conditions []wire.Failure) {
	if j.policy == nil {
		return nil
	}
	if r.Entries() == 1 {
		conditions = append(conditions, j.scale.Label(wire.Failure{ID: wire.IMANotMeasuring, Message: "nothing was measured but boot_aggregate, not even the agent: IMA has no policy",
			Hint: "boot the machine with ima_policy=tcb, or load an IMA policy; this is over when a file is measured, and cannot be cleared"}))
	}
	if j.policy.Devices() == nil {
		return conditions
	}
	for _, f := range j.policy.Devices().Outstanding(j.learned.devices) {
		conditions = append(conditions, j.scale.Label(wire.Failure{ID: f.ID, Message: f.Message,
			Hint: "this is over when the device is in the state that the policy wants, or at the next boot; it cannot be cleared"}))
	}
	return conditions
}

// fail records what is wrong with an entry.
func (j *judge) fail(i uint64, e ima.Entry, failures ...wire.Failure) {
	for _, f := range failures {
		if j.cleared[Finding{i, f.ID}] {
			continue
		}
		f.Entry = &i
		if kept, tolerated := j.record(f); kept && j.failed[i] == nil {
			j.keep(i, e, tolerated)
		}
	}
}

// record labels a failure. It reports whether it is kept and whether it is tolerated.
func (j *judge) record(f wire.Failure) (kept, tolerated bool) {
	f = j.scale.Label(f)
	if j.each != nil {
		j.each(f)
	}
	return j.result.Fail(f), f.Tolerated
}

// keep keeps an entry if there is room. What is tolerated takes none from what is
// decisive.
func (j *judge) keep(i uint64, e ima.Entry, tolerated bool) {
	kept := &j.kept[0]
	if tolerated {
		kept = &j.kept[1]
	}
	if *kept+len(e.Data) > maxFailed {
		return
	}
	if j.failed == nil {
		j.failed = map[uint64][]byte{}
	}
	j.failed[i] = e.AppendTo(nil)
	*kept += len(j.failed[i])
}

// entry judges one entry; sum is that of its template, or nil.
func (j *judge) entry(i uint64, e ima.Entry, sum *[sha256.Size]byte) {
	j.result.Entries++
	if j.recalls(i, e, sum) {
		return
	}
	events, err := j.readings(e)
	if !j.past {
		if i == 0 {
			j.first(e, events)
		}
		if err == nil && !e.Violation() {
			err = j.fits(e, events)
		}
	}
	switch {
	case e.Violation():
		j.violation(i, e)
	case err != nil:
		j.fail(i, e, wire.Failure{ID: wire.IMANoValidator, Message: err.Error()})
	default:
		j.by, j.two = nil, false
		failures := j.worst(events)
		j.fail(i, e, failures...)
		if len(failures) == 0 {
			j.remember(i, e, sum, events)
		}
	}
}

// readings returns what the entry's bytes can be read as: by the format of its
// template, and if the policy accepts custom ones, by all that fit (I17).
func (j *judge) readings(e ima.Entry) ([]ima.Event, error) {
	own, ok := ima.FormatOf(e.Template)
	if j.policy == nil || len(j.policy.Formats()) == 0 {
		ev, err := e.Event()
		return []ima.Event{ev}, err
	}
	all := j.policy.Formats()
	for _, f := range all {
		if f.Name() == string(e.Template) {
			own, ok = f, true
		}
	}
	if !ok {
		ev, err := e.Event()
		return []ima.Event{ev}, err
	}
	ev, err := own.Event(e)
	events := []ima.Event{ev}
	for _, f := range append(ima.Formats(), all...) {
		if f.Name() == own.Name() || f.Fields() != own.Fields() {
			continue
		}
		if ev, err := f.Event(e); err == nil {
			events = append(events, ev)
		}
	}
	return events, err
}

// first judges what entry 0 has to be, and how the whole list is to be read.
func (j *judge) first(e ima.Entry, events []ima.Event) {
	j.learned.legacy = e.Legacy()
	if ev := events[0]; e.Violation() || !ev.IsFile() || string(ev.Name) != ima.BootAggregate {
		j.fail(0, e, wire.Failure{ID: wire.IMANotMeasuring, Message: "the list does not begin with boot_aggregate, so nothing ties it to a boot"})
	}
	if j.padded && j.policy != nil && j.policy.WeakDigest() != policy.WeakDigestAccept {
		j.fail(0, e, wire.Failure{ID: wire.IMAWeakDigest, Warned: j.policy.WeakDigest() == policy.WeakDigestWarn, Message: "the kernel extends the quoted bank with SHA-1, filled up with zeros, so that it proves no more than SHA-1 does",
			Hint: `enrol the machine for a bank whose hash its kernel has, or accept it with "ima": {"weak_digest": "accept"} in the policy`})
	}
}

// fits refuses the legacy template in a list of another, and the other way: a
// kernel has one for all files (I17).
func (j *judge) fits(e ima.Entry, events []ima.Event) error {
	if e.Legacy() == j.learned.legacy || !e.Legacy() && events[0].Buffer != nil {
		return nil
	}
	if e.Legacy() {
		return fmt.Errorf("template %q in a list that does not begin with it", ima.Legacy)
	}
	return fmt.Errorf("template %q in a list of template %q", e.Template, ima.Legacy)
}

// worst judges the readings of an entry, of which the first that has something
// against it counts, files before buffers, from which is learned.
func (j *judge) worst(events []ima.Event) []wire.Failure {
	for _, ev := range events {
		if ev.IsFile() {
			if failures := j.file(ev); len(failures) > 0 {
				return failures
			}
		}
	}
	for _, ev := range events {
		if ev.Buffer != nil {
			if failures := j.buffer(ev); len(failures) > 0 {
				return failures
			}
		}
	}
	return nil
}

// violation judges a violation. What it says of a file is not covered by any
// digest, so it is not repeated (I18).
func (j *judge) violation(i uint64, e ima.Entry) {
	if j.policy != nil && j.policy.Violations() != policy.ViolationsIgnore {
		j.fail(i, e, wire.Failure{ID: wire.IMAViolation, Warned: j.policy.Violations() == policy.ViolationsWarn, Message: "a violation: a file was written while it was measured, or measured while it was written",
			Hint: `the list does not prove which file; a policy may accept violations with "ima": {"violations": "warn"}`})
	}
}

// Again judges one entry of an earlier boot, which was certified then, by another
// policy, and reports whether the failure found then is judged away, and if not
// whether the policy wants no more than to be warned of it. What no policy decides
// stays, and everything does if there is no policy. What that boot had taught is
// forgotten.
func Again(f wire.Failure, e ima.Entry, p *policy.Policy) (away, warned bool) {
	switch f.ID {
	case wire.IMANotInPolicy, wire.IMAWrongDigest, wire.IMAViolation, wire.IMADenied, wire.IMAInvalidSignature, wire.IMAInvalidKey:
	default:
		return false, f.Warned
	}
	if p == nil || p.Empty() || f.Entry == nil {
		return false, f.Warned
	}
	j := judge{past: true}
	j.under(p)
	j.entry(*f.Entry, e, nil)
	warned = !slices.ContainsFunc(j.result.Failures, func(f wire.Failure) bool { return !f.Warned })
	return len(j.result.Failures) == 0, warned
}
