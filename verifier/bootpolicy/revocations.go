package bootpolicy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"quicklime/verifier/eventlog"
)

// RevocationList is a revocation list that dbx must have, as a reference state has it.
type RevocationList struct {
	Name       string           `json:"name"`
	AtLeast    int              `json:"at_least,omitempty"` // entries that must be there; 0: all
	SHA256     []string         `json:"sha256,omitempty"`   // digests of images, in hexadecimal
	Signatures []revocationJSON `json:"signatures,omitempty"`
}

// revocationJSON is an entry of another type.
type revocationJSON struct {
	Type string `json:"SignatureType"`
	Data string `json:"SignatureData"`
}

// Len is the number of entries.
func (l RevocationList) Len() int { return len(l.SHA256) + len(l.Signatures) }

// ErrRevocationList says that a file is no revocation list.
var ErrRevocationList = errors.New("not a revocation list")

// ParseRevocationList reads the revocation list of a file, such as DBXUpdate.bin, of at
// most MaxRevocationList bytes. It is what a variable dbx is set to, a signature database
// with or without what authenticates it, and with or without the variable's attributes
// before, as efivarfs has them:
//
//	[attributes u32] | [EFI_VARIABLE_AUTHENTICATION_2] | EFI_SIGNATURE_LIST …
//
// The authentication is (UEFI 2.10, sections 8.2.2 and 8.2.6)
//
//	EFI_TIME [16]byte | dwLength u32, of what follows and itself | wRevision u16, 0x0200 |
//	wCertificateType u16, 0x0EF1 | EFI_CERT_TYPE_PKCS7_GUID | PKCS #7 SignedData
//
// Its signature is not verified: firmware does so before it takes the list. Whoever
// names the file trusts it.
func ParseRevocationList(name string, b []byte) (RevocationList, error) {
	if len(b) > MaxRevocationList {
		return RevocationList{}, fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrRevocationList, len(b), MaxRevocationList)
	}
	lists, err := unauthenticated(withoutAttributes(b))
	if err != nil {
		return RevocationList{}, err
	}
	all, err := eventlog.Variable{Value: lists}.Signatures()
	if err != nil {
		return RevocationList{}, fmt.Errorf("%w: %w", ErrRevocationList, err)
	}
	if len(all) == 0 {
		return RevocationList{}, fmt.Errorf("%w: it has no entry", ErrRevocationList)
	}
	l := RevocationList{Name: name}
	seen := map[revocation]bool{}
	for _, s := range all {
		r := revocation{s.Type, string(s.Data)}
		switch {
		case seen[r]:
		case s.Type == eventlog.CertSHA256 && len(s.Data) != sha256.Size:
			return RevocationList{}, fmt.Errorf("%w: a SHA-256 digest of %d bytes", ErrRevocationList, len(s.Data))
		case s.Type == eventlog.CertSHA256:
			l.SHA256 = append(l.SHA256, hex.EncodeToString(s.Data))
		default:
			l.Signatures = append(l.Signatures, revocationJSON{s.Type.String(), fmt.Sprintf("0x%x", s.Data)})
		}
		seen[r] = true
	}
	return l, nil
}

// withoutAttributes takes the attributes from the front: those of a variable that is
// authenticated by time, to be set or to be appended to (UEFI 2.10, section 8.2.1). No
// type of signature and no time begins so.
func withoutAttributes(b []byte) []byte {
	if len(b) >= 4 {
		if a := binary.LittleEndian.Uint32(b); a == 0x27 || a == 0x67 {
			return b[4:]
		}
	}
	return b
}

// unauthenticated takes the authentication from the front, if there is one.
func unauthenticated(b []byte) ([]byte, error) {
	const (
		timeSize   = 16
		headerSize = timeSize + 8 + len(eventlog.GUID{})
	)
	if len(b) < headerSize || !bytes.Equal(b[timeSize+4:timeSize+8], []byte{0x00, 0x02, 0xf1, 0x0e}) || eventlog.GUID(b[timeSize+8:]) != eventlog.CertPKCS7 {
		return b, nil
	}
	n := uint64(binary.LittleEndian.Uint32(b[timeSize:]))
	if n < uint64(headerSize-timeSize) || n > uint64(len(b)-timeSize) {
		return nil, fmt.Errorf("%w: its authentication is of %d bytes, and %d follow", ErrRevocationList, n, len(b)-timeSize)
	}
	return b[timeSize+n:], nil
}

