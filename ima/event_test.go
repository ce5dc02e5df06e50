package ima_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

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

func FuzzEvent(f *testing.F) {
	for _, name := range []string{"direct-6.1-ima-ng", "direct-6.1-ima-sig"} {
		list := readList(f, name)
		for len(list) > 0 {
			e, n, err := ima.ParseEntry(list)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(e.Data)
			list = list[n:]
		}
	}
	buffer := []byte("a buffer")
	f.Add(slices.Concat(field(append([]byte("sha256:\x00"), pcr.SHA256.Sum(buffer)...)), field([]byte("name\x00")), field(buffer)))
	f.Add(slices.Concat(field([]byte("sm3-256:\x00digest")), field([]byte("/a\x00")), field(nil)))
	f.Fuzz(func(t *testing.T, data []byte) {
		ev, err := ima.Entry{Template: []byte("ima-sig"), Data: data}.Event()
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
		if ev.Buffer != nil && (ev.Signature != nil || !bytes.Equal(ev.Algorithm.Sum(ev.Buffer), ev.Digest)) {
			t.Errorf("digest %x is not of the buffer %q, or it has a signature %q", ev.Digest, ev.Buffer, ev.Signature)
		}
		checkConsumed(t, data, ev)
	})
}

// checkConsumed wants every byte of the data to be in the event: what is read of
// it makes it again.
func checkConsumed(t *testing.T, data []byte, ev ima.Event) {
	t.Helper()
	algorithm, _, _ := bytes.Cut(data[4:], []byte(":\x00"))
	if ev.Algorithm.Known() && string(algorithm) != ev.Algorithm.String() {
		t.Errorf("%v is read from %q", ev.Algorithm, algorithm)
	}
	again := slices.Concat(field(slices.Concat(algorithm, []byte(":\x00"), ev.Digest)), field(append(slices.Clone(ev.Name), 0)))
	if third := slices.Concat(ev.Signature, ev.Buffer); len(third) > 0 || len(data) > len(again) {
		again = append(again, field(third)...)
	}
	if !bytes.Equal(again, data) {
		t.Errorf("the event encodes to %x, and was read from %x", again, data)
	}
}
