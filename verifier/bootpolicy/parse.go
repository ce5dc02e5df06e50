package bootpolicy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"quicklime/verifier/eventlog"
	"quicklime/verifier/policy"
	"quicklime/verifier/policy/expression"
	"quicklime/wire/pcr"
)

// Parse reads and compiles a reference state. The error is a *policy.Error with
// every problem found. Parse keeps nothing of b.
func Parse(b []byte) (*Policy, error) {
	digest := sha256.Sum256(b)
	p := parser{
		text:   text{b: b, err: &policy.Error{}},
		Policy: Policy{digest: hex.EncodeToString(digest[:]), secureBoot: true, events: map[int][]digests{}, runtime: map[int]runtime{}},
		there:  map[string]bool{},

		expressions: map[string]*regexp.Regexp{},
	}
	if root := p.document(); root != nil {
		p.reference(root)
	}
	if len(p.err.Problems) > 0 {
		return nil, p.err
	}
	p.warn()
	done := p.Policy
	return &done, nil
}

type parser struct {
	text
	Policy
	there map[string]bool // members of the outermost object

	expressions map[string]*regexp.Regexp // by what was written: kernels share most of theirs
	program     int                       // size of the expressions, see MaxProgram
}

// required are the members that Keylime insists on: without one, what it would
// judge is not judged.
var required = []string{"scrtm_and_bios", "pk", "kek", "db", "dbx", "mokdig", "mokxdig", "kernels"}

func (p *parser) reference(root *value) {
	p.object(root, func(name string, v *value) {
		p.there[name] = true
		p.member(name, v)
	})
	if root.Kind() != "an object" {
		return
	}
	if len(root.Members) == 0 {
		p.problem(root, "it says nothing, so that no boot could be judged by it: make one with \"quicklime-tenant boot-policy create\"")
		return
	}
	for _, name := range required {
		if !p.there[name] {
			p.problem(root.Lacking(name), "missing: write %q: [] if there is none", name)
		}
	}
	if len(p.kernels) == 0 && p.there["kernels"] && len(p.err.Problems) == 0 {
		p.problem(root.Lacking("kernels"), "empty, so that every boot would fail: write one {…} for each kernel that may be booted")
	}
}

func (p *parser) member(name string, v *value) {
	switch name {
	case "has_secureboot":
		p.secureBoot = p.boolean(v)
	case "scrtm_and_bios":
		p.array(v, MaxAlternatives, func(e *value) { p.firmware = append(p.firmware, p.firmwareOf(e)) })
	case "pk":
		p.pk = p.keysOf(v)
	case "kek":
		p.kek = p.keysOf(v)
	case "db":
		p.db = p.keysOf(v)
	case "dbx":
		p.dbx = p.keysOf(v)
	case "vendor_db":
		p.vendor = p.keysOf(v)
	case "mokdig":
		p.mok = p.digestList(v)
	case "mokxdig":
		p.mokX = p.digestList(v)
	case "kernels":
		p.array(v, MaxAlternatives, func(e *value) { p.kernels = append(p.kernels, p.kernelOf(e)) })
	case "revocations":
		p.array(v, MaxValues, func(e *value) {
			if b, ok := p.hex(e, sha256.Size); ok {
				p.revocations = append(p.revocations, b)
			}
		})
	case "revocation_lists":
		p.array(v, MaxAlternatives, func(e *value) { p.revocationLists = append(p.revocationLists, p.revocationsOf(e)) })
	case "sbat":
		p.sbat = p.generationsOf(v)
	case "option_roms":
		p.optionROMs, p.pinROMs = p.digestList(v), true
	case "events":
		p.object(v, p.allowed)
	case "systemd":
		p.judgesSections = p.boolean(v) || p.judgesSections
	case "runtime":
		p.object(v, p.runtimeOf)
	default:
		p.unknownMember(v)
	}
}

// unknownMember notes a member that is no part of the format.
func (p *parser) unknownMember(v *value) {
	if len(p.unknown) < MaxReported {
		p.unknown = append(p.unknown, v.Place())
	}
}

// allowed reads the digests that a PCR may have beside what is judged.
func (p *parser) allowed(name string, v *value) {
	if i, ok := p.index(name, v); ok {
		p.judgesSections = p.judgesSections || i >= 11 && i <= 13
		p.events[i] = p.digestList(v)
	}
}

// index reads the name of a member that is a PCR which can be judged.
func (p *parser) index(name string, v *value) (int, bool) {
	i, err := strconv.Atoi(name)
	if err != nil || strconv.Itoa(i) != name || !(pcr.Range(0, 9) | pcr.Range(11, 15)).Has(i) {
		p.problem(v, "want a PCR that can be judged as the name: 0 to 9 or 11 to 15")
		return 0, false
	}
	return i, true
}

func (p *parser) boolean(v *value) bool {
	on, ok := v.Token.(bool)
	if !ok {
		p.problem(v, "%s, want true or false", v.Kind())
	}
	return on
}

