package jointoken

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func example() Token {
	t := Token{
		ID:        "00112233aabbccdd",
		Expires:   time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC),
		Registrar: Server{"registrar.example.org:8891", "registrar.example.org"},
		Verifier:  Server{"[2001:db8::1]:8892", "2001:db8::1"},
	}
	for i := range t.Secret {
		t.Secret[i], t.CAPin[i] = byte(i), byte(0x80+i)
	}
	return t
}

func text(t *testing.T, tok Token) string {
	t.Helper()
	s, err := tok.Format()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The example, worked out by hand from the package comment.
const exampleCBOR = "a6" +
	"01" + "70" + "30303131323233336161626263636464" + // "00112233aabbccdd"
	"02" + "5820" + "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" +
	"03" + "1a" + "6b386925" + // 1798859045
	"04" + "5820" + "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f" +
	"05" + "a2" + "01" + "781a" + "7265676973747261722e6578616d706c652e6f72673a38383931" +
	"02" + "75" + "7265676973747261722e6578616d706c652e6f7267" +
	"06" + "a2" + "01" + "72" + "5b323030313a6462383a3a315d3a38383932" + "02" + "6b" + "323030313a6462383a3a31"

func TestFormat(t *testing.T) {
	want, err := hex.DecodeString(exampleCBOR)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Prefix+base64.RawURLEncoding.EncodeToString(want), text(t, example())); diff != "" {
		t.Errorf("text differs (-want +got):\n%s", diff)
	}
}

// exampleKey is the base point of P-256 (SEC 2, section 2.4.2), uncompressed.
const exampleKey = "04" + "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296" +
	"4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"

// withKey is the example with a payload key.
func withKey(t testing.TB) Token {
	t.Helper()
	b, err := hex.DecodeString(exampleKey)
	if err != nil {
		t.Fatal(err)
	}
	tok := example()
	tok.PayloadKey = PayloadKey(b)
	return tok
}

