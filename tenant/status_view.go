package tenant

import (
	"fmt"
	"io"
	"strings"
	"time"

	"quicklime/wire"
	"quicklime/wire/rest"
)

// writeStatus lays everything that is known of an agent out for an operator:
// whether it is trusted in the first line, why not in the next.
func (p *program) writeStatus(w io.Writer, a rest.Agent) {
	fmt.Fprintf(w, "%s  %s  %s\n", paint(stateCell(string(a.Trust)), p.coloured(w)), short(a.ID), printable(a.Label))
	if a.Reason != "" {
		fmt.Fprintf(w, "%s\n", printable(a.Reason))
	}
	for _, part := range []*fields{p.enrolmentFields(a), p.epochFields(a), p.lastFields(a), p.rejectedFields(a)} {
		if part != nil {
			fmt.Fprintln(w)
			part.write(w)
		}
	}
	writeConditions(w, a)
	writeFailures(w, a)
}

func (p *program) enrolmentFields(a rest.Agent) *fields {
	f := &fields{title: "Enrolment"}
	f.add("id", "%s", a.ID)
	f.add("enrolled", "%s", p.moment(a.EnrolledAt))
	f.add("connected", "%s", yesNo(a.Connected))
	if n := a.Notices; n != nil {
		f.add("notices", "%s", noticeWords(*n))
	}
	if a.FreshUntil != nil && (a.Trust == wire.Trusted || a.Trust == wire.Unjudged) {
		f.add("evidence fresh until", "%s", a.FreshUntil.UTC().Format(time.RFC3339))
	}
	if a.Severity != "" {
		f.add("severity", "%s", p.severityWords(a))
	}
	f.add("runtime policy", "%s", policyWords(a.Policies.Runtime, a.Policies.RuntimeSignedBy...))
	f.add("boot policy", "%s", policyWords(a.Policies.Boot, a.Policies.BootSignedBy...))
	f.add("TPM policy", "%s", policyWords(tpmPolicyName(a.Policies)))
	if c := a.Cleared; c != nil {
		f.add("cleared", "%s at %s", counted(c.Count, "failure", "failures"), p.moment(c.At))
	}
	return f
}

// severityWords says how grave what stands is, and since when.
func (p *program) severityWords(a rest.Agent) string {
	if a.RaisedAt == nil {
		return a.Severity
	}
	return fmt.Sprintf("%s, raised at %s", a.Severity, p.moment(*a.RaisedAt))
}

// tpmPolicyName stands for a TPM policy, which has no name.
func tpmPolicyName(p rest.Policies) string {
	if p.TPM == wire.NotEvaluated || p.TPM == "" {
		return wire.NotEvaluated
	}
	return "sha256:" + short(p.TPM)
}

// policyWords spells out what the absence of a policy means (I21), and who signed it.
func policyWords(policy string, by ...rest.Signer) string {
	if policy == wire.NotEvaluated || policy == "" {
		return wire.NotEvaluated + ": nothing is judged by one"
	}
	if len(by) > 0 {
		return policy + ", signed by " + signers(by)
	}
	return policy
}

func (p *program) epochFields(a rest.Agent) *fields {
	if a.Epoch == nil {
		return nil
	}
	f := &fields{title: "Boot"}
	f.add("epoch", "%s", a.Epoch.ID)
	f.add("counters", "reset %d, restart %d", a.Epoch.ResetCount, a.Epoch.RestartCount)
	f.add("first evidence", "%s", p.moment(a.Epoch.StartedAt))
	f.add("entries", "%d certified, bank %v", a.Epoch.Entries, a.Epoch.IMABank)
	return f
}

func (p *program) lastFields(a rest.Agent) *fields {
	if a.Last == nil {
		return &fields{title: "Last attestation", pairs: [][2]string{{"at", "never: no quote of this agent was verified yet"}}}
	}
	l := a.Last
	f := &fields{title: "Last attestation"}
	f.add("at", "%s", p.moment(l.At))
	f.add("nonce issued", "%s", p.moment(l.NonceIssued))
	f.add("because of", "%s", l.Trigger)
	f.add("carried", "%s from entry %d", counted(l.Entries, "entry", "entries"), l.First)
	f.add("replayed in", "%s", took(time.Duration(l.ReplayNanos)))
	f.add("TPM clock", "%v", (time.Duration(l.Clock) * time.Millisecond).Round(time.Second))
	f.add("TPM firmware", "%s", l.Firmware)
	return f
}

