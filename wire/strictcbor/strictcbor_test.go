package strictcbor_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/strictcbor"
)

// value has a field of each kind that messages have.
type value struct {
	Number uint64   `cbor:"1,keyasint"`
	Bytes  []byte   `cbor:"2,keyasint"`
	Text   string   `cbor:"3,keyasint"`
	List   [][]byte `cbor:"4,keyasint"`
	Pair   pair     `cbor:"5,keyasint"`
	Yes    bool     `cbor:"-6,keyasint"`
	Fixed  [2]byte  `cbor:"256,keyasint"`
}

type pair struct {
	_    struct{} `cbor:",toarray"`
	A, B uint32
}

// full is a value and encoded its encoding: the keys stand in the order of their
// own encodings (RFC 8949, section 4.2.1).
var (
	full    = value{Number: 500, Bytes: []byte{1}, Text: "ü", List: [][]byte{{2}, {}}, Pair: pair{A: 1, B: 24}, Yes: true, Fixed: [2]byte{3, 4}}
	encoded = "a7" + "011901f4" + "024101" + "0362c3bc" + "0482410240" + "0582011818" + "190100420304" + "25f5"
)

func decode(t testing.TB, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	b, err := strictcbor.Marshal(full)
	if got := hex.EncodeToString(b); err != nil || got != encoded {
		t.Fatalf("%v\ngot  %s\nwant %s", err, got, encoded)
	}
	var got value
	if err := strictcbor.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(full, got, cmp.AllowUnexported(pair{})); d != "" {
		t.Error(d)
	}
}

func TestAbsentIsEmpty(t *testing.T) {
	b, err := strictcbor.Marshal(value{})
	if want := "a7" + "0100" + "0240" + "0360" + "0480" + "05820000" + "190100420000" + "25f4"; err != nil || hex.EncodeToString(b) != want {
		t.Errorf("%x, %v, want %s", b, err, want)
	}
}

func TestEveryCutFails(t *testing.T) {
	b := decode(t, encoded)
	for cut := range b {
		if err := strictcbor.Unmarshal(b[:cut], new(value)); err == nil {
			t.Errorf("the first %d of %d bytes are accepted", cut, len(b))
		}
	}
}

func TestI04_OtherEncodingsAreRefused(t *testing.T) {
	change := func(old, new string) string { return strings.Replace(encoded, old, new, 1) }
	for name, digits := range map[string]string{
		"a longer integer":       change("1901f4", "1a000001f4"),
		"a longer length":        change("4101", "580101"),
		"an indefinite map":      "bf" + encoded[2:] + "ff",
		"an indefinite array":    change("82410240", "9f410240ff"),
		"keys out of order":      "a7" + "024101" + "011901f4" + encoded[16:],
		"a key twice":            "a8" + encoded[2:] + "011901f4",
		"an unknown key":         "a8" + encoded[2:] + "19010100",
		"a missing key":          "a6" + change("25f5", "")[2:],
		"null":                   change("4101", "f6"),
		"a tag":                  "c1" + encoded,
		"a byte after it":        encoded + "00",
		"text for bytes":         change("4101", "6101"),
		"bytes for text":         change("62c3bc", "42c3bc"),
		"text that is not UTF-8": change("62c3bc", "62c3c3"),
		"a float":                change("1901f4", "f95fd0"),
		"a negative number":      change("1901f4", "3901f4"),
		"more than 32 bits":      change("82011818", "82011b0000000100000000"),
		"a third of a pair":      change("82011818", "8301181800"),
		"a short fixed string":   change("420304", "4103"),
		"a long fixed string":    change("420304", "43030405"),
		"a length of 2^63":       change("4101", "5b800000000000000001"),
		"an array of 2^32 - 1":   change("82410240", "9affffffff"),
	} {
		if digits == encoded {
			t.Fatalf("%s: the test changed nothing", name)
		}
		if err := strictcbor.Unmarshal(decode(t, digits), new(value)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// I04: what is read has bounds of its own, whatever holds it.
func TestI04_Bounds(t *testing.T) {
	var list [][]byte
	for n, ok := range map[int]bool{96: true, 128: true, 129: false} {
		b := append([]byte{0x98, byte(n)}, bytes.Repeat([]byte{0x40}, n)...)
		if err := strictcbor.Unmarshal(b, &list); (err == nil) != ok {
			t.Errorf("%d elements: %v", n, err)
		}
	}
	var deep any
	for n, ok := range map[int]bool{4: true, 5: false} {
		b := append(bytes.Repeat([]byte{0x81}, n-1), 0x80)
		if err := strictcbor.Unmarshal(b, &deep); (err == nil) != ok {
			t.Errorf("%d levels: %v", n, err)
		}
	}
	var pairs map[uint64]uint64
	for n, ok := range map[int]bool{16: true, 17: false} {
		b := []byte{0xa0 + byte(n)}
		for i := range n {
			b = append(b, byte(i), 0)
		}
		if err := strictcbor.Unmarshal(b, &pairs); (err == nil) != ok {
			t.Errorf("%d pairs: %v", n, err)
		}
		pairs = nil
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(decode(f, encoded))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v value
		if strictcbor.Unmarshal(b, &v) != nil {
			return
		}
		if again, err := strictcbor.Marshal(v); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x encodes to %x, %v", b, again, err)
		}
	})
}