func TestI27_PayloadKey(t *testing.T) {
	want := withKey(t)
	s := text(t, want)
	if s != replaced(t, "a601", "a701", "6b323030313a6462383a3a31", "6b323030313a6462383a3a31"+"075841"+exampleKey) {
		t.Errorf("text %s", s)
	}
	got, err := Parse(s)
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("error %v, token differs (-want +got):\n%s", err, d)
	}
	if !got.PayloadKey.Set() || example().PayloadKey.Set() {
		t.Error("which token has a payload key is not told right")
	}
	for n := range len(s) {
		if _, err := Parse(s[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("the first %d of %d characters: error %v, want ErrMalformed", n, len(s), err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, end := range []string{"", "\n", "\r\n", " \t\n\n"} {
		got, err := Parse(text(t, example()) + end)
		if err != nil {
			t.Errorf("with %q at its end: %v", end, err)
		}
		if diff := cmp.Diff(example(), got); diff != "" {
			t.Errorf("token differs (-want +got):\n%s", diff)
		}
	}
}

func TestParseEveryCut(t *testing.T) {
	s := text(t, example())
	for n := range len(s) {
		if _, err := Parse(s[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("the first %d of %d characters: error %v, want ErrMalformed", n, len(s), err)
		}
	}
}

// replaced returns the example's text after changes of its CBOR in hex: pairs of
// what is there and what shall be.
func replaced(t *testing.T, pairs ...string) string {
	t.Helper()
	s := exampleCBOR
	for ; len(pairs) > 0; pairs = pairs[2:] {
		if !strings.Contains(s, pairs[0]) {
			t.Fatalf("%s is not in the example", pairs[0])
		}
		s = strings.Replace(s, pairs[0], pairs[1], 1)
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return Prefix + base64.RawURLEncoding.EncodeToString(b)
}

func TestI03_I04_I27_ParseRefuses(t *testing.T) {
	good := text(t, example())
	for name, s := range map[string]string{
		"empty":                     "",
		"another version":           strings.Replace(good, "join-1", "join-2", 1),
		"white space before":        " " + good,
		"line break inside":         good[:40] + "\n" + good[40:],
		"padding":                   good + "=",
		"two tokens":                good + "\n" + good,
		"over the limit":            good + strings.Repeat("\n", MaxText),
		"other trailing bits":       good[:len(good)-1] + string(good[len(good)-1]+1),
		"bytes after the map":       replaced(t, "323030313a6462383a3a31", "323030313a6462383a3a31"+"00"),
		"unknown key":               replaced(t, "a601", "a7000001"),
		"reserved key":              replaced(t, "a601", "a701", "6b323030313a6462383a3a31", "6b323030313a6462383a3a31"+"0840"),
		"empty payload key":         replaced(t, "a601", "a701", "6b323030313a6462383a3a31", "6b323030313a6462383a3a31"+"0740"),
		"payload key of zeros":      replaced(t, "a601", "a701", "6b323030313a6462383a3a31", "6b323030313a6462383a3a31"+"075841"+strings.Repeat("00", 65)),
		"payload key off the curve": replaced(t, "a601", "a701", "6b323030313a6462383a3a31", "6b323030313a6462383a3a31"+"075841"+"04"+strings.Repeat("01", 64)),
		"short payload key":         replaced(t, "a601", "a701", "6b323030313a6462383a3a31", "6b323030313a6462383a3a31"+"075840"+exampleKey[:128]),
		"long payload key":          replaced(t, "a601", "a701", "6b323030313a6462383a3a31", "6b323030313a6462383a3a31"+"075842"+exampleKey+"00"),
		"keys out of order":         replaced(t, "0170303031313232333361616262636364640258", "0270303031313232333361616262636364640158"),
		"integer not its shortest":  replaced(t, "031a6b386925", "031b000000006b386925"),
		"indefinite length":         replaced(t, "a601", "bf01"),
		"short secret":              replaced(t, "5820000102", "581f0102"),
		"long secret":               replaced(t, "5820000102", "5821ff000102"),
		"short pin":                 replaced(t, "5820808182", "581f8182"),
		"id in capitals":            replaced(t, "6161", "4141"),
		"negative expiry":           replaced(t, "031a6b386925", "033a6b386925"),
		"expiry after 9999":         replaced(t, "031a6b386925", "031b7fffffffffffffff"),
		"expiry that overflows":     replaced(t, "031a6b386925", "031bffffffffffffffff"),
		"address without port":      replaced(t, "3a38383931", "2d38383931"),
		"control character":         replaced(t, "7265676973747261722e6578616d706c652e6f72673a", "1b65676973747261722e6578616d706c652e6f72673a"),
		"secret as text":            replaced(t, "025820", "027820"),
	} {
		if _, err := Parse(s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}

func TestFormatRefuses(t *testing.T) {
	for name, change := range map[string]func(*Token){
		"id":          func(t *Token) { t.ID = "0011" },
		"expiry":      func(t *Token) { t.Expires = time.Time{} },
		"registrar":   func(t *Token) { t.Registrar.Address = "registrar" },
		"verifier":    func(t *Token) { t.Verifier = Server{} },
		"server name": func(t *Token) { t.Verifier.ServerName = "a b" },
		"payload key": func(t *Token) { t.PayloadKey[0] = 4 },
	} {
		tok := example()
		change(&tok)
		if s, err := tok.Format(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: Format = %q, %v, want ErrMalformed", name, s, err)
		}
	}
}

func TestNoSecretInWords(t *testing.T) {
	tok := example()
	for _, s := range []string{tok.String(), fmt.Sprint(tok), fmt.Sprintf("%v %+v", tok, &tok)} {
		if !strings.Contains(s, tok.ID) || strings.Contains(s, "31") || strings.Contains(s, hex.EncodeToString(tok.Secret[:4])) {
			t.Errorf("the token in words is %q", s)
		}
	}
	s := text(t, tok)
	if _, err := Parse(s[:len(s)-2]); err == nil || strings.Contains(err.Error(), s[len(Prefix):len(Prefix)+8]) {
		t.Errorf("the error %v repeats the token", err)
	}
}

func FuzzParse(f *testing.F) {
	s, err := example().Format()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s)
	f.Add(s + "\n")
	if s, err = withKey(f).Format(); err != nil {
		f.Fatal(err)
	}
	f.Add(s)
	f.Add(Prefix + "oA")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := Parse(s)
		if err != nil {
			return
		}
		again, err := tok.Format()
		if err != nil || again != strings.TrimRight(s, " \t\r\n") {
			t.Errorf("Parse(%q) formats as %q, %v", s, again, err)
		}
	})
}

func FuzzParseMembership(f *testing.F) {
	b, err := example().Membership(strings.Repeat("ab", 32)).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMembership(b)
		if err != nil {
			return
		}
		c, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseMembership(c)
		if diff := cmp.Diff(m, again); err != nil || diff != "" {
			t.Errorf("error %v, membership differs (-first +again):\n%s", err, diff)
		}
	})
}
