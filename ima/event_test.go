package ima_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

func TestI17_I24_EventRefuses(t *testing.T) {
	field := func(s string) string {
		return string([]byte{byte(len(s)), byte(len(s) >> 8), 0, 0}) + s
	}
	digest := "sha256:\x00" + strings.Repeat("d", 32)
	for name, data := range map[string]string{
		"nothing":               "",
		"one field":             field(digest),
		"a trailing byte":       field(digest) + field("/a\x00") + "x",
		"four fields":           field(digest) + field("/a\x00") + field("") + field(""),
		"no NUL":                field(digest) + field("/a"),
		"a NUL in the name":     field(digest) + field("/a\x00b\x00"),
		"an empty name":         field(digest) + field("\x00"),
		"a short digest":        field(digest[:39]) + field("/a\x00"),
		"a long digest":         field(digest+"d") + field("/a\x00"),
		"a digest of no hash":   field(strings.Repeat("d", 20)) + field("/a\x00"),
		"a hash with no name":   field(":\x00"+strings.Repeat("d", 32)) + field("/a\x00"),
		"a length past the end": field(digest) + "\xff\xff\xff\xff/a\x00",
	} {
		t.Run(name, func(t *testing.T) {
			if ev, err := (ima.Entry{Template: []byte("ima-ng"), Data: []byte(data)}).Event(); !errors.Is(err, ima.ErrMalformed) {
				t.Errorf("Event() = %+v, %v", ev, err)
			}
		})
	}
}

