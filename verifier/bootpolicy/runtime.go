package bootpolicy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"quicklime/verifier/eventlog"
	"quicklime/wire/pcr"
)

// runtime is what systemd may measure into a PCR while the system runs.
type runtime struct {
	listed      int // rules of both kinds
	expressions []*regexp.Regexp
	sources     []string // of expressions, as they were written
	digests     []digests
}

// phases are what systemd-pcrphase extends PCR 11 with while the system starts and
// stops (systemd: docs/TPM2_PCR_MEASUREMENTS.md; systemd-pcrphase.service(8)). The
// quote is made somewhere on the way.
var phases = []string{"enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final"}

// afterInitrd is the first phase where the initrd is not systemd's.
const afterInitrd = 2

// reaches reports whether a PCR gets from one value to another by some of the phases,
// from the first on.
func reaches(b pcr.Bank, from, to []byte) bool {
	for _, first := range []int{0, afterInitrd} {
		value := from
		for _, phase := range phases[first:] {
			value = b.Extend(value, b.Sum([]byte(phase)))
			if string(value) == string(to) {
				return true
			}
		}
	}
	return false
}

// runtimeOf reads what systemd may measure into a PCR: expressions, which match the
// whole text, and digests, of what has no text that a digest covers.
func (p *parser) runtimeOf(name string, v *value) {
	i, ok := p.index(name, v)
	if !ok {
		return
	}
	var r runtime
	p.array(v, MaxExpressions, func(e *value) {
		r.listed++
		if e.Token == json.Delim('{') {
			r.digests = append(r.digests, p.digestsOf(e))
		} else if x := p.compile(e); x != nil {
			source, _ := e.Token.(string)
			r.expressions, r.sources = append(r.expressions, x), append(r.sources, source)
		}
	})
	p.judgesSections = p.judgesSections || i >= 11 && i <= 13
	p.runtime[i] = r
}

// whileRunning judges what systemd measured into the judged PCRs: the phases into
// PCR 11, and what runtime lists.
func (j *judgement) whileRunning(measured []eventlog.Measurement, proven pcr.Set) {
	for _, m := range measured {
		if !proven.Has(m.PCR()) || j.runtime[m.PCR()].allows(m) {
			continue
		}
		if text, ok := m.Text(); ok && m.PCR() == 11 && slices.Contains(phases, text) {
			continue
		}
		what := fmt.Sprintf("%v:%x", m.Bank(), m.Digest())
		if text, ok := m.Text(); ok {
			what = quote(text)
		} else if text, kind := m.Claim(); text != "" {
			what += fmt.Sprintf(", which its log calls %s %s", quote(kind), quote(text))
		}
		j.lacks(m.PCR(), j.runtime[m.PCR()].shown(), fmt.Sprintf("if it belongs to this machine, add it to runtime[\"%d\"]", m.PCR()),
			"record %d of systemd's log: it measured %s while the system ran, and runtime does not list it", m.Number(), what)
	}
}

// allows reports whether a rule is of the measurement.
func (r runtime) allows(m eventlog.Measurement) bool {
	text, ok := m.Text()
	return ok && slices.ContainsFunc(r.expressions, func(x *regexp.Regexp) bool { return x.MatchString(text) }) ||
		slices.ContainsFunc(r.digests, func(d digests) bool { want, ok := d[m.Bank()]; return ok && want == string(m.Digest()) })
}

func (r runtime) shown() (all []string) {
	for _, s := range r.sources {
		all = append(all, cut(s))
	}
	return append(all, each(r.digests)...)
}
