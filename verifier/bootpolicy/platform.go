package bootpolicy

import (
	"fmt"
	"slices"

	"quicklime/verifier/eventlog"
	"quicklime/wire/pcr"
)

// separators: PCRs 0 to 7 have one each, of 0 or 0xFFFFFFFF (PFP 1.06, sections
// 3.3.2.2 and 10.4.1), and it is what the digest is of, whatever the type says. In
// PCR 7 it parts what firmware is configured to from what it used. It returns the
// other events.
func (j *judgement) separators(i int, events []eventlog.Event) (others []eventlog.Event) {
	seen := 0
	for _, e := range events {
		s, ok := e.Data().(eventlog.Separator)
		switch {
		case !ok:
			if v, is := e.Data().(eventlog.Variable); i == 7 && seen > 0 && is && e.Type() == eventlog.EFIVariableDriverConfig {
				j.fail(e, "", nil, "update the firmware, or find out what measures it so late", "%s is measured behind the separator, where firmware is no longer alone", quote(v.Name))
			}
			others = append(others, e)
		case s.Value != 0 && s.Value != 0xffffffff:
			j.fail(e, "", []string{"separator 0x00000000", "separator 0xffffffff"}, "the firmware says that it failed to measure something: see its log", "the separator is of an error")
			seen++
		default:
			if seen++; seen > 1 {
				j.fail(e, "", nil, "only firmware ends its measurements, once", "a second separator")
			}
		}
	}
	if seen == 0 {
		j.lacks(i, []string{"separator 0x00000000", "separator 0xffffffff"}, "the firmware did not end its measurements in this PCR: somebody may have made them later", "there is no separator")
	}
	return others
}

// actions are the texts that firmware may measure (PFP 1.06, section 10.4.4).
var actions = map[int][]string{
	1: {"Entering ROM Based Setup"},
	4: {"Calling EFI Application from Boot Option", "Returning from EFI Application from Boot Option"},
	5: {"Exit Boot Services Invocation", "Exit Boot Services Returned with Success", "Exit Boot Services Returned with Failure"},
}

// byKind are the types of PCR 1 that are accepted whatever their digest is: they
// are of one machine's hardware and boot options.
var byKind = []eventlog.Type{
	eventlog.CPUMicrocode, eventlog.EFIHandoffTables, eventlog.EFIHandoffTables2, eventlog.PlatformConfigFlags,
	eventlog.EFIVariableBoot, eventlog.EFIVariableBoot2,
}

// platform judges PCRs 1, 2, 3, 5 and 6.
func (j *judgement) platform(of [pcr.Count][]eventlog.Event) {
	count := map[eventlog.Type]int{}
	for _, e := range of[1] {
		count[e.Type()]++
		switch {
		case action(e), slices.Contains(byKind, e.Type()) && e.Check() != eventlog.Contradicted && count[e.Type()] <= maxOfKind:
		case slices.Contains(byKind, e.Type()) && count[e.Type()] > maxOfKind:
			j.fail(e, "", nil, "find out what makes so many", "more than %d events of type %v", maxOfKind, e.Type())
		default:
			j.unknownEvent(e)
		}
	}
	for _, e := range of[2] {
		driver := e.Type() == eventlog.EFIBootServicesDriver || e.Type() == eventlog.EFIRuntimeServicesDriver
		switch {
		case !driver:
			j.unknownEvent(e)
		case j.pinROMs && !anyOf(e, j.optionROMs):
			j.fail(e, digestText(e), texts(e, j.optionROMs...), "if the device and its firmware are wanted, add the digest to option_roms", "a driver that option_roms does not list: %s", says(e))
		}
	}
	tables := 0
	for _, e := range of[5] {
		_, table := e.Data().(eventlog.GPT)
		if table {
			tables++
		}
		if !action(e) && (!table || tables > 1) {
			j.unknownEvent(e)
		}
	}
	for _, i := range []int{3, 6} {
		for _, e := range of[i] {
			j.unknownEvent(e)
		}
	}
}

// action reports whether an event is a text that firmware may measure there.
func action(e eventlog.Event) bool {
	a, ok := e.Data().(eventlog.Action)
	return ok && slices.Contains(actions[e.PCR()], a.Text)
}

// unknownEvent fails an event that no rule accepts.
func (j *judgement) unknownEvent(e eventlog.Event) {
	what := "no rule accepts"
	if e.Check() == eventlog.Contradicted {
		what = "its digest is not of what the log says: somebody changed the log:"
	}
	j.fail(e, digestText(e), nil, fmt.Sprintf("if it belongs to this boot, add its digest to events[\"%d\"]", e.PCR()), "%s %s", what, says(e))
}

// firmwareIs: the events of PCR 0 are one element of scrtm_and_bios.
func (j *judgement) firmwareIs(events []eventlog.Event) {
	var scrtm, blobs []eventlog.Event
	for _, e := range events {
		switch e.Type() {
		case eventlog.SCRTMVersion:
			scrtm = append(scrtm, e)
		case eventlog.EFIPlatformFirmwareBlob, eventlog.EFIPlatformFirmwareBlob2:
			blobs = append(blobs, e)
		default:
			j.unknownEvent(e)
		}
	}
	if len(j.firmware) == 0 && len(scrtm)+len(blobs) == 0 {
		return // firmware that measures nothing of itself, and none is asked for
	}
	best := -1
	var at *eventlog.Event
	for _, f := range j.firmware {
		n, differs := f.agrees(scrtm, blobs)
		if n == len(scrtm)+len(blobs) && n == 1+len(f.blobs) {
			return
		}
		if n > best {
			best, at = n, differs
		}
	}
	const hint = "if the firmware was updated on purpose, add the new one to scrtm_and_bios: \"quicklime-tenant boot-policy create\" shows it"
	if at == nil {
		j.lacks(0, nil, hint, "the firmware is none of the %d in scrtm_and_bios: %d versions and %d parts were measured", len(j.firmware), len(scrtm), len(blobs))
		return
	}
	var listed []digests
	for _, f := range j.firmware {
		if at.Type() == eventlog.SCRTMVersion {
			listed = append(listed, f.scrtm)
		} else {
			listed = append(listed, f.blobs...)
		}
	}
	j.fail(*at, digestText(*at), texts(*at, listed...), hint, "the firmware is none of the %d in scrtm_and_bios: %s", len(j.firmware), says(*at))
}

// agrees returns how many events agree with f, and the first that does not.
func (f firmware) agrees(scrtm, blobs []eventlog.Event) (n int, differs *eventlog.Event) {
	all := slices.Concat(scrtm, blobs)
	for i := range all {
		ok := false
		switch {
		case i < len(scrtm):
			ok = i == 0 && f.scrtm.is(all[i])
		case i-len(scrtm) < len(f.blobs):
			ok = f.blobs[i-len(scrtm)].is(all[i])
		}
		if ok {
			n++
		} else if differs == nil {
			differs = &all[i]
		}
	}
	return n, differs
}