func (p *parser) firmwareOf(v *value) (f firmware) {
	p.object(v, func(name string, m *value) {
		switch name {
		case "scrtm":
			f.scrtm = p.digestsOf(m)
		case "platform_firmware":
			f.blobs = p.digestList(m)
		default:
			p.unknownMember(m)
		}
	})
	if f.scrtm == nil && v.Kind() == "an object" && !v.Has("scrtm") {
		p.problem(v, "scrtm is missing: write the digest of EV_S_CRTM_VERSION, {\"scrtm\": {\"sha256\": \"0x…\"}, \"platform_firmware\": […]}")
	}
	if v.Kind() == "an object" && !v.Has("platform_firmware") {
		p.problem(v, "platform_firmware is missing: write the digests of the firmware's parts in their order, or [] if it logs none")
	}
	return f
}

func (p *parser) guid(v *value) eventlog.GUID {
	s, ok := p.str(v)
	if !ok {
		return eventlog.GUID{}
	}
	g, err := eventlog.ParseGUID(s)
	if err != nil {
		p.problem(v, "%s is no GUID: write it as 77fa9abd-0359-4d32-bd60-28f4e78f784b", quote(s))
	}
	return g
}

// hex reads hexadecimal digits, with or without 0x; size is how many bytes they
// are, 0: one or more.
func (p *parser) hex(v *value, size int) ([]byte, bool) {
	s, ok := p.str(v)
	if !ok {
		return nil, false
	}
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	switch {
	case err != nil || len(b) == 0:
		p.problem(v, "%s, want 0x and hexadecimal digits, two for each byte", quote(s))
	case size > 0 && len(b) != size:
		p.problem(v, "%d bytes in hexadecimal, want %d", len(b), size)
	default:
		return b, true
	}
	return nil, false
}

func (p *parser) kernelOf(v *value) kernel {
	k := kernel{place: v.Place()}
	p.object(v, func(name string, m *value) {
		switch name {
		case "kernel_cmdline":
			k.expression, _ = m.Token.(string)
			k.commandLine = p.compile(m)
		case "grub_commands":
			k.pinCommands = true
			p.array(m, MaxExpressions, func(e *value) {
				if x := p.compile(e); x != nil {
					k.commands = append(k.commands, x)
				}
			})
		case "boot_files":
			k.files, k.pinFiles = p.digestList(m), true
		case "uki_sections":
			p.array(m, MaxAlternatives, func(e *value) { k.image = append(k.image, p.sectionOf(e)) })
		default:
			p.kernelDigest(&k, name, m)
		}
	})
	p.judgesSections = p.judgesSections || k.sections != nil
	return k
}

// kernelDigest reads a member such as shim_authcode_sha256.
func (p *parser) kernelDigest(k *kernel, name string, m *value) {
	at := strings.LastIndexByte(name, '_')
	bank, err := pcr.ParseBank(name[at+1:])
	if at < 0 || err != nil {
		p.unknownMember(m)
		return
	}
	var d *digests
	switch name[:at] {
	case "shim_authcode":
		d = &k.shim
	case "grub_authcode":
		d = &k.grub
	case "kernel_authcode":
		d = &k.kernel
	case "vmlinuz_plain":
		d = &k.vmlinuz
	case "initrd_plain":
		d = &k.initrd
	case "load_options":
		d = &k.options
	case "pcr_11":
		d = &k.sections
	default:
		p.unknownMember(m)
		return
	}
	if b, ok := p.hex(m, bank.Size()); ok {
		if *d == nil {
			*d = digests{}
		}
		(*d)[bank] = string(b)
	}
}

// compile reads an expression, which matches the whole text.
func (p *parser) compile(v *value) *regexp.Regexp {
	s, ok := p.str(v)
	if !ok {
		return nil
	}
	if len(s) > MaxExpression {
		p.problem(v, "an expression of %d bytes, the limit is %d: make it shorter", len(s), MaxExpression)
		return nil
	}
	if x := p.expressions[s]; x != nil {
		return x
	}
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		p.problem(v, "%v: expressions are RE2, without backreferences and lookaround; a literal text needs a backslash before each of \\.+*?()|[]{}^$", err)
		return nil
	}
	if p.program > MaxProgram {
		return nil // as was said before
	}
	if p.program += expression.Size(tree); p.program > MaxProgram {
		p.problem(v, "the expressions up to this one compile to more than %d instructions: use smaller repetitions and classes, or "+groups, MaxProgram)
		return nil
	}
	x, err := expression.Whole(tree)
	if err != nil {
		p.problem(v, "%v", err)
		return nil
	}
	p.expressions[s] = x
	return x
}

// warn says what the reference state leaves open.
func (p *parser) warn() {
	for _, k := range p.kernels {
		if !k.pinFiles {
			p.warnings = append(p.warnings, fmt.Sprintf("%s has no boot_files: files of the boot loader in PCR 9 are told from others by their names, which no digest covers", k.place))
		}
		if !k.pinCommands {
			p.warnings = append(p.warnings, fmt.Sprintf("%s has no grub_commands: any command of the boot loader is accepted", k.place))
		}
		if k.commandLine == nil && k.options == nil {
			p.warnings = append(p.warnings, fmt.Sprintf("%s has neither kernel_cmdline nor load_options: any kernel command line that is logged by itself fails, and one that is not is not judged", k.place))
		}
	}
	if !p.pinROMs {
		p.warnings = append(p.warnings, "there are no option_roms: any driver that the firmware loads from a device is accepted")
	}
	if len(p.warnings) > MaxReported {
		p.warnings = p.warnings[:MaxReported]
	}
}
