package bootpolicy

import (
	"fmt"

	"quicklime/verifier/eventlog"
	"quicklime/wire/pcr"
)

// section is one of a unified kernel image.
type section struct {
	name string // such as ".linux"
	of   digests
}

// sectionOf reads {"name": ".linux", "sha256": "0x…"}.
func (p *parser) sectionOf(v *value) section {
	s := section{of: digests{}}
	p.object(v, func(name string, m *value) {
		if name == "name" {
			s.name, _ = p.str(m)
			return
		}
		p.digestInto(s.of, name, m)
	})
	if v.Kind() == "an object" && (s.name == "" || len(s.of) == 0) {
		p.problem(v, "a section has a name and a digest: write {\"name\": \".linux\", \"sha256\": \"0x…\"}")
	}
	return s
}

// pcr11Value is PCR 11 in a bank.
type pcr11Value struct {
	bank   pcr.Bank
	value  []byte // what the firmware's log leads to, if that is proven, else what was quoted
	proven bool
}

func quotedPCR11(r eventlog.Replayed) (all []pcr11Value) {
	for _, o := range r.Outcomes() {
		switch {
		case o.PCR != 11:
		case o.State == eventlog.Proven || o.State == eventlog.Untouched:
			all = append(all, pcr11Value{o.Bank, o.Got, true})
		default:
			all = append(all, pcr11Value{o.Bank, o.Quoted, false})
		}
	}
	return all
}

func supposedPCR11(s eventlog.Supposed) []pcr11Value {
	value, ok := s.PCR(11)
	if !ok {
		value = make([]byte, s.Bank().Size())
	}
	return []pcr11Value{{s.Bank(), value, true}}
}

// sectionsAre: PCR 11 is what the sections of the unified kernel image lead to, or
// that and what systemd measured after it; without its log that is some of the phases.
// Without an image the PCR begins at its reset value.
func (j *judgement) sectionsAre(k kernel, events []eventlog.Event, pcr11 []pcr11Value) {
	judged := false
	for _, q := range pcr11 {
		want := make([]byte, q.bank.Size())
		if k.sections != nil {
			v, ok := k.sections[q.bank]
			if !ok {
				continue
			}
			want = []byte(v)
		}
		judged = true
		if string(want) == string(q.value) || !q.proven && reaches(q.bank, want, q.value) || j.otherSection(k, events) {
			continue
		}
		j.lacks(11, []string{fmt.Sprintf("%v:%x and phases of systemd", q.bank, want)}, hintKernels, "it is %v:%x, which the sections of the unified kernel image do not lead to", q.bank, q.value)
	}
	if !judged && len(pcr11) > 0 {
		bank := pcr11[0].bank
		j.lacks(11, nil, fmt.Sprintf("add pcr_11_%v to the kernel", bank), "the reference state has no value for bank %v", bank)
	}
}

// otherSection tells which sections differ, if events and reference state tell of them.
// systemd-stub measures the name of a section and then the section (systemd: docs/
// TPM2_PCR_MEASUREMENTS.md, "PCR 11, EV_IPL, PE section data").
func (j *judgement) otherSection(k kernel, events []eventlog.Event) (told bool) {
	listed := map[string]digests{}
	for _, s := range k.image {
		listed[s.name] = s.of
	}
	if len(listed) == 0 {
		return false
	}
	for i := 0; i+1 < len(events); i += 2 {
		name, ok := events[i].Data().(eventlog.SectionName)
		e := events[i+1]
		of, known := listed[name.Name]
		delete(listed, name.Name)
		switch {
		case !ok:
			return told
		case !known:
			j.fail(e, digestText(e), nil, hintKernels, "the unified kernel image has a section that the reference state does not list: %s", quote(name.Name))
			told = true
		case !of.is(e):
			j.fail(e, digestText(e), texts(e, of), hintKernels, "section %s of the unified kernel image is another one%s", quote(name.Name), holds[name.Name])
			told = true
		}
	}
	for _, s := range k.image {
		if listed[s.name] != nil {
			j.lacks(11, each([]digests{s.of}), hintKernels, "section %s of the unified kernel image was not measured%s", quote(s.name), holds[s.name])
			told = true
		}
	}
	return told
}

// holds says what is in a section (UAPI.5, "Unified Kernel Image").
var holds = map[string]string{
	".linux": ": the kernel", ".initrd": ": the initrd", ".cmdline": ": the kernel command line", ".osrel": ": the name of the system",
	".ucode": ": microcode", ".dtb": ": the device tree", ".splash": ": a picture", ".uname": ": the kernel's version", ".sbat": ": generations of components",
}