// field is a field of template data.
func field(b []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// A cut is refused wherever it is.
func TestEveryCutOfAnEventIsMalformed(t *testing.T) {
	name := []byte("/a\x00")
	for what, third := range map[string][]byte{"signature": []byte("\x03\x02a signature"), "buffer": []byte("a buffer")} {
		two := slices.Concat(field(append([]byte("sha256:\x00"), pcr.SHA256.Sum([]byte("a buffer"))...)), field(name))
		data := append(slices.Clone(two), field(third)...)
		for cut := range data {
			_, err := ima.Entry{Template: []byte("ima-sig"), Data: data[:cut]}.Event()
			if !errors.Is(err, ima.ErrMalformed) {
				t.Errorf("third field %s: the first %d of %d bytes: %v", what, cut, len(data), err)
			}
		}
	}
}

// I17: what kind of event it is depends on the covered bytes, not on the name.
func TestI17_EventKindIsReadFromTheBytes(t *testing.T) {
	buffer := []byte("kernel command line")
	entry := func(third []byte) ima.Entry {
		e := ima.NewFileEntry(pcr.SHA256, pcr.SHA256.Sum(buffer), "/name")
		e.Data = append(e.Data, byte(len(third)), 0, 0, 0)
		e.Data = append(e.Data, third...)
		return e
	}
	for _, c := range []struct {
		third  []byte
		buffer bool
	}{{buffer, true}, {nil, false}, {[]byte("\x03\x02a signature"), false}} {
		for _, template := range []string{"ima-sig", "ima-buf"} {
			e := entry(c.third)
			e.Template = []byte(template)
			ev, err := e.Event()
			if err != nil || (ev.Buffer != nil) != c.buffer {
				t.Errorf("third field %q named %s: %+v, %v", c.third, template, ev, err)
			}
		}
	}
}

// evmSig is the data of template evm-sig for a file whose security.ima is a digest.
func evmSig(fields map[ima.Field][]byte) (data []byte) {
	for _, f := range []ima.Field{ima.FieldDigestNG, ima.FieldNameNG, ima.FieldEVMSignature, ima.FieldXattrNames, ima.FieldXattrLengths, ima.FieldXattrValues, ima.FieldUID, ima.FieldGID, ima.FieldMode} {
		data = append(data, field(fields[f])...)
	}
	return data
}

func evmFields() map[ima.Field][]byte {
	return map[ima.Field][]byte{
		ima.FieldDigestNG: append([]byte("sha256:\x00"), make([]byte, 32)...), ima.FieldNameNG: []byte("/a\x00"), ima.FieldEVMSignature: []byte("\x05sig"),
		ima.FieldXattrNames: []byte("security.ima\x00"), ima.FieldXattrLengths: {2, 0, 0, 0}, ima.FieldXattrValues: []byte("xy"),
		ima.FieldUID: {1, 0, 0, 0}, ima.FieldGID: {2, 1, 0, 0}, ima.FieldMode: {0xed, 0x81},
	}
}

func TestI17_EVMFields(t *testing.T) {
	entry := func(data []byte) ima.Entry { return ima.Entry{Template: []byte("evm-sig"), Data: data} }
	ev, err := entry(evmSig(evmFields())).Event()
	want := ima.EVM{Signature: []byte("\x05sig"), XattrNames: []byte("security.ima\x00"), XattrLengths: []byte{2, 0, 0, 0}, XattrValues: []byte("xy"),
		UID: 1, GID: 258, Mode: 0o100755, Complete: true}
	if d := cmp.Diff(want, ev.EVM); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for f, size := range map[ima.Field]int{ima.FieldUID: 3, ima.FieldGID: 5, ima.FieldMode: 4, ima.FieldXattrLengths: 6} {
		fields := evmFields()
		fields[f] = make([]byte, size)
		if _, err := entry(evmSig(fields)).Event(); !errors.Is(err, ima.ErrMalformed) {
			t.Errorf("a field %s of %d bytes: %v", f, size, err)
		}
	}
	data := evmSig(evmFields())
	for cut := range data {
		if _, err := entry(data[:cut]).Event(); !errors.Is(err, ima.ErrMalformed) {
			t.Errorf("the first %d of %d bytes: %v", cut, len(data), err)
		}
	}
}

// I17: what a template has no field for is not there, and digests say their kind.
func TestI17_FormatsOfTheKernel(t *testing.T) {
	digest := append([]byte("sha256:\x00"), make([]byte, 32)...)
	name := field([]byte("/a\x00"))
	for what, c := range map[string]struct {
		template string
		data     []byte
		want     *ima.Event
	}{
		"ima-ngv2, a file":    {"ima-ngv2", slices.Concat(field(append([]byte("ima:"), digest...)), name), &ima.Event{Algorithm: pcr.SHA256, Digest: make([]byte, 32), Name: []byte("/a")}},
		"ima-ngv2, fs-verity": {"ima-ngv2", slices.Concat(field(append([]byte("verity:"), digest...)), name), &ima.Event{Verity: true, Algorithm: pcr.SHA256, Digest: make([]byte, 32), Name: []byte("/a")}},
		"ima-ngv2, no type":   {"ima-ngv2", slices.Concat(field(digest), name), nil},
		"ima-ngv2, another":   {"ima-ngv2", slices.Concat(field(append([]byte("evm:"), digest...)), name), nil},
		"ima-ng, with a type": {"ima-ng", slices.Concat(field(append([]byte("ima:"), digest...)), name), nil},
		"ima-modsig": {"ima-modsig", slices.Concat(field(digest), name, field(nil), field(append([]byte("sha1:\x00"), make([]byte, 20)...)), field([]byte("pkcs7"))),
			&ima.Event{Algorithm: pcr.SHA256, Digest: make([]byte, 32), Name: []byte("/a"), Modsig: ima.Modsig{Algorithm: pcr.SHA1, Digest: make([]byte, 20), Signature: []byte("pkcs7")}}},
		"ima-modsig, a short digest": {"ima-modsig", slices.Concat(field(digest), name, field(nil), field([]byte("sha1:\x00digest")), field(nil)), nil},
		"an unknown template":        {"ima-new", slices.Concat(field(digest), name), nil},
		"a custom one":               {"d-ng|n-ng", slices.Concat(field(digest), name), nil},
	} {
		ev, err := (ima.Entry{Template: []byte(c.template), Data: c.data}).Event()
		if c.want == nil {
			if !errors.Is(err, ima.ErrMalformed) {
				t.Errorf("%s: %+v, %v", what, ev, err)
			}
			continue
		}
		if d := cmp.Diff(*c.want, ev); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", what, err, d)
		}
	}
}

func TestI17_CustomFormats(t *testing.T) {
	for format, want := range map[string]string{
		"d-ng|n-ng":                     "",
		"n|d":                           "",
		"d-ngv2|n-ng|iuid|igid|imode":   "",
		"":                              "no field",
		"d-ng":                          "one name",
		"n-ng":                          "one digest",
		"d-ng|n-ng|d":                   "one digest",
		"d-ng|n-ng|n":                   "one name",
		"d-ng|n-ng|sig|sig":             "comes twice",
		"d-ng|n-ng|":                    "no field",
		"d-ng| n-ng":                    "no field",
		strings.Repeat("d-ng|", 60):     "limit is 255",
		"d-ng|n-ng|sig|buf|xattrvalues": "",
	} {
		f, err := ima.ParseFormat(format)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", format, err)
		}
		if err == nil && (f.Name() != format || f.Fields() != 1+strings.Count(format, "|")) {
			t.Errorf("%q is %q of %d fields", format, f.Name(), f.Fields())
		}
	}
}

