package dm

import (
	"fmt"
	"strconv"

	"quicklime/wire"
)

func (j *judgement) load(e Load, table Hash) {
	key := j.policy.deviceKey(e.Device.Identity)
	n := j.state.find(key)
	if n >= 0 {
		if r := j.policy.named[j.state.devices[n].Rule]; r == nil || !r.multipleLoads {
			j.found(MultipleLoads, "another table for the device %s", quote(key))
			return
		}
	}
	r := j.policy.ruleFor(key)
	if r == nil {
		j.found(NoRule, "no rule is for the device %s", quote(key))
		return
	}
	if !j.described(e, r) {
		return
	}
	for i, t := range e.Targets {
		j.target(t, r.targets[i])
	}
	if n < 0 && j.state.Len() == MaxDevices {
		j.found(TooManyDevices, "the device %s, beyond %d", quote(key), MaxDevices)
		return
	}
	j.state = j.state.with(device{Key: key, Rule: r.name, Table: table, Valid: !r.resumeRequired})
}

// ruleFor returns the first rule for a device, or nil.
func (p *Policy) ruleFor(key string) *rule {
	for _, r := range p.rules {
		if r.device[p.key()].allows(key) {
			return r
		}
	}
	return nil
}

// described judges what a load says of its device.
func (j *judgement) described(e Load, r *rule) bool {
	for _, field := range deviceFields {
		if got := e.Device.field(field); !r.device[field].allows(got) {
			j.mismatch(BadEntry, field, got, r.device[field])
			return false
		}
	}
	if n, first := len(e.Targets), e.Targets[0].Index; n != r.numTargets || first != 0 {
		j.found(TargetCount, "the event has %d targets, from target %d on, the table %d", n, first, r.numTargets)
		return false
	}
	return true
}

// field returns the value of one of deviceFields.
func (d Device) field(name string) string {
	n := d.NumTargets
	switch name {
	case "name":
		return d.Name
	case "uuid":
		return d.UUID
	case "major":
		n = d.Major
	case "minor":
		n = d.Minor
	case "minor_count":
		n = d.MinorCount
	}
	return strconv.FormatUint(uint64(n), 10)
}

// target judges a target.
func (j *judgement) target(t Target, want targetRule) {
	id := func(kind string) wire.FailureID { return wire.FailureID("ima.validation.dm." + j.event + kind) }
	valid := true
	for _, a := range want {
		got, there, known := t.field(a.key)
		switch {
		case !known:
			j.found(id(targetAttribute), "target %d, %s, has no attribute %s", t.Index, quote(t.Name), quote(a.key))
		case there && !a.allows(got), !there && !a.absent:
			j.mismatch(id(targetMismatch), fmt.Sprintf("target %d: %s", t.Index, a.key), got, a.reference)
			valid = false
		}
	}
	if !valid {
		j.found(id(targetInvalid), "target %d, %s, is not what the rule allows", t.Index, quote(t.Name))
	}
}

func (j *judgement) update(e Update) {
	_, r := j.judged(e.Device.Identity, UpdateBeforeLoad)
	if r == nil {
		return
	}
	want := targetRule{{"target_index", reference{text: fmt.Sprintf("less than %d", len(r.targets))}}}
	if n := int(e.Target.Index); n < len(r.targets) {
		want = r.targets[n]
	}
	j.target(e.Target, want)
}
