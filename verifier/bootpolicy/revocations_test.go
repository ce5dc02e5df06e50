package bootpolicy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// testdata/dbx.auth was made with sbsiglist and sbvarsign 0.9.4: five digests and a
// certificate, signed with the key "snakeoil" of Debian's package ovmf. dbx.attributes is
// the same with --include-attrs, dbx.lists is what was signed.
func list(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRevocationListsInEachForm(t *testing.T) {
	for _, name := range []string{"dbx.lists", "dbx.auth", "dbx.attributes"} {
		l, err := bootpolicy.ParseRevocationList("x", list(t, name))
		if err != nil || l.Name != "x" || l.Len() != 6 || len(l.Signatures) != 1 || l.SHA256[0] != "6704ef98"+l.SHA256[0][8:] {
			t.Errorf("%s: %v, %+v", name, err, l)
		}
	}
	again := slices.Concat(list(t, "dbx.lists"), list(t, "dbx.lists"))
	if l, err := bootpolicy.ParseRevocationList("x", again); err != nil || l.Len() != 6 {
		t.Errorf("each entry twice: %v, %d", err, l.Len())
	}
}

// I04: a list that is cut is refused, but for one that ends with an earlier list.
func TestI04_EveryCutOfARevocationList(t *testing.T) {
	auth := list(t, "dbx.auth")
	lists := len(auth) - len(list(t, "dbx.lists"))
	ends := map[int]bool{len(auth): true}
	for i := 1; i < 6; i++ {
		ends[lists+i*76] = true
	}
	for n := range auth {
		if _, err := bootpolicy.ParseRevocationList("x", auth[:n]); ends[n] != (err == nil) || err != nil && !errors.Is(err, bootpolicy.ErrRevocationList) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestI04_RevocationListsThatAreRefused(t *testing.T) {
	edit := func(at int, v uint32) []byte {
		b := bytes.Clone(list(t, "dbx.auth"))
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	short := bytes.Clone(list(t, "dbx.lists")[:76])
	short[16], short[24] = 75, 47
	for _, c := range []struct {
		b    []byte
		says string
	}{
		{make([]byte, bootpolicy.MaxRevocationList+1), "the limit is"},
		{nil, "no entry"},
		{[]byte("no list at all"), "not a signature database"},
		{edit(16, 23), "its authentication is of 23 bytes"},
		{edit(16, 1<<31), "its authentication is of"},
		{edit(16, uint32(len(list(t, "dbx.auth"))-16)), "no entry"},
		{short[:75], "a SHA-256 digest of 31 bytes"},
	} {
		if _, err := bootpolicy.ParseRevocationList("x", c.b); !errors.Is(err, bootpolicy.ErrRevocationList) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
}

// I20: dbx has the revocation list that is named, or as much of it as must be there.
func TestI20_RevocationListsAreInDBX(t *testing.T) {
	l, err := bootpolicy.ParseRevocationList("DBXUpdate.bin", list(t, "dbx.auth"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := bootpolicy.Create([]bootpolicy.RevocationList{l}, captured(t, secureBoot))
	if err != nil {
		t.Fatal(err)
	}
	strict := parse(t, string(text))
	some := parse(t, strings.Replace(string(text), `"name": "DBXUpdate.bin",`, `"name": "DBXUpdate.bin", "at_least": 5,`, 1))
	updated := func(lists []byte) []event {
		b := events(t, verifiertest.BootLog(t, secureBoot))
		at := index(t, b, 7, "dbx")
		value := int(binary.LittleEndian.Uint64(b[at].data[24:]))
		b[at].data = append(bytes.Clone(b[at].data), lists...)
		binary.LittleEndian.PutUint64(b[at].data[24:], uint64(value+len(lists)))
		return measuredAgain(b, at)
	}
	all := list(t, "dbx.lists")
	for _, c := range []struct {
		name string
		p    *bootpolicy.Policy
		dbx  []byte
		says string
	}{
		{"none", strict, nil, `PCR 7, event 8: dbx lacks 6 of the 6 entries of "DBXUpdate.bin"`},
		{"all", strict, all, ""},
		{"all but one", strict, all[76:], `dbx lacks 1 of the 6 entries of "DBXUpdate.bin"`},
		{"without the certificate", strict, all[:5*76], `dbx lacks 1 of the 6`},
		{"one of another owner", strict, otherOwner(all), ""},
		{"enough", some, all[76:], ""},
		{"not enough", some, all[2*76:], `dbx lacks 2 of the 6 entries of "DBXUpdate.bin", of which 5 must be there`},
	} {
		fails := c.p.Judge(booted(t, updated(c.dbx), nil))
		if c.says == "" && len(fails) > 0 || c.says != "" && !slices.ContainsFunc(fails, func(f wire.Failure) bool {
			return f.ID == example && strings.Contains(f.Message, c.says) && len(f.Expected) > 0 && f.Hint != ""
		}) {
			t.Errorf("%s: %+v", c.name, fails)
		}
	}
}

// measuredAgain has an event measure the data that it has now.
func measuredAgain(b []event, at int) []event {
	b[at].digest = pcr.SHA256.Sum(b[at].data)
	return b
}

// otherOwner has somebody else own the digests of dbx.lists.
func otherOwner(lists []byte) []byte {
	b := bytes.Clone(lists)
	for i := range 5 {
		b[76*i+28] ^= 1
	}
	return b
}

// I20: a machine whose dbx is not measured fails a revocation list.
func TestI20_RevocationListsNeedDBX(t *testing.T) {
	l, err := bootpolicy.ParseRevocationList("x", list(t, "dbx.auth"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := bootpolicy.Create([]bootpolicy.RevocationList{l}, captured(t, "direct-6.1-ima-ng"))
	if err != nil {
		t.Fatal(err)
	}
	if fails := parse(t, string(text)).Judge(captured(t, "direct-6.1-ima-ng")); !slices.ContainsFunc(fails, func(f wire.Failure) bool { return strings.Contains(f.Message, "dbx was not measured") }) {
		t.Errorf("%+v", fails)
	}
}

func FuzzParseRevocationList(f *testing.F) {
	for _, name := range []string{"dbx.lists", "dbx.auth", "dbx.attributes"} {
		f.Add(list(f, name))
	}
	boot := captured(f, secureBoot)
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := bootpolicy.ParseRevocationList("x", b)
		if err != nil {
			if !errors.Is(err, bootpolicy.ErrRevocationList) {
				t.Fatal(err)
			}
			return
		}
		text, err := bootpolicy.Create([]bootpolicy.RevocationList{l}, boot)
		if err != nil {
			t.Fatal(err)
		}
		parse(t, string(text))
	})
}
