package eventlog

import (
	"fmt"
	"strings"
)

// Measured says in a line what the digest covers; empty: nothing that is known.
func (e Event) Measured() string {
	s := ""
	switch d := e.data.(type) {
	case Variable:
		s = d.String()
	case BootValue:
		s = d.String()
	case Separator:
		s = d.String()
	case Action:
		s = d.Text
	case GPT:
		s = d.String()
	case Version:
		s = "version " + d.String()
	case Tagged:
		s = fmt.Sprintf("tag 0x%08x, %s", d.ID, bytesText(d.Value))
	case TaggedValue:
		s = bytesText(d.Value)
	case Line:
		s = d.Text
	case SectionName:
		s = "section name " + d.Name
	case LoadOptions:
		s = "load options: " + d.Text
	case Bytes:
		s = bytesText(d.Value)
	}
	if e.quirk != "" {
		s += "; " + string(e.quirk)
	}
	return s
}

// Claimed says in a line what the log says of the event and no digest covers;
// empty: nothing beside its type.
func (e Event) Claimed() string {
	switch d := e.data.(type) {
	case nil:
		return e.Claim().String()
	case BootValue:
		v, _ := e.Claim().Variable()
		return v.Name
	case Line:
		return string(e.Claim().Role())
	case TaggedValue:
		id, _, _ := e.Claim().Tag()
		return fmt.Sprintf("tag 0x%08x", id)
	case Separator:
		if d.Value == SeparatorError {
			return e.Claim().String()
		}
	}
	return ""
}

// String says in a line what the log claims.
func (c Claim) String() string {
	data := c.record.data
	switch c.record.kind {
	case EFIBootServicesApplication, EFIBootServicesDriver, EFIRuntimeServicesDriver:
		if i, ok := c.Image(); ok {
			return imageText(i)
		}
	case EFIPlatformFirmwareBlob, EFIPlatformFirmwareBlob2, PostCode, PostCode2:
		if s, ok := blobText(data); ok {
			return s
		}
	case EFIHandoffTables, EFIHandoffTables2:
		return counted(len(data), "byte") + " about tables"
	case EventTag:
		if id, label, ok := c.Tag(); ok {
			return fmt.Sprintf("tag 0x%08x %s", id, label)
		}
	case EFIVariableDriverConfig, EFIVariableBoot, EFIVariableBoot2, EFIVariableAuthority:
		if v, ok := c.Variable(); ok {
			return v.String()
		}
	}
	return bytesText(data)
}

func imageText(i Image) string {
	path := i.Path
	if path == "" {
		path = "loaded from memory"
	}
	return fmt.Sprintf("%s, %s", path, counted(i.Length, "byte"))
}

// blobText reads UEFI_PLATFORM_FIRMWARE_BLOB, BlobBase u64 | BlobLength u64, or with
// a description before it, UEFI_PLATFORM_FIRMWARE_BLOB2 (PFP 1.06, section 10.2.5):
// size u8 | description.
func blobText(data []byte) (string, bool) {
	c := cursor{b: data}
	name := ""
	if len(data) != 16 {
		b := c.bytes(uint64(c.u8()))
		if !isText(b) {
			return "", false
		}
		name = string(b) + ", "
	}
	base, size := c.u64(), c.u64()
	return fmt.Sprintf("%s%s at 0x%x", name, counted(size, "byte"), base), c.done()
}

// String names the variable and says what its value is.
func (v Variable) String() string {
	name := v.Name
	switch v.Vendor {
	case GlobalVariable, ImageSecurityDatabase, ShimLock:
	default:
		name = v.Vendor.String() + "-" + name
	}
	return name + ": " + v.valueText()
}

func (v Variable) valueText() string {
	if len(v.Value) == 0 {
		return "empty"
	}
	if on, ok := v.SecureBoot(); ok {
		if on {
			return "on"
		}
		return "off"
	}
	if levels, err := v.SBAT(); err == nil {
		var parts []string
		for _, l := range levels {
			parts = append(parts, fmt.Sprintf("%s %d", l.Name, l.Generation))
		}
		return strings.Join(parts, ", ")
	}
	if all, err := v.Signatures(); err == nil {
		return signaturesText(all)
	}
	if s, ok := v.Authority(); ok && isCertificate(s.Data) {
		return "a certificate of " + counted(len(s.Data), "byte")
	}
	return bytesText(v.Value)
}

func signaturesText(all []Signature) string {
	certificates, digests, others := 0, 0, 0
	for _, s := range all {
		switch s.Type {
		case CertX509:
			certificates++
		case CertSHA256:
			digests++
		default:
			others++
		}
	}
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{certificates, "certificate"}, {digests, "SHA-256 digest"}, {others, "other signature"}} {
		if p.n > 0 {
			parts = append(parts, counted(p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

// String says what a boot variable has. Its name is not known, so both forms are
// tried.
func (b BootValue) String() string {
	if o, ok := b.LoadOption(); ok {
		return fmt.Sprintf("%s, %s", o.Description, o.Path)
	}
	order, ok := b.BootOrder()
	if !ok {
		return bytesText(b.Value)
	}
	var parts []string
	for _, n := range order {
		parts = append(parts, fmt.Sprintf("%04X", n))
	}
	return strings.Join(parts, ", ")
}

// String says what a separator tells.
func (s Separator) String() string {
	switch s.Value {
	case 0, 0xffffffff:
		return fmt.Sprintf("separator 0x%08x", s.Value)
	case SeparatorError:
		return "separator: an error in what was measured before"
	}
	return fmt.Sprintf("unusual separator 0x%08x", s.Value)
}

// String names the disk and its partitions.
func (g GPT) String() string {
	var names []string
	for _, p := range g.Partitions {
		name := p.Name
		if name == "" {
			name = p.GUID.String()
		}
		names = append(names, name)
	}
	return fmt.Sprintf("disk %v, %s: %s", g.Disk, counted(len(names), "partition"), strings.Join(names, ", "))
}

const shownBytes = 32 // of data that is no text

func bytesText(b []byte) string {
	switch s, ok := text(b); {
	case ok:
		return s
	case len(b) == 0:
		return "no data"
	case len(b) > shownBytes:
		return fmt.Sprintf("%x… (%s)", b[:shownBytes], counted(len(b), "byte"))
	}
	return fmt.Sprintf("%x", b)
}

func counted[N int | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprint(n, " ", what, "s")
}
