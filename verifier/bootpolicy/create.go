package bootpolicy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"quicklime/verifier/eventlog"
	"quicklime/wire/pcr"
)

// Log is a log that events can be read from: eventlog.Replayed, or eventlog.Supposed
// if there is no quote.
type Log interface {
	Events() []eventlog.Event
	Measurements() []eventlog.Measurement
}

// reference is the text of a reference state.
type reference struct {
	SecureBoot bool                    `json:"has_secureboot"`
	Firmware   []firmwareJSON          `json:"scrtm_and_bios"`
	PK         []keyJSON               `json:"pk"`
	KEK        []keyJSON               `json:"kek"`
	DB         []keyJSON               `json:"db"`
	DBX        []keyJSON               `json:"dbx"`
	VendorDB   []keyJSON               `json:"vendor_db,omitempty"`
	Mok        []digestJSON            `json:"mokdig"`
	MokX       []digestJSON            `json:"mokxdig"`
	Lists      []RevocationList        `json:"revocation_lists,omitempty"`
	SBAT       generations             `json:"sbat,omitempty"`
	Kernels    []map[string]any        `json:"kernels"`
	OptionROMs []digestJSON            `json:"option_roms"`
	Systemd    bool                    `json:"systemd,omitempty"`
	Events     map[string][]digestJSON `json:"events,omitempty"`
	Runtime    map[string][]any        `json:"runtime,omitempty"` // of string or digestJSON
}

type firmwareJSON struct {
	SCRTM digestJSON   `json:"scrtm"`
	Blobs []digestJSON `json:"platform_firmware"`
}

type keyJSON struct {
	Owner string `json:"SignatureOwner"`
	Data  string `json:"SignatureData"`
}

type digestJSON map[string]string

// Create returns the text of a reference state under which each of the logs is
// accepted, the alternatives merged: what must be in dbx and SbatLevel is what all of
// them have.
// They must agree on Secure Boot.
func Create(logs ...Log) ([]byte, error) { return CreateWith(nil, logs...) }