func (p *program) rejectedFields(a rest.Agent) *fields {
	if a.Rejected == nil {
		return nil
	}
	f := &fields{title: "Last rejected evidence"}
	f.add("at", "%s", p.moment(a.Rejected.At))
	f.add("id", "%s", a.Rejected.ID)
	f.add("message", "%s", a.Rejected.Message)
	f.add("count", "%d since the enrolment", a.Rejected.Count)
	return f
}

// shownFailures bounds the failures that a status lists: a screen or two. The
// others are often of one kind with them.
const shownFailures = 20

// writeConditions shows what the policy waits for.
func writeConditions(w io.Writer, a rest.Agent) {
	if len(a.Conditions) == 0 {
		return
	}
	fmt.Fprintf(w, "\nWaiting for: %d\n", len(a.Conditions))
	for i, f := range a.Conditions[:min(shownFailures, len(a.Conditions))] {
		failureFields(i+1, f).write(w)
	}
}

// writeFailures shows the gravest failures, and says how many more there are.
func writeFailures(w io.Writer, a rest.Agent) {
	if a.FailureCount == 0 && len(a.Failures) == 0 {
		return
	}
	fmt.Fprintf(w, "\nFailures: %s\n", failureCounts(a))
	shown := a.Failures[:min(shownFailures, len(a.Failures))]
	for i, f := range shown {
		failureFields(i+1, f).write(w)
	}
	if more := a.FailureCount - len(shown); more > 0 {
		fmt.Fprintf(w, "and %d more; --json shows %d of them all\n", more, len(a.Failures))
	}
}

// failureCounts says how many failures stand, and how many of them matter less.
func failureCounts(a rest.Agent) string {
	if a.ToleratedCount == 0 {
		return fmt.Sprint(a.FailureCount)
	}
	return fmt.Sprintf("%d, of which %d tolerated", a.FailureCount, a.ToleratedCount)
}

// failureFields are a failure's id, where it is, and what was seen and expected.
func failureFields(n int, failure wire.Failure) *fields {
	f := &fields{title: fmt.Sprintf("%d. %s", n, printable(string(failure.ID)))}
	optional := func(name, value string) {
		if value != "" {
			f.add(name, "%s", value)
		}
	}
	if failure.Tolerated {
		f.add("severity", "%s, tolerated", failure.Severity)
	} else {
		optional("severity", failure.Severity)
	}
	optional("message", failure.Message)
	if failure.Entry != nil {
		f.add("entry", "%d", *failure.Entry)
	}
	optional("path", failure.Path)
	optional("seen", failure.Got)
	optional("expected", strings.Join(failure.Expected, ", "))
	optional("epoch", failure.Epoch)
	optional("hint", failure.Hint)
	return f
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// noticeWords says what an agent has of the notices of other machines.
func noticeWords(n rest.Notices) string {
	words := "none yet"
	if n.Last > 0 {
		words = fmt.Sprintf("the last is number %d", n.Last)
	}
	if n.Missing > 0 {
		words += fmt.Sprintf("; %d are missing", n.Missing)
	}
	switch {
	case n.Key == rest.NoticeKeyUnknown:
		words += "; it pins a revocation key that is not the verifier's: join again with a new token"
	case n.Key == rest.NoticeKeyEarlier:
		words += "; it has not taken the verifier's new revocation key yet"
	}
	switch n.Refused {
	case wire.RefusedClock:
		words += fmt.Sprintf("; it refuses them, for its clock is %s the verifier's: set the one that is wrong, and they are sent again within a minute", clockWords(n.ClockOff))
	case wire.RefusedKey:
		words += "; it refuses them: they are not by the key that it pins"
	case wire.RefusedStorage:
		words += "; it cannot keep them, and its log says why; they are sent again every minute"
	}
	return words
}

// clockWords says how far a clock is from another.
func clockWords(ahead float64) string {
	d := time.Duration(ahead * float64(time.Second)).Round(time.Second)
	if d < 0 {
		return fmt.Sprintf("%v behind", -d)
	}
	return fmt.Sprintf("%v ahead of", d)
}
