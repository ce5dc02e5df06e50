package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// GUID is EFI_GUID (UEFI 2.10, section 2.3.1) as it is in memory: the first three
// fields little-endian.
type GUID [16]byte

// String returns the usual form, aabbccdd-eeff-…, in lower case.
func (g GUID) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(g[:]), binary.LittleEndian.Uint16(g[4:]),
		binary.LittleEndian.Uint16(g[6:]), g[8:10], g[10:])
}

// ParseGUID reads the form of String, in either case.
func ParseGUID(s string) (g GUID, err error) {
	var b []byte
	for i, part := range strings.Split(s, "-") {
		widths := []int{8, 4, 4, 4, 12}
		if i >= len(widths) || len(part) != widths[i] {
			return GUID{}, fmt.Errorf("%q is no GUID", s)
		}
		field, err := strconv.ParseUint(part, 16, 64)
		if err != nil {
			return GUID{}, fmt.Errorf("%q is no GUID", s)
		}
		var wide [8]byte
		binary.BigEndian.PutUint64(wide[:], field)
		low := wide[8-widths[i]/2:]
		if i < 3 {
			for j, k := 0, len(low)-1; j < k; j, k = j+1, k-1 {
				low[j], low[k] = low[k], low[j]
			}
		}
		b = append(b, low...)
	}
	if len(b) != len(g) {
		return GUID{}, fmt.Errorf("%q is no GUID", s)
	}
	return GUID(b), nil
}

func mustGUID(s string) GUID {
	g, err := ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g
}

// The vendors of variables that are measured.
var (
	// GlobalVariable is of SecureBoot, PK, KEK, BootOrder, Boot#### (UEFI 2.10,
	// section 3.3).
	GlobalVariable = mustGUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
	// ImageSecurityDatabase is of db, dbx, dbt, dbr (UEFI 2.10, section 32.6.1).
	ImageSecurityDatabase = mustGUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
	// ShimLock is of SbatLevel, MokListRT, MokListTrusted, Shim, vendor_db (shim:
	// lib/guid.c).
	ShimLock = mustGUID("605dab50-e046-4300-abb6-3dd810dd8b23")
)

// Variable is a UEFI variable as it was measured.
type Variable struct {
	Vendor GUID
	Name   string
	Value  []byte
}

// BootValue is the value of BootOrder or Boot####. Which of them it is no digest
// says; see Claim.Variable.
type BootValue struct{ Value []byte }

// parseVariable reads UEFI_VARIABLE_DATA (PFP 1.06, section 10.2.6), and returns
// what is behind it:
//
//	VariableName GUID | UnicodeNameLength u64 | VariableDataLength u64 |
//	UnicodeName [UnicodeNameLength]u16, without NUL | VariableData
func parseVariable(data []byte) (v Variable, behind []byte, ok bool) {
	c := cursor{b: data}
	vendor := c.bytes(uint64(len(v.Vendor)))
	letters, size := c.u64(), c.u64()
	if c.short || letters > uint64(len(data))/2 {
		return Variable{}, nil, false
	}
	name := c.bytes(2 * letters)
	v.Value = c.bytes(size)
	if c.short {
		return Variable{}, nil, false
	}
	v.Vendor = GUID(vendor)
	v.Name = string(utf16.Decode(units(name)))
	return v, c.rest(), true
}

// Signature is one entry of a signature database.
type Signature struct {
	Type  GUID // what Data is; zero: an entry alone, as EV_EFI_VARIABLE_AUTHORITY has it
	Owner GUID
	Data  []byte
}

// The types of signatures (UEFI 2.10, section 32.4.1).
var (
	CertX509   = mustGUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
	CertSHA256 = mustGUID("c1c41626-504c-4092-aca9-41f936934328")
	// CertPKCS7 is of what authenticates a variable (UEFI 2.10, section 8.2.6).
	CertPKCS7 = mustGUID("4aafd29d-68df-49ee-8aa9-347d375665a7")
)

// ErrSignatures says that a variable's value is no signature database.
var ErrSignatures = errors.New("not a signature database")

