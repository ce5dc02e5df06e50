package appraise

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"quicklime/ima"
	"quicklime/verifier/imalist"
	"quicklime/verifier/policy"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// List judges a certified part of a measurement list by a policy. A nil or empty
// policy evaluates nothing (I21); what ties the list to the boot is judged all
// the same.
// What an operator has cleared is left out.
func List(c imalist.Certified, p *policy.Policy, cleared map[Finding]bool) wire.Result {
	j := judge{pcrs: c.Quote().PCRs(), cleared: cleared}
	j.result.Runtime = wire.NotEvaluated
	if p != nil && !p.Empty() {
		j.policy, j.result.Runtime = p, p.Digest()
	}
	to := c.Replayed().To()
	if j.policy != nil && (to.Entries() == 0 || to.AtReset()) {
		j.fail(wire.Failure{ID: wire.IMANotMeasuring, Message: "the measurement list is empty: IMA measures nothing",
			Hint: "boot the machine with ima_policy=tcb, or load an IMA policy"})
	}
	for i, e := range c.Replayed().All() {
		j.entry(i, e)
	}
	return j.result
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

// judge collects the result of one list.
type judge struct {
	policy  *policy.Policy // nil: not evaluated
	pcrs    pcr.Values
	cleared map[Finding]bool
	past    bool // the entry is of an earlier boot, whose PCRs are gone
	result  wire.Result
}

func (j *judge) fail(f wire.Failure) { j.result.Fail(f) }

func (j *judge) failAt(i uint64, f wire.Failure) {
	if j.cleared[Finding{i, f.ID}] {
		return
	}
	f.Entry = &i
	j.fail(f)
}

// entry judges one entry. Whatever it is, only what the PCR covers decides (I16
// to I18).
func (j *judge) entry(i uint64, e ima.Entry) {
	j.result.Entries++
	ev, err := e.Event()
	if i == 0 && !j.past && (err != nil || e.Violation() || ev.Buffer != nil || string(ev.Name) != ima.BootAggregate) {
		j.failAt(i, wire.Failure{ID: wire.IMANotMeasuring, Message: "the list does not begin with boot_aggregate, so nothing ties it to a boot"})
	}
	switch {
	case e.Violation():
		j.violation(i)
	case err != nil:
		j.failAt(i, wire.Failure{ID: wire.IMANoValidator, Message: err.Error()})
	case ev.Buffer != nil:
		j.failAt(i, wire.Failure{ID: wire.IMANoValidator, Path: Path(ev.Name), Got: digest(ev), Message: "a buffer event, which this version does not judge"})
	case !templates[string(e.Template)]:
		j.failAt(i, wire.Failure{ID: wire.IMANoValidator, Path: Path(ev.Name), Got: digest(ev), Message: fmt.Sprintf("template %q is not one that this version judges", e.Template)})
	default:
		j.file(i, ev)
	}
}

// templates are the names under which file events are accepted. The name is not
// covered by any digest: it can only make an entry fail.
var templates = map[string]bool{"ima-ng": true, "ima-sig": true}

// violation judges a violation. What it says of a file is not covered by any
// digest, so it is not repeated (I18).
func (j *judge) violation(i uint64) {
	if j.policy != nil && j.policy.Violations() == policy.ViolationsFail {
		j.failAt(i, wire.Failure{ID: wire.IMAViolation, Message: "a violation: a file was written while it was measured, or measured while it was written",
			Hint: `the list does not prove which file; a policy may accept violations with "ima": {"violations": "warn"}`})
	}
}

func (j *judge) file(i uint64, ev ima.Event) {
	aggregate := string(ev.Name) == ima.BootAggregate
	if aggregate && !j.past {
		j.bootAggregate(i, ev)
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
	j.failAt(i, f)
}

// bootAggregate compares the entry with the quoted PCRs (kernel:
// security/integrity/ima/ima_crypto.c, ima_calc_boot_aggregate_tfm, since 5.8):
// the hash of PCRs 0 to 9 in the bank of its own algorithm, PCRs 0 to 7 if that is
// sha1 (I19).
func (j *judge) bootAggregate(i uint64, ev ima.Event) {
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
	j.failAt(i, f)
}

// maxDigest bounds the digest that is shown: no hash is longer than SHA-512.
const maxDigest = 64 // bytes

// digest shows an event's digest as "sha256:…".
func digest(ev ima.Event) string {
	name, d, more := "unknown", ev.Digest, ""
	if ev.Algorithm.Known() {
		name = ev.Algorithm.String()
	}
	if len(d) > maxDigest {
		d, more = d[:maxDigest], "…"
	}
	return name + ":" + hex.EncodeToString(d) + more
}

// maxPath bounds the path that is shown: PATH_MAX of the kernel.
const maxPath = 4096 // bytes

// Path shows a path of the list, which may be any bytes (I24): as it is if it is
// printable, else quoted; cut if no kernel has such a long one.
func Path(name []byte) string {
	more := ""
	if len(name) > maxPath {
		more = fmt.Sprintf("… (%d bytes)", len(name))
		name = name[:maxPath]
	}
	s := string(name)
	if wire.Printable(s, len(s)) && !slices.Contains(name, '"') {
		return s + more
	}
	return strconv.Quote(s) + more
}