// revocation is an entry of dbx, whoever added it.
type revocation struct {
	kind eventlog.GUID
	data string
}

// String names what is revoked.
func (r revocation) String() string {
	if r.kind == eventlog.CertSHA256 {
		return fmt.Sprintf("sha256:%x", r.data)
	}
	return key{r.kind, r.data}.String()
}

// revocations is a compiled RevocationList.
type revocations struct {
	name    string
	entries []revocation
	atLeast int
}

// revocationsOf reads an element of revocation_lists.
func (p *parser) revocationsOf(v *value) (l revocations) {
	p.object(v, func(name string, m *value) {
		switch name {
		case "name":
			l.name, _ = p.str(m)
		case "at_least":
			text := fmt.Sprint(m.Token)
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || m.Kind() != "a number" {
				p.problem(m, "%s, want how many of the entries must be there, 1 or more", quote(text))
			}
			l.atLeast = n
		case "sha256":
			p.array(m, eventlog.MaxSignatures, func(e *value) {
				if b, ok := p.hex(e, sha256.Size); ok {
					l.entries = append(l.entries, revocation{eventlog.CertSHA256, string(b)})
				}
			})
		case "signatures":
			p.array(m, eventlog.MaxSignatures, func(e *value) { l.entries = append(l.entries, p.revocationOf(e)) })
		default:
			p.unknownMember(m)
		}
	})
	switch {
	case v.Kind() != "an object":
	case l.name == "":
		p.problem(v, "name is missing: write what the list is, as failures are to call it")
	case len(l.entries) == 0:
		p.problem(v, "it has no entry: \"quicklime-tenant boot-policy create --dbx FILE\" takes them from a file")
	case l.atLeast > len(l.entries):
		p.problem(v, "at_least is %d, and the list has %d entries", l.atLeast, len(l.entries))
	}
	return l
}

// revocationOf reads {"SignatureType": GUID, "SignatureData": "0x…"}.
func (p *parser) revocationOf(v *value) (r revocation) {
	p.object(v, func(name string, m *value) {
		switch name {
		case "SignatureType":
			r.kind = p.guid(m)
		case "SignatureData":
			b, _ := p.hex(m, 0)
			r.data = string(b)
		default:
			p.unknownMember(m)
		}
	})
	if v.Kind() == "an object" && !(v.Has("SignatureType") && v.Has("SignatureData")) {
		p.problem(v, "an entry has SignatureType, a GUID, and SignatureData, \"0x…\"")
	}
	return r
}

// revokes: as many entries of each revocation list as must be there were in dbx.
func (j *judgement) revokes(e eventlog.Event, there map[revocation]bool) {
	for _, l := range j.revocationLists {
		var lost []string
		for _, r := range l.entries {
			if !there[r] {
				lost = append(lost, r.String())
			}
		}
		n, want := len(l.entries), ""
		if l.atLeast > 0 {
			want = fmt.Sprintf(", of which %d must be there", l.atLeast)
			if n-len(lost) >= l.atLeast {
				continue
			}
		}
		if len(lost) > 0 {
			j.fail(e, fmt.Sprintf("%d of %d entries", n-len(lost), n), lost, "update dbx on the machine (fwupdmgr update) and boot it again, or find out who took entries out",
				"dbx lacks %d of the %d entries of %s%s", len(lost), n, quote(l.name), want)
		}
	}
}

// String shows a list in a line.
func (l revocations) String() string {
	h := sha256.New()
	for _, r := range l.entries {
		fmt.Fprintln(h, r)
	}
	must := "all"
	if l.atLeast > 0 {
		must = fmt.Sprint(l.atLeast)
	}
	return fmt.Sprintf("%s of the %d entries of %s, whose SHA-256 is %x", must, len(l.entries), quote(l.name), h.Sum(nil))
}
