package dm

import (
	"crypto/sha256"
	"fmt"
	"unicode/utf8"

	"quicklime/wire"
)

// Judge judges one event: the name and the buffer of an ima-buf entry, whose
// digest the caller has compared with the buffer. It returns the state behind the
// event and what is wrong with it, nothing if nothing is.
//
// Judge keeps nothing of buf. What it decides depends on nothing but its
// arguments and the policy, so that a list may be judged in parts.
func (p *Policy) Judge(s State, name string, buf []byte) (State, []Finding) {
	j := &judgement{policy: p, state: s, event: name}
	if !IsEvent([]byte(name)) {
		j.found(EventType, "%s is no device-mapper event", quote(name))
		return s, j.findings
	}
	e, err := Parse(name, buf)
	if err != nil {
		j.found(ParsingFailed, "%s: %v", name, err)
		return s, j.findings
	}
	switch e := e.(type) {
	case Load:
		j.load(e, sha256.Sum256(buf))
	case Resume:
		j.resume(e)
	case Remove:
		j.remove(e)
	case Clear:
		j.clear(e)
	case Rename:
		j.rename(e)
	case Update:
		j.update(e)
	}
	return j.state, j.findings
}

// Outstanding returns what the policy still waits for in a state: devices that
// have to be resumed or did what their rule forbids, and required rules that no
// device satisfies. It is a condition of the moment, see the package comment.
func (p *Policy) Outstanding(s State) []Finding {
	j := &judgement{policy: p}
	used := make(map[string]bool)
	for _, d := range s.devices {
		if !d.Valid {
			j.found(InvalidState, "the device %s is not in the state that the rule %s wants", quote(d.Key), quote(d.Rule))
			continue
		}
		used[d.Rule] = true
	}
	for _, r := range p.rules {
		if r.required && !used[r.name] {
			j.found(RequiredMissing, "no device is in the state that the rule %s requires", quote(r.name))
		}
	}
	return j.findings
}

// A judgement is the judging of one event.
type judgement struct {
	policy   *Policy
	state    State
	event    string
	findings []Finding
}

func (j *judgement) found(id wire.FailureID, format string, args ...any) {
	j.add(Finding{ID: id, Message: fmt.Sprintf(format, args...)})
}

func (j *judgement) add(f Finding) {
	if len(j.findings) < MaxFindings {
		j.findings = append(j.findings, f)
	}
}

// mismatch adds a finding about one value.
func (j *judgement) mismatch(id wire.FailureID, what, got string, want reference) {
	j.add(Finding{
		ID:       id,
		Message:  fmt.Sprintf("%s is %s", what, quote(got)),
		Got:      shorten(got),
		Expected: shorten(want.text),
	})
}

// shorten returns UTF-8 of bounded length.
func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	end := maxShown
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// deviceKey returns what stands for a device.
func (p *Policy) deviceKey(i Identity) string {
	if p.byUUID {
		return i.UUID
	}
	return i.Name
}

// judged returns the device of that identity and its rule. Without one it adds
// the finding.
func (j *judgement) judged(i Identity, before wire.FailureID) (device, *rule) {
	key := j.policy.deviceKey(i)
	n := j.state.find(key)
	if n < 0 {
		j.found(before, "the device %s was not loaded with a table that a rule allows", quote(key))
		return device{}, nil
	}
	d := j.state.devices[n]
	r := j.policy.named[d.Rule]
	if r == nil {
		j.found(NoRule, "the device %s was judged by the rule %s, which the policy has no more", quote(key), quote(d.Rule))
	}
	return d, r
}

// invalid notes that d did what its rule forbids.
func (j *judgement) invalid(d device) {
	d.Valid = false
	j.state = j.state.with(d)
}
