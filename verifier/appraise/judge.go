package appraise

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"quicklime/ima"
	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// judge collects what there is to say of the entries of a list. What ties the list
// to the boot is judged without a policy, too; nothing else is (I21). What an
// operator has cleared is left out.
type judge struct {
	policy  *policy.Policy // nil: not evaluated
	pcrs    pcr.Values
	cleared map[Finding]bool
	past    bool // the entry is of an earlier boot, whose PCRs are gone
	result  wire.Result

	failed map[uint64][]byte
	kept   int // bytes of failed
}

// maxFailed bounds the bytes of entries that are kept to be judged again when
// their boot is past: of each of MaxKeptFailures entries with a path of PATH_MAX.
const maxFailed = wire.MaxKeptFailures * (maxPath + 200) // bytes

func newJudge(b Begun, p *policy.Policy) judge {
	j := judge{pcrs: b.quote.PCRs(), cleared: b.standing.Cleared}
	j.under(p)
	return j
}

func (j *judge) under(p *policy.Policy) {
	j.result.Runtime = wire.NotEvaluated
	if p != nil && !p.Empty() {
		j.policy, j.result.Runtime = p, p.Digest()
	}
}

// Visit judges entries. Whatever they are, only what the PCR covers decides (I16 to
// I18).
func (j *judge) Visit(b ima.Batch) {
	for i, e := range b.Entries {
		j.entry(b.First+uint64(i), e)
	}
}

// conclude returns what there is to say of a list that ends at a point.
func (j *judge) conclude(to ima.State) (wire.Result, map[uint64][]byte) {
	if j.policy != nil && (to.Entries() == 0 || to.AtReset()) {
		j.fail(wire.Failure{ID: wire.IMANotMeasuring, Message: "the measurement list is empty: IMA measures nothing",
			Hint: "boot the machine with ima_policy=tcb, or load an IMA policy"})
	}
	return j.result, j.failed
}

func (j *judge) fail(f wire.Failure) { j.result.Fail(f) }

func (j *judge) failAt(i uint64, e ima.Entry, f wire.Failure) {
	if j.cleared[Finding{i, f.ID}] {
		return
	}
	f.Entry = &i
	j.fail(f)
	if j.result.More == 0 && j.failed[i] == nil && j.kept+len(e.Data) <= maxFailed {
		j.keep(i, e)
	}
}

func (j *judge) keep(i uint64, e ima.Entry) {
	if j.failed == nil {
		j.failed = map[uint64][]byte{}
	}
	j.failed[i] = e.AppendTo(nil)
	j.kept += len(j.failed[i])
}

// Again judges one entry of an earlier boot, which was certified then, by another
// policy, and reports whether the failure found then is judged away. What no
// policy decides stays, and everything does if there is no policy.
func Again(f wire.Failure, e ima.Entry, p *policy.Policy) bool {
	switch f.ID {
	case wire.IMANotInPolicy, wire.IMAWrongDigest, wire.IMAViolation:
	default:
		return false
	}
	if p == nil || p.Empty() || f.Entry == nil {
		return false
	}
	j := judge{policy: p, past: true}
	j.entry(*f.Entry, e)
	return len(j.result.Failures) == 0
}

// entry judges one entry.
func (j *judge) entry(i uint64, e ima.Entry) {
	j.result.Entries++
	ev, err := e.Event()
	if i == 0 && !j.past && (err != nil || e.Violation() || ev.Buffer != nil || string(ev.Name) != ima.BootAggregate) {
		j.failAt(i, e, wire.Failure{ID: wire.IMANotMeasuring, Message: "the list does not begin with boot_aggregate, so nothing ties it to a boot"})
	}
	switch {
	case e.Violation():
		j.violation(i, e)
	case err != nil:
		j.failAt(i, e, wire.Failure{ID: wire.IMANoValidator, Message: err.Error()})
	case ev.Buffer != nil:
		j.failAt(i, e, wire.Failure{ID: wire.IMANoValidator, Path: Path(ev.Name), Got: digest(ev), Message: "a buffer event, which this version does not judge"})
	case !templates[string(e.Template)]:
		j.failAt(i, e, wire.Failure{ID: wire.IMANoValidator, Path: Path(ev.Name), Got: digest(ev), Message: fmt.Sprintf("template %q is not one that this version judges", e.Template)})
	default:
		j.file(i, e, ev)
	}
}

// templates are the names under which file events are accepted. The name is not
// covered by any digest: it can only make an entry fail.
var templates = map[string]bool{"ima-ng": true, "ima-sig": true}

// violation judges a violation. What it says of a file is not covered by any
// digest, so it is not repeated (I18).
func (j *judge) violation(i uint64, e ima.Entry) {
	if j.policy != nil && j.policy.Violations() == policy.ViolationsFail {
		j.failAt(i, e, wire.Failure{ID: wire.IMAViolation, Message: "a violation: a file was written while it was measured, or measured while it was written",
			Hint: `the list does not prove which file; a policy may accept violations with "ima": {"violations": "warn"}`})
	}
}

func (j *judge) file(i uint64, e ima.Entry, ev ima.Event) {
	aggregate := string(ev.Name) == ima.BootAggregate
	if aggregate && !j.past {
		j.bootAggregate(i, e, ev)
	}
	if j.policy == nil {
		return
	}
	d := j.policy.JudgeFile(ev.Name, ev.Algorithm, ev.Digest)
	if d.Verdict.OK() || d.Verdict == policy.NotInPolicy && aggregate {
		return
	}
	f := wire.Failure{ID: wire.IMANotInPolicy, Message: "the policy does not list the file", Path: Path(ev.Name), Got: digest(ev), Expected: d.Expected}
	if d.Verdict == policy.WrongDigest {
		f.ID, f.Message = wire.IMAWrongDigest, "the file's digest is none that the policy lists for it"
		if d.More > 0 {
			f.Message += fmt.Sprintf(", of which %d more are not shown", d.More)
		}
	}
	j.failAt(i, e, f)
}

// bootAggregate compares the entry with the quoted PCRs (kernel:
// security/integrity/ima/ima_crypto.c, ima_calc_boot_aggregate_tfm, since 5.8):
// the hash of PCRs 0 to 9 in the bank of its own algorithm, PCRs 0 to 7 if that is
// sha1 (I19).
func (j *judge) bootAggregate(i uint64, e ima.Entry, ev ima.Event) {
	last := 9
	if ev.Algorithm == pcr.SHA1 {
		last = 7
	}
	f := wire.Failure{ID: wire.IMABootAggregate, Path: ima.BootAggregate, Got: digest(ev)}
	values, ok := j.pcrs.Aggregate(ev.Algorithm, 0, last)
	switch {
	case !ok:
		f.Message = fmt.Sprintf("PCRs 0 to %d of its bank were not quoted", last)
	case !bytes.Equal(ev.Algorithm.Sum(values), ev.Digest):
		f.Message = "the list is of another boot than the quoted PCRs"
		f.Expected = []string{ev.Algorithm.String() + ":" + hex.EncodeToString(ev.Algorithm.Sum(values))}
	default:
		return
	}
	j.failAt(i, e, f)
}