// A digest alone says its hash by its length.
func TestBareDigests(t *testing.T) {
	f, err := ima.ParseFormat("d|n")
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]pcr.Bank{20: pcr.SHA1, 16: 0} {
		ev, err := f.Event(ima.Entry{Template: []byte("d|n"), Data: slices.Concat(field(make([]byte, size)), field([]byte("/a\x00")))})
		if err != nil || ev.Algorithm != want || len(ev.Digest) != size {
			t.Errorf("%d bytes: %+v, %v", size, ev, err)
		}
	}
	if _, err := f.Event(ima.Entry{Template: []byte("d|n"), Data: slices.Concat(field(make([]byte, 32)), field([]byte("/a\x00")))}); !errors.Is(err, ima.ErrMalformed) {
		t.Errorf("32 bytes: %v", err)
	}
}

// custom are formats of all fields, in two orders.
var custom = []string{"d-ng|n-ng|sig|d-modsig|modsig|buf|evmsig|iuid|igid|imode|xattrnames|xattrlengths|xattrvalues", "sig|n|d-ngv2|buf", "d|n"}

func FuzzEvent(f *testing.F) {
	formats := ima.Formats()
	for _, c := range custom {
		parsed, err := ima.ParseFormat(c)
		if err != nil {
			f.Fatal(err)
		}
		formats = append(formats, parsed)
	}
	slices.SortFunc(formats, func(a, b ima.Format) int { return strings.Compare(a.Name(), b.Name()) })
	index := func(name string) uint8 {
		return uint8(slices.IndexFunc(formats, func(f ima.Format) bool { return f.Name() == name }))
	}
	for _, name := range []string{"direct-6.1-ima-ng", "direct-6.1-ima-sig", "direct-6.1-ima-sigv2-signed", "direct-6.1-ima-modsig", "direct-6.1-ima-legacy"} {
		for _, e := range entriesOf(f, readList(f, name)) {
			f.Add(index(string(e.Template)), e.Data)
		}
	}
	buffer := []byte("a buffer")
	f.Add(index("ima-buf"), slices.Concat(field(append([]byte("sha256:\x00"), pcr.SHA256.Sum(buffer)...)), field([]byte("name\x00")), field(buffer)))
	f.Add(index("ima-sig"), slices.Concat(field([]byte("sm3-256:\x00digest")), field([]byte("/a\x00")), field(nil)))
	f.Add(index("evm-sig"), evmSig(evmFields()))
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		format := formats[int(which)%len(formats)]
		e := ima.Entry{Template: []byte(format.Name()), Data: data}
		if e.Legacy() {
			e = ima.Entry{PCR: 10, Digest: make([]byte, 20), Template: e.Template, Data: data}
			if _, n, err := ima.ParseEntry(e.AppendTo(nil)); err != nil || n != len(e.AppendTo(nil)) {
				return // no parser hands it out
			}
		}
		ev, err := format.Event(e)
		if err != nil {
			if !errors.Is(err, ima.ErrMalformed) {
				t.Errorf("error %v does not wrap ErrMalformed", err)
			}
			return
		}
		if len(ev.Name) == 0 || bytes.IndexByte(ev.Name, 0) >= 0 {
			t.Errorf("name %q", ev.Name)
		}
		if ev.Algorithm.Known() && len(ev.Digest) != ev.Algorithm.Size() {
			t.Errorf("a %v digest of %d bytes", ev.Algorithm, len(ev.Digest))
		}
		if ev.Buffer != nil && !bytes.Equal(ev.Algorithm.Sum(ev.Buffer), ev.Digest) {
			t.Errorf("digest %x is not of the buffer %q", ev.Digest, ev.Buffer)
		}
		if n := format.Fields(); n <= 3 && !e.Legacy() {
			checkConsumed(t, data, ev, n)
		}
	})
}

// checkConsumed wants every byte of the data to be in the event, of a format that
// begins with the digest: what is left are the lengths of the fields, the NUL of the
// name and what stands before the digest.
func checkConsumed(t *testing.T, data []byte, ev ima.Event, fields int) {
	t.Helper()
	before := int(binary.LittleEndian.Uint32(data)) - len(ev.Digest)
	if read := 4*fields + before + len(ev.Digest) + len(ev.Name) + 1 + len(ev.Signature) + len(ev.Buffer); read != len(data) {
		t.Errorf("%d bytes of %d are in the event", read, len(data))
	}
	for _, part := range [][]byte{ev.Digest, ev.Name, ev.Signature, ev.Buffer} {
		if !bytes.Contains(data, part) {
			t.Errorf("%x is nowhere in the data", part)
		}
	}
}
