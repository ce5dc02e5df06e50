package bootpolicy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"quicklime/verifier/eventlog"
	"quicklime/wire/pcr"
)

// describe makes the reference state of one log.
func describe(l Log) (reference, error) {
	d := describer{reference: empty(), kernel: map[string]any{}, commands: []string{}, files: []digestJSON{}}
	separated := [pcr.Count]bool{}
	for _, e := range l.Events() {
		d.Systemd = d.Systemd || e.PCR() >= 11 && e.PCR() <= 13
		if s, ok := e.Data().(eventlog.Separator); ok && e.PCR() < 8 {
			if separated[e.PCR()] || s.Value != 0 && s.Value != 0xffffffff {
				return reference{}, fmt.Errorf("event %d: PCR %d has a second separator, or one of an error: no boot policy accepts that", e.Number(), e.PCR())
			}
			separated[e.PCR()] = true
			continue
		}
		known, err := d.event(e)
		if err != nil {
			return reference{}, fmt.Errorf("event %d: %w", e.Number(), err)
		}
		if !known && (pcr.Range(0, 9) | pcr.Range(12, 15)).Has(e.PCR()) {
			i := strconv.Itoa(e.PCR())
			d.Events[i] = union(d.Events[i], []digestJSON{of(e)})
		}
	}
	for _, m := range l.Measurements() {
		d.whileRunning(m)
	}
	return d.finish()
}

// describer collects the reference state of one log.
type describer struct {
	reference
	scrtm  []eventlog.Event
	blobs  []digestJSON
	tables int // of partitions, in PCR 5

	kernel   map[string]any   // the element of kernels
	images   []eventlog.Event // in PCR 4
	commands []string
	files    []digestJSON
	sections []byte // value of PCR 11
	section  string // whose name was measured last; empty: none that is not measured yet
	image    []map[string]string
	mokNext  int
}

// hexText is a digest or a key as a reference state has it.
func hexText(b []byte) string { return fmt.Sprintf("0x%x", b) }

func of(e eventlog.Event) digestJSON { return digestJSON{e.Bank().String(): hexText(e.Digest())} }

// event takes what the reference state has a member for; false: it has none.
func (d *describer) event(e eventlog.Event) (known bool, err error) {
	switch e.PCR() {
	case 0:
		switch e.Type() {
		case eventlog.SCRTMVersion:
			d.scrtm = append(d.scrtm, e)
			return true, nil
		case eventlog.EFIPlatformFirmwareBlob, eventlog.EFIPlatformFirmwareBlob2:
			d.blobs = append(d.blobs, of(e))
			return true, nil
		}
	case 1:
		return action(e) || slices.Contains(byKind, e.Type()) && e.Check() != eventlog.Contradicted, nil
	case 2:
		if e.Type() == eventlog.EFIBootServicesDriver || e.Type() == eventlog.EFIRuntimeServicesDriver {
			d.OptionROMs = union(d.OptionROMs, []digestJSON{of(e)})
			return true, nil
		}
	case 4:
		if e.Type() == eventlog.EFIBootServicesApplication {
			d.images = append(d.images, e)
			return true, nil
		}
		return action(e), nil
	case 5:
		if _, ok := e.Data().(eventlog.GPT); ok {
			d.tables++
			return d.tables == 1, nil
		}
		return action(e), nil
	case 7:
		return d.variable(e)
	case 8, 12:
		return d.line(e), nil
	case 9:
		d.file(e)
		return true, nil
	case 11:
		d.partOfImage(e)
		return true, nil
	case 14:
		return d.mokList(e), nil
	}
	return false, nil
}

// whileRunning takes what systemd measured. PCRs 0 to 9 and 14 are not its.
func (d *describer) whileRunning(m eventlog.Measurement) {
	text, covered := m.Text()
	if m.PCR() < 11 || m.PCR() == 14 || m.PCR() > 15 || m.PCR() == 11 && covered && slices.Contains(phases, text) {
		return
	}
	var rule any = digestJSON{m.Bank().String(): hexText(m.Digest())}
	if covered {
		rule = regexp.QuoteMeta(text)
	}
	i := strconv.Itoa(m.PCR())
	d.Runtime[i] = union(d.Runtime[i], []any{rule})
}

// finish puts together what was found.
func (d *describer) finish() (reference, error) {
	switch {
	case len(d.scrtm) == 1:
		d.Firmware = append(d.Firmware, firmwareJSON{of(d.scrtm[0]), append([]digestJSON{}, d.blobs...)})
	case len(d.scrtm) > 1 || len(d.blobs) > 0:
		return reference{}, fmt.Errorf("PCR 0 has %d versions of the firmware and %d parts: a reference state is of one version", len(d.scrtm), len(d.blobs))
	}
	if err := d.nameImages(); err != nil {
		return reference{}, err
	}
	d.kernel["grub_commands"] = union(d.commands, nil)
	d.kernel["boot_files"] = d.files
	d.Kernels = []map[string]any{d.kernel}
	return d.reference, nil
}
