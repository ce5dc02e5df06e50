package digsig_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"quicklime/ima/digsig"
)

// attribute is an extended attribute as EVM protects it.
type attribute struct{ name, value string }

// metadata returns the fields of an entry for these attributes.
func metadata(uid, gid uint32, mode uint16, attributes ...attribute) digsig.Metadata {
	m := digsig.Metadata{UID: uid, GID: gid, Mode: mode}
	var names []string
	for _, a := range attributes {
		names = append(names, a.name)
		m.Lengths = binary.LittleEndian.AppendUint32(m.Lengths, uint32(len(a.value)))
		m.Values = append(m.Values, a.value...)
	}
	m.Names = append([]byte(strings.Join(names, "|")), 0)
	return m
}

// covered is what a portable signature of m signs, by the layout.
func covered(m digsig.Metadata) []byte {
	b := append(slices.Clone(m.Values), make([]byte, 12)...)
	b = binary.LittleEndian.AppendUint32(b, m.UID)
	b = binary.LittleEndian.AppendUint32(b, m.GID)
	b = binary.LittleEndian.AppendUint16(b, m.Mode)
	return append(b, 0, 0)
}

func TestI17_MetadataIsExact(t *testing.T) {
	evm, other := signers["p256"](), signers["p384"]()
	r := ring(t, parseKey(t, spki(t, evm)), parseKey(t, spki(t, other)))
	d := digsig.Digest{Type: digsig.File, Hash: digsig.SHA256, Sum: sum(digsig.SHA256, []byte("content"))}
	label := attribute{"security.selinux", "system_u:object_r:bin_t:s0\x00"}
	plain := attribute{"security.ima", "\x04\x04" + string(d.Sum)}
	signature := attribute{"security.ima", string(field(t, other, digsig.File, 2, d.Hash, d.Sum))}
	wrong := attribute{"security.ima", string(field(t, other, digsig.File, 2, d.Hash, flipped(d.Sum, 0)))}
	good := metadata(7, 9, 0o100755, label, plain)
	changed := func(change func(*digsig.Metadata)) digsig.Metadata {
		m := good
		m.Names, m.Lengths, m.Values = slices.Clone(m.Names), slices.Clone(m.Lengths), slices.Clone(m.Values)
		change(&m)
		return m
	}
	tampered := d
	tampered.Sum = flipped(d.Sum, 0)
	for name, c := range map[string]struct {
		signed, m digsig.Metadata
		d         digsig.Digest
		want      error
	}{
		"good":                        {good, good, d, nil},
		"with a signature":            {metadata(0, 0, 0o100644, signature), metadata(0, 0, 0o100644, signature), d, nil},
		"with a signature of another": {metadata(0, 0, 0o100644, wrong), metadata(0, 0, 0o100644, wrong), d, digsig.ErrBadSignature},
		"of another content":          {good, good, tampered, digsig.ErrBadSignature},
		"of an fs-verity digest":      {good, good, digsig.Digest{Type: digsig.Verity, Hash: d.Hash, Sum: d.Sum}, digsig.ErrBadSignature},
		"another owner":               {good, changed(func(m *digsig.Metadata) { m.UID = 0 }), d, digsig.ErrBadSignature},
		"another group":               {good, changed(func(m *digsig.Metadata) { m.GID = 0 }), d, digsig.ErrBadSignature},
		"set-user-ID":                 {good, changed(func(m *digsig.Metadata) { m.Mode |= 0o4000 }), d, digsig.ErrBadSignature},
		"another label":               {good, changed(func(m *digsig.Metadata) { m.Values[0]++ }), d, digsig.ErrBadSignature},
		"no security.ima":             {metadata(0, 0, 0, label), metadata(0, 0, 0, label), d, digsig.ErrMalformed},
		"two of security.ima":         {metadata(0, 0, 0, plain, plain), metadata(0, 0, 0, plain, plain), d, digsig.ErrMalformed},
		"an empty security.ima":       {metadata(0, 0, 0, attribute{"security.ima", ""}), metadata(0, 0, 0, attribute{"security.ima", ""}), d, digsig.ErrNoSignature},
		"no attributes":               {digsig.Metadata{}, digsig.Metadata{}, d, digsig.ErrMalformed},
		"names without an end":        {good, changed(func(m *digsig.Metadata) { m.Names = m.Names[:len(m.Names)-1] }), d, digsig.ErrMalformed},
		"a name more":                 {good, changed(func(m *digsig.Metadata) { m.Names = []byte("security.selinux|security.ima|x\x00") }), d, digsig.ErrMalformed},
		"a length more":               {good, changed(func(m *digsig.Metadata) { m.Lengths = append(m.Lengths, 0, 0, 0, 0) }), d, digsig.ErrMalformed},
		"a length too long":           {good, changed(func(m *digsig.Metadata) { m.Lengths[7] = 0xff }), d, digsig.ErrMalformed},
		"a byte of value more":        {good, changed(func(m *digsig.Metadata) { m.Values = append(m.Values, 0) }), d, digsig.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			for _, version := range []byte{2, 3} {
				s := parse(t, field(t, evm, digsig.Portable, version, digsig.SHA384, sum(digsig.SHA384, covered(c.signed))))
				k, err := c.m.Verify(s, c.d, r)
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (k == nil) != (err != nil) {
					t.Errorf("version %d: Verify() = %v, %v; want %v", version, k, err, c.want)
				}
			}
		})
	}
	t.Run("a signature of the file", func(t *testing.T) {
		s := parse(t, field(t, evm, digsig.File, 2, digsig.SHA384, sum(digsig.SHA384, covered(good))))
		if _, err := good.Verify(s, d, r); !errors.Is(err, digsig.ErrBadSignature) {
			t.Errorf("Verify() = %v", err)
		}
	})
	t.Run("a hash that is not supported", func(t *testing.T) {
		s := digsig.Signature{Type: digsig.Portable, Version: 2, Hash: digsig.ParseHash("streebog512")}
		if _, err := good.Verify(s, d, r); !errors.Is(err, digsig.ErrUnsupported) {
			t.Errorf("Verify() = %v", err)
		}
	})
}

func TestI04_EveryCutOfMetadataIsMalformed(t *testing.T) {
	d := digsig.Digest{Type: digsig.File, Hash: digsig.SHA256, Sum: sum(digsig.SHA256, nil)}
	m := metadata(0, 0, 0o100755, attribute{"security.ima", "\x04\x04" + string(d.Sum)}, attribute{"security.capability", "caps"})
	s := parse(t, field(t, signers["p256"](), digsig.Portable, 2, digsig.SHA256, sum(digsig.SHA256, covered(m))))
	r := ring(t, parseKey(t, spki(t, signers["p256"]())))
	if _, err := m.Verify(s, d, r); err != nil {
		t.Fatal(err)
	}
	for what, part := range map[string]func(*digsig.Metadata) *[]byte{
		"names":   func(m *digsig.Metadata) *[]byte { return &m.Names },
		"lengths": func(m *digsig.Metadata) *[]byte { return &m.Lengths },
		"values":  func(m *digsig.Metadata) *[]byte { return &m.Values },
	} {
		for cut := range *part(&m) {
			short := m
			*part(&short) = (*part(&m))[:cut]
			if _, err := short.Verify(s, d, r); !errors.Is(err, digsig.ErrMalformed) {
				t.Errorf("the first %d bytes of the %s: %v", cut, what, err)
			}
		}
	}
}