// CreateWith does what Create does, and has dbx need the revocation lists, which the
// dbx of the logs need not have.
func CreateWith(lists []RevocationList, logs ...Log) ([]byte, error) {
	if len(logs) == 0 {
		return nil, errors.New("there is no log to make a reference state from")
	}
	var all reference
	for i, l := range logs {
		one, err := describe(l)
		switch {
		case err != nil:
			return nil, fmt.Errorf("log %d: %w", i+1, err)
		case i == 0:
			all = one
			continue
		case one.SecureBoot != all.SecureBoot:
			return nil, fmt.Errorf("log %d: Secure Boot is %s, in the first log it is %s: make a reference state for each", i+1, onOff(one.SecureBoot), onOff(all.SecureBoot))
		}
		all.merge(one)
	}
	all.Lists = lists
	b, err := json.MarshalIndent(all, "", "  ")
	return append(b, '\n'), err
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// merge adds the alternatives of another reference state.
func (r *reference) merge(o reference) {
	r.Firmware = union(r.Firmware, o.Firmware)
	r.PK, r.KEK, r.DB, r.VendorDB = union(r.PK, o.PK), union(r.KEK, o.KEK), union(r.DB, o.DB), union(r.VendorDB, o.VendorDB)
	r.DBX = slices.DeleteFunc(r.DBX, func(k keyJSON) bool { return !slices.Contains(o.DBX, k) })
	r.SBAT = r.SBAT.least(o.SBAT)
	r.Mok, r.MokX, r.OptionROMs = union(r.Mok, o.Mok), union(r.MokX, o.MokX), union(r.OptionROMs, o.OptionROMs)
	r.Kernels = union(r.Kernels, o.Kernels)
	r.Systemd = r.Systemd || o.Systemd
	for _, i := range slices.Sorted(maps.Keys(o.Events)) {
		r.Events[i] = union(r.Events[i], o.Events[i])
	}
	for _, i := range slices.Sorted(maps.Keys(o.Runtime)) {
		r.Runtime[i] = union(r.Runtime[i], o.Runtime[i])
	}
}

// union is a and what of b is not in it. Equal is what has the same text.
func union[T any](a, b []T) []T {
	seen := map[string]bool{}
	all := []T{}
	for _, v := range slices.Concat(a, b) {
		text, err := json.Marshal(v)
		if err != nil || seen[string(text)] {
			continue
		}
		seen[string(text)] = true
		all = append(all, v)
	}
	return all
}

func of(e eventlog.Event) digestJSON {
	return digestJSON{e.Bank().String(): fmt.Sprintf("0x%x", e.Digest())}
}

// describer makes the reference state of one log.
type describer struct {
	reference
	kernel   map[string]any
	images   []eventlog.Event // in PCR 4
	scrtm    []eventlog.Event
	blobs    []digestJSON
	commands []string
	files    []digestJSON
	sections []byte // value of PCR 11
	section  string // whose name was measured last; empty: none that is not measured yet
	image    []map[string]string
	mokNext  int
}

func describe(l Log) (reference, error) {
	d := describer{kernel: map[string]any{}, commands: []string{}, files: []digestJSON{}}
	d.Firmware, d.PK, d.KEK, d.DB, d.DBX = []firmwareJSON{}, []keyJSON{}, []keyJSON{}, []keyJSON{}, []keyJSON{}
	d.Mok, d.MokX, d.OptionROMs, d.Events = []digestJSON{}, []digestJSON{}, []digestJSON{}, map[string][]digestJSON{}
	d.Runtime = map[string][]any{}
	tables, separated := 0, [pcr.Count]bool{}
	for _, e := range l.Events() {
		d.Systemd = d.Systemd || e.PCR() >= 11 && e.PCR() <= 13
		if s, ok := e.Data().(eventlog.Separator); ok && e.PCR() < 8 {
			if separated[e.PCR()] || s.Value != 0 && s.Value != 0xffffffff {
				return reference{}, fmt.Errorf("event %d: PCR %d has a second separator, or one of an error: no boot policy accepts that", e.Number(), e.PCR())
			}
			separated[e.PCR()] = true
			continue
		}
		known, err := d.event(e, &tables)
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

// whileRunning takes what systemd measured. PCRs 0 to 9 and 14 are not its.
func (d *describer) whileRunning(m eventlog.Measurement) {
	text, covered := m.Text()
	if m.PCR() < 11 || m.PCR() == 14 || m.PCR() > 15 || m.PCR() == 11 && covered && slices.Contains(phases, text) {
		return
	}
	var rule any = digestJSON{m.Bank().String(): fmt.Sprintf("0x%x", m.Digest())}
	if covered {
		rule = regexp.QuoteMeta(text)
	}
	i := strconv.Itoa(m.PCR())
	d.Runtime[i] = union(d.Runtime[i], []any{rule})
}

// event takes what the reference state has a member for; false: it has none.
func (d *describer) event(e eventlog.Event, tables *int) (known bool, err error) {
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
			*tables++
			return *tables == 1, nil
		}
		return action(e), nil
	case 7:
		return d.variable(e)
	case 8, 12:
		return d.line(e), nil
	case 9:
		return d.file(e), nil
	case 11:
		if d.sections == nil {
			d.sections = make([]byte, e.Bank().Size())
		}
		d.sections = e.Bank().Extend(d.sections, e.Digest())
		d.kernel["pcr_11_"+e.Bank().String()] = fmt.Sprintf("0x%x", d.sections)
		d.partOfImage(e)
		return true, nil
	case 14:
		return d.mokList(e), nil
	}
	return false, nil
}

// partOfImage takes the name of a section, or the section behind it.
func (d *describer) partOfImage(e eventlog.Event) {
	if name, ok := e.Data().(eventlog.SectionName); ok {
		d.section = name.Name
		return
	}
	if d.section != "" {
		d.image = append(d.image, map[string]string{"name": d.section, e.Bank().String(): fmt.Sprintf("0x%x", e.Digest())})
		d.kernel["uki_sections"] = d.image
	}
	d.section = ""
}

func (d *describer) variable(e eventlog.Event) (known bool, err error) {
	v, ok := e.Data().(eventlog.Variable)
	if !ok {
		return false, nil
	}
	if e.Type() == eventlog.EFIVariableAuthority {
		s, one := v.Authority()
		switch {
		case v.Vendor == eventlog.ShimLock && v.Name == "vendor_db":
			if one {
				d.VendorDB = union(d.VendorDB, []keyJSON{keyOf(s)})
			}
			return true, nil
		case isLevel(e):
			d.level(v)
			return true, nil
		case v.Vendor == eventlog.ShimLock:
			return slices.Contains(byShim, v.Name), nil
		}
		return v.Vendor == eventlog.ImageSecurityDatabase && v.Name == "db", nil // in the variable db
	}
	if on, ok := v.SecureBoot(); ok {
		d.SecureBoot = on
		return true, nil
	}
	lists := map[string]*[]keyJSON{"PK": &d.PK, "KEK": &d.KEK, "db": &d.DB, "dbx": &d.DBX}
	list := lists[v.Name]
	if e.Type() != eventlog.EFIVariableDriverConfig || list == nil || v.Vendor != eventlog.GlobalVariable && v.Vendor != eventlog.ImageSecurityDatabase {
		return false, nil
	}
	all, err := v.Signatures()
	if err != nil {
		return false, fmt.Errorf("%s: %w", v.Name, err)
	}
	for _, s := range all {
		*list = append(*list, keyOf(s))
	}
	return true, nil
}

// level takes what shim revokes.
func (d *describer) level(v eventlog.Variable) {
	all, err := v.SBAT()
	if err != nil {
		return // nothing can be asked for
	}
	d.SBAT = generations{}
	for _, c := range all {
		if c.Generation > 0 {
			d.SBAT[c.Name] = c.Generation
		}
	}
}

func keyOf(s eventlog.Signature) keyJSON {
	return keyJSON{s.Owner.String(), fmt.Sprintf("0x%x", s.Data)}
}

func (d *describer) line(e eventlog.Event) bool {
	text := ""
	switch l := e.Data().(type) {
	case eventlog.Line:
		if text = l.Text; !isPath(text) {
			d.commands = append(d.commands, regexp.QuoteMeta(text))
			return true
		}
	case eventlog.LoadOptions:
		text = l.Text
	default:
		return false
	}
	x := regexp.QuoteMeta(text)
	if before, ok := d.kernel["kernel_cmdline"].(string); ok && before != x {
		x = before + "|" + x
	}
	d.kernel["kernel_cmdline"] = x
	return true
}

// file takes what was loaded by the name that it has. What is taken for an initrd
// by mistake is a digest that may be there, and no less.
func (d *describer) file(e eventlog.Event) bool {
	name, ok := e.Claim().Label()
	if e.Type() == eventlog.EventTag {
		_, name, ok = e.Claim().Tag()
	}
	member := ""
	switch {
	case !ok:
	case strings.Contains(name, "initrd"), strings.Contains(name, "initramfs"):
		member = "initrd_plain_"
	case strings.Contains(name, "vmlinuz"):
		member = "vmlinuz_plain_"
	case strings.HasSuffix(name, "LoadOptions"):
		member = "load_options_"
	}
	member += e.Bank().String()
	value := fmt.Sprintf("0x%x", e.Digest())
	if _, there := d.kernel[member]; !there && member != e.Bank().String() {
		d.kernel[member] = value
	} else if d.kernel[member] != value {
		d.files = union(d.files, []digestJSON{of(e)})
	}
	return true
}

func (d *describer) mokList(e eventlog.Event) bool {
	label, _ := e.Claim().Label()
	i := slices.Index(mokOrder, label)
	if i < d.mokNext || e.Type() != eventlog.IPL {
		return false
	}
	d.mokNext = i + 1
	switch label {
	case "MokList":
		d.Mok = append(d.Mok, of(e))
	case "MokListX":
		d.MokX = append(d.MokX, of(e))
	}
	return true
}

// finish puts together what was found.
func (d *describer) finish() (reference, error) {
	switch {
	case len(d.scrtm) == 1:
		blobs := append([]digestJSON{}, d.blobs...)
		d.Firmware = append(d.Firmware, firmwareJSON{of(d.scrtm[0]), blobs})
	case len(d.scrtm) > 1 || len(d.blobs) > 0:
		return reference{}, fmt.Errorf("PCR 0 has %d versions of the firmware and %d parts: a reference state is of one version", len(d.scrtm), len(d.blobs))
	}
	images := d.images
	if n := len(images); n > 1 && string(images[n-1].Digest()) == string(images[n-2].Digest()) {
		images = images[:n-1] // the kernel, by shim and by GRUB
	}
	names := []string{"shim_authcode_", "grub_authcode_", "kernel_authcode_"}
	if len(images) > len(names) {
		return reference{}, fmt.Errorf("PCR 4 has %d images, and a reference state is of at most shim, boot loader and kernel", len(images))
	}
	if len(d.commands) > 0 && !d.SecureBoot { // GRUB starts the kernel itself
		names = names[:2]
	}
	names = names[max(len(names)-len(images), 0):]
	if len(images) > len(names) {
		names = []string{"shim_authcode_", "grub_authcode_", "kernel_authcode_"}
	}
	for i, e := range images {
		d.kernel[names[i]+e.Bank().String()] = fmt.Sprintf("0x%x", e.Digest())
	}
	d.kernel["grub_commands"] = union(d.commands, nil)
	d.kernel["boot_files"] = d.files
	d.Kernels = []map[string]any{d.kernel}
	return d.reference, nil
}
