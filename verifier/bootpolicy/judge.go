package bootpolicy

import (
	"encoding/hex"
	"fmt"
	"slices"

	"quicklime/verifier/eventlog"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// Judge returns what is wrong with a boot, none if nothing is. The quote must have
// covered p.PCRs() in one bank or more.
func (p *Policy) Judge(r eventlog.Replayed) []wire.Failure {
	switch p.named {
	case AcceptAll:
		return nil
	case RejectAll:
		return []wire.Failure{{ID: wire.BootPolicyFailure(RejectAll), Message: "the boot policy reject-all accepts no boot", Hint: "test with a reference state: \"quicklime-tenant boot-policy create\" makes one of this log"}}
	}
	fails, proven := p.outcomes(r)
	return append(fails, p.judge(r.Events(), r.Measurements(), proven, quotedPCR11(r))...)
}

// JudgeSupposed is what Judge would return if the log's digests had been measured,
// for people and tools. It is no verdict.
func (p *Policy) JudgeSupposed(s eventlog.Supposed) []wire.Failure {
	if p.named != "" {
		return p.Judge(eventlog.Replayed{})
	}
	return p.judge(s.Events(), s.Measurements(), p.PCRs(), supposedPCR11(s))
}

// Unreadable is the failure of a boot log that eventlog.Parse refuses.
func Unreadable(err error) wire.Failure {
	return wire.Failure{ID: wire.BootLogMalformed, Message: err.Error(), Hint: "reboot the machine; if it stays, its firmware's log cannot be used, or something changes it on its way"}
}

// UnreadableSystemdLog is the failure of a log of systemd's that systemdlog.Parse refuses.
func UnreadableSystemdLog(err error) wire.Failure {
	return wire.Failure{ID: wire.BootLogMalformed, Message: "systemd's log: " + err.Error(),
		Hint: "look at /run/log/systemd/tpm2-measure.log on the machine: something changed it, or systemd was stopped while it wrote; reboot the machine"}
}

// outcomes judges what the replay found of each PCR, and returns the PCRs whose
// events can be judged.
func (p *Policy) outcomes(r eventlog.Replayed) (fails []wire.Failure, ok pcr.Set) {
	var quoted, bad pcr.Set
	for _, o := range r.Outcomes() {
		if !p.PCRs().Has(o.PCR) {
			continue
		}
		quoted |= pcr.Of(o.PCR)
		if o.State == eventlog.Proven || o.State == eventlog.Untouched || o.PCR == 11 && p.runtime[11].listed == 0 {
			continue // without systemd's log PCR 11 is judged as a prefix
		}
		bad |= pcr.Of(o.PCR)
		fails = append(fails, wire.Failure{
			ID: wire.BootInvalidPCR(o.PCR), Message: o.String(), Got: fmt.Sprintf("%v:%x", o.Bank, o.Quoted), Expected: led(o), Hint: outcomeHint(o),
		})
	}
	if missing := p.PCRs() &^ quoted; missing != 0 {
		fails = append(fails, wire.Failure{
			ID: wire.BootMissingPCRs, Message: fmt.Sprintf("the quote lacks PCRs that the boot policy judges: %v", slices.Collect(missing.All())),
			Hint: "the quote must cover PCRs 0 to 9 and 14, and 11 to 13 if the reference state has unified kernel images",
		})
	}
	return fails, quoted &^ bad
}

func led(o eventlog.Outcome) []string {
	if o.Got == nil {
		return nil
	}
	return []string{fmt.Sprintf("%v:%x", o.Bank, o.Got)}
}

func outcomeHint(o eventlog.Outcome) string {
	switch {
	case o.State == eventlog.NoDigest:
		return "quote a bank that the log is of"
	case o.PCR >= 11 && o.PCR <= 15 && o.PCR != 14:
		return "systemd extends this PCR while the system runs: its log, /run/log/systemd/tpm2-measure.log, has to come with the boot log and lead to the value"
	case o.State == eventlog.Unlogged:
		return "something extended the PCR and kept no log of it"
	case o.Cause != eventlog.CauseUnknown:
		return string(o.Cause)
	}
	return "the log is not that of this boot, or something changed it"
}

// judgement collects what is wrong with a boot.
type judgement struct {
	*Policy
	fails []wire.Failure
}

// fail records what is wrong with an event.
func (j *judgement) fail(e eventlog.Event, got string, expected []string, hint, format string, args ...any) {
	n := uint64(e.Number())
	if got == "" {
		got = show(e)
	}
	j.fails = append(j.fails, wire.Failure{
		ID: wire.BootPolicyFailure(j.Name()), Entry: &n, Got: got, Expected: expected[:min(len(expected), maxExpected)], Hint: hint,
		Message: fmt.Sprintf("PCR %d, event %d: ", e.PCR(), e.Number()) + fmt.Sprintf(format, args...),
	})
}

// lacks records something that should have been in a PCR.
func (j *judgement) lacks(i int, expected []string, hint, format string, args ...any) {
	j.fails = append(j.fails, wire.Failure{
		ID: wire.BootPolicyFailure(j.Name()), Expected: expected[:min(len(expected), maxExpected)], Hint: hint,
		Message: fmt.Sprintf("PCR %d: ", i) + fmt.Sprintf(format, args...),
	})
}

// show is what is known of an event.
func show(e eventlog.Event) string {
	if e.Data() != nil {
		if s := e.Measured(); s != "" {
			return cut(s)
		}
	}
	return digestText(e)
}

func digestText(e eventlog.Event) string {
	return fmt.Sprintf("%v:%s", e.Bank(), hex.EncodeToString(e.Digest()))
}

// says is what the digest covers of an event or else what the log claims, for a
// message.
func says(e eventlog.Event) string {
	if s := e.Measured(); s != "" {
		return fmt.Sprintf("%v, %s", e.Type(), quote(s))
	}
	if s := e.Claimed(); s != "" {
		return fmt.Sprintf("%v, which the log calls %s", e.Type(), quote(s))
	}
	return e.Type().String()
}

func cut(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return quote(s)
}

// texts are the digests that an event may have, in its bank.
func texts(e eventlog.Event, of ...digests) (all []string) {
	for _, d := range of {
		if v, ok := d[e.Bank()]; ok {
			all = append(all, fmt.Sprintf("%v:%x", e.Bank(), v))
		}
	}
	return all
}

// judge judges the events of the PCRs in proven, and what PCR 11 holds.
func (p *Policy) judge(events []eventlog.Event, measured []eventlog.Measurement, proven pcr.Set, pcr11 []pcr11Value) []wire.Failure {
	j := &judgement{Policy: p}
	var of [pcr.Count][]eventlog.Event
	for _, e := range events {
		if proven.Has(e.PCR()) && !anyOf(e, p.events[e.PCR()]) {
			of[e.PCR()] = append(of[e.PCR()], e)
		}
	}
	for i := range 8 {
		if proven.Has(i) {
			of[i] = j.separators(i, of[i])
		}
	}
	j.platform(of)
	if proven.Has(0) {
		j.firmwareIs(of[0])
	}
	if proven.Has(7) {
		j.secureBootIs(of[7])
	}
	if proven.Has(14) {
		j.mokIs(of[14])
	}
	if proven.Has(15) {
		for _, e := range of[15] {
			j.unknownEvent(e)
		}
	}
	j.whileRunning(measured, proven)
	j.boot(of, proven, pcr11)
	return j.fails
}

// boot compares what was booted with each kernel, and records what is wrong with
// the one that is nearest.
func (j *judgement) boot(of [pcr.Count][]eventlog.Event, proven pcr.Set, pcr11 []pcr11Value) {
	var best []wire.Failure
	for i, k := range j.kernels {
		one := &judgement{Policy: j.Policy}
		one.kernelIs(k, of, proven, pcr11)
		if len(one.fails) == 0 {
			return
		}
		if i == 0 || len(one.fails) < len(best) {
			best = one.fails
			if len(j.kernels) > 1 {
				for n := range best {
					best[n].Message += fmt.Sprintf("; nearest of %d is %s", len(j.kernels), k.place)
				}
			}
		}
	}
	j.fails = append(j.fails, best...)
}
