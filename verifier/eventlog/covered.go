package eventlog

import (
	"bytes"
	"encoding/binary"
	"hash"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// measured is an event's digest, which parts can be compared with.
type measured struct {
	h      hash.Hash
	digest []byte
	sum    [MaxDigest]byte
}

// is reports whether the digest is that of b.
func (m *measured) is(b []byte) bool {
	m.h.Reset()
	m.h.Write(b)
	return bytes.Equal(m.h.Sum(m.sum[:0]), m.digest)
}

// interpret fills in what the digest covers. m is of the event's bank.
func (e *Event) interpret(m *measured) {
	m.digest = e.digest
	e.data, e.quirk = covered(e.record.kind, e.record.data, m)
	switch {
	case e.data != nil:
		e.check = Checked
	case mustCover(e.record):
		e.check = Contradicted
	default:
		e.check = DigestOnly
	}
}

// mustCover reports whether by its type the digest of an event is one of its data.
func mustCover(r *record) bool {
	switch r.kind {
	case EFIVariableDriverConfig, EFIVariableBoot, EFIVariableBoot2, EFIVariableAuthority, EFISPDMDevicePolicy, EFISPDMDeviceAuthority,
		SeparatorEvent, ActionEvent, EFIAction, OmitBootDevices, EFIHCRTMEvent, EFIGPTEvent, EFIGPTEvent2, SCRTMVersion:
		return true
	case IPL:
		role, _, _ := cutRole(r.data)
		return role != NoRole
	}
	return false
}

// covered finds the form of data that m is the digest of, or nil.
func covered(kind Type, data []byte, m *measured) (Data, Quirk) {
	switch kind {
	case EFIVariableDriverConfig, EFIVariableAuthority, EFIVariableBoot2, EFISPDMDevicePolicy, EFISPDMDeviceAuthority:
		return coveredVariable(data, m)
	case EFIVariableBoot:
		return coveredBootVariable(data, m)
	case SeparatorEvent:
		return coveredSeparator(data, m), ""
	case IPL:
		return coveredIPL(data, m), ""
	case EventTag:
		return coveredTagged(data, m), ""
	case EFIHCRTMEvent:
		// The digest is that of "HCRTM", whatever the data (PFP 1.06, section
		// 10.4.1; 3.3.2.3).
		if m.is([]byte("HCRTM")) {
			return Action{"HCRTM"}, ""
		}
		return nil, ""
	}
	if !m.is(data) {
		return nil, ""
	}
	switch kind {
	case ActionEvent, EFIAction, OmitBootDevices:
		if isText(data) {
			return Action{string(data)}, ""
		}
	case SCRTMVersion:
		return Version{data}, ""
	case EFIGPTEvent, EFIGPTEvent2:
		if g, ok := parseGPT(data); ok {
			return g, ""
		}
	}
	// EV_POST_CODE, EV_COMPACT_HASH, EV_CPU_MICROCODE, EV_NONHOST_INFO and other
	// types whose digest is of the data on some machines and of something else on
	// others (PFP 1.06, section 10.4.1): what the digest says, holds.
	return Bytes{data}, ""
}

// coveredVariable: the digest is of all of UEFI_VARIABLE_DATA (PFP 1.06, section
// 10.4.1).
func coveredVariable(data []byte, m *measured) (Data, Quirk) {
	whole := m.is(data)
	if !whole && (len(data) == 0 || !m.is(data[:len(data)-1])) {
		return nil, ""
	}
	v, behind, ok := parseVariable(data)
	switch {
	case whole && !ok:
		return Bytes{data}, ""
	case whole && len(behind) == 0:
		return v, ""
	case whole:
		return v, QuirkBehind
	case ok && len(behind) > 0:
		return v, QuirkTrailingByte
	}
	return nil, ""
}

// coveredBootVariable: the digest is of VariableData alone (PFP 1.06, section
// 10.4.1, EV_EFI_VARIABLE_BOOT). Some firmware measures all of the structure.
func coveredBootVariable(data []byte, m *measured) (Data, Quirk) {
	v, behind, ok := parseVariable(data)
	switch {
	case ok && len(behind) == 0 && m.is(v.Value):
		return BootValue{v.Value}, ""
	case ok && len(behind) == 0 && m.is(data):
		return v, ""
	case m.is(data):
		return Bytes{data}, ""
	}
	return nil, ""
}

// coveredSeparator: the digest is of the data, and after an error of 1, while the
// data then tells of the error (PFP 1.06, section 3.3.2.2).
func coveredSeparator(data []byte, m *measured) Data {
	failed := binary.LittleEndian.AppendUint32(nil, SeparatorError)
	switch {
	case m.is(failed):
		return Separator{SeparatorError}
	case !m.is(data):
		return nil
	case len(data) == 4:
		return Separator{binary.LittleEndian.Uint32(data)}
	}
	return Bytes{data} // "WBCL" of Windows
}

// coveredIPL: EV_IPL is each boot loader's own.
func coveredIPL(data []byte, m *measured) Data {
	if role, line, ok := cutRole(data); ok && role != NoRole && m.is(line) {
		return Line{string(line)}
	}
	if s, ok := utf16Text(data); ok {
		if m.is(append([]byte(s), 0)) {
			return SectionName{s}
		}
		bare := data
		if n := len(data); n >= 2 && data[n-2] == 0 && data[n-1] == 0 {
			bare = data[:n-2]
		}
		if m.is(data) || m.is(bare) {
			return LoadOptions{s}
		}
	}
	if m.is(data) {
		return Bytes{data}
	}
	return nil
}

// coveredTagged: the digest is of the structure, or of what it tags.
func coveredTagged(data []byte, m *measured) Data {
	t, ok := parseTagged(data)
	switch {
	case ok && m.is(data):
		return t
	case ok && m.is(t.Value):
		return TaggedValue{t.Value}
	case m.is(data):
		return Bytes{data}
	}
	return nil
}

// parseTagged reads TCG_PCClientTaggedEvent (PFP 1.06, section 10.4.2.1):
//
//	taggedEventID u32 | taggedEventDataSize u32 | taggedEventData
func parseTagged(data []byte) (Tagged, bool) {
	c := cursor{b: data}
	t := Tagged{ID: c.u32()}
	t.Value = c.bytes(uint64(c.u32()))
	return t, c.done()
}

// cutRole takes the role from the front of what GRUB logged, and the NUL from its
// end. It is false without the NUL.
func cutRole(data []byte) (role Role, line []byte, ok bool) {
	line, ok = bytes.CutSuffix(data, []byte{0})
	if !ok || bytes.IndexByte(line, 0) >= 0 {
		return NoRole, data, false
	}
	for _, role := range []Role{Command, KernelCommandLine, ModuleCommandLine} {
		if rest, found := bytes.CutPrefix(line, []byte(role+": ")); found {
			return role, rest, true
		}
	}
	return NoRole, line, true
}

// text reads ASCII or UTF-16, with or without a NUL at the end.
func text(data []byte) (string, bool) {
	if s := bytes.TrimSuffix(data, []byte{0}); isText(s) {
		return string(s), true
	}
	return utf16Text(data)
}

// isText reports whether b is printable and not empty. GRUB logs lines as they
// were typed, line feeds and UTF-8 included.
func isText(b []byte) bool {
	if len(b) == 0 || !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' {
			return false
		}
	}
	return true
}

// utf16Text reads little-endian UTF-16, with or without a NUL at the end.
func utf16Text(b []byte) (string, bool) {
	if len(b)%2 == 1 {
		return "", false
	}
	u := units(b)
	if n := len(u); n > 0 && u[n-1] == 0 {
		u = u[:n-1]
	}
	s := string(utf16.Decode(u))
	return s, isText([]byte(s)) && !strings.ContainsRune(s, utf8.RuneError)
}

// units are the 16 bit units of b, whose length is even.
func units(b []byte) []uint16 {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return u
}