// Signatures reads the value of PK, KEK, db, dbx and their like: EFI_SIGNATURE_LIST
// … (UEFI 2.10, section 32.4.1). An empty value has none.
//
//	SignatureType GUID | SignatureListSize u32 | SignatureHeaderSize u32 | SignatureSize u32 |
//	header | signatures, each of SignatureSize: SignatureOwner GUID | SignatureData
func (v Variable) Signatures() (all []Signature, err error) {
	for list := 0; len(v.Value) > 0; list++ {
		c := cursor{b: v.Value}
		kind := c.bytes(uint64(len(GUID{})))
		size, header, each := uint64(c.u32()), uint64(c.u32()), uint64(c.u32())
		if c.short || size > uint64(len(v.Value)) || each <= uint64(len(GUID{})) || size < uint64(c.at)+header || (size-uint64(c.at)-header)%each != 0 {
			return nil, fmt.Errorf("%w: list %d: lengths %d, %d and %d in %d bytes", ErrSignatures, list, size, header, each, len(v.Value))
		}
		c.bytes(header)
		for uint64(c.at) < size {
			if len(all) == MaxSignatures {
				return nil, fmt.Errorf("%w: more than %d entries", ErrSignatures, MaxSignatures)
			}
			s := c.bytes(each)
			all = append(all, Signature{GUID(kind), GUID(s), s[len(GUID{}):]})
		}
		v.Value = v.Value[size:]
	}
	return all, nil
}

// Authority reads the value of EV_EFI_VARIABLE_AUTHORITY: the entry of a database
// that an image was accepted by, EFI_SIGNATURE_DATA (UEFI 2.10, section 32.4.1).
// An old shim measures its own certificate, variable Shim, without an owner,
// which a DER certificate's beginning tells.
func (v Variable) Authority() (Signature, bool) {
	switch {
	case isCertificate(v.Value):
		return Signature{Type: CertX509, Data: v.Value}, true
	case len(v.Value) <= len(GUID{}):
		return Signature{}, false
	}
	return Signature{Owner: GUID(v.Value), Data: v.Value[len(GUID{}):]}, true
}

// isCertificate reports whether b is one DER SEQUENCE with a length of two bytes, as
// long as b (X.690, sections 8.1.3 and 8.9).
func isCertificate(b []byte) bool {
	return len(b) > 4 && b[0] == 0x30 && b[1] == 0x82 && int(binary.BigEndian.Uint16(b[2:])) == len(b)-4
}

// SBATComponent is a line of the SBAT level: what is revoked below a generation.
type SBATComponent struct {
	Name       string
	Generation uint64
	Date       string // of the level, in its first line, "sbat"
}

// ErrSBAT says that a value is no SBAT level.
var ErrSBAT = errors.New("not an SBAT level")

// SBAT reads the value of SbatLevel (shim: SBAT.md, "SbatLevel"): lines
//
//	component,generation[,date]
//
// of ASCII, the first of which is of "sbat". A NUL may be at the end.
func (v Variable) SBAT() (all []SBATComponent, err error) {
	value := string(bytes.TrimRight(v.Value, "\x00"))
	for i, line := range strings.Split(strings.TrimSuffix(value, "\n"), "\n") {
		fields := strings.Split(line, ",")
		if len(fields) < 2 || fields[0] == "" || !isText([]byte(line)) || i == 0 && fields[0] != "sbat" {
			return nil, fmt.Errorf("%w: line %d: %q", ErrSBAT, i+1, line)
		}
		generation, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: generation %q", ErrSBAT, i+1, fields[1])
		}
		c := SBATComponent{Name: fields[0], Generation: generation}
		if len(fields) > 2 {
			c.Date = fields[2]
		}
		all = append(all, c)
	}
	return all, nil
}

// SecureBoot returns the state of Secure Boot that the variable SecureBoot of
// GlobalVariable tells (UEFI 2.10, section 3.3), or false if this is another one
// or neither.
func (v Variable) SecureBoot() (on, ok bool) {
	if v.Vendor != GlobalVariable || v.Name != "SecureBoot" || len(v.Value) > 1 {
		return false, false
	}
	if len(v.Value) == 0 { // firmware without the variable
		return false, true
	}
	return v.Value[0] == 1, v.Value[0] <= 1
}

// LoadOption is the value of Boot####.
type LoadOption struct {
	Active      bool
	Description string
	Path        string // device path in text form
}

// LoadOption reads EFI_LOAD_OPTION (UEFI 2.10, section 3.1.3):
//
//	Attributes u32 | FilePathListLength u16 | Description UTF-16 with NUL | FilePathList | OptionalData
func (b BootValue) LoadOption() (o LoadOption, ok bool) {
	c := cursor{b: b.Value}
	o.Active = c.u32()&1 == 1 // LOAD_OPTION_ACTIVE
	size := c.u16()
	var name []uint16
	for !c.short {
		u := c.u16()
		if u == 0 {
			break
		}
		name = append(name, u)
	}
	path := c.bytes(uint64(size))
	if c.short {
		return LoadOption{}, false
	}
	o.Description = string(utf16.Decode(name))
	o.Path, ok = devicePath(path)
	return o, ok
}

// BootOrder reads the numbers of BootOrder (UEFI 2.10, section 3.3).
func (b BootValue) BootOrder() ([]uint16, bool) {
	return units(b.Value[:len(b.Value)&^1]), len(b.Value)%2 == 0
}
