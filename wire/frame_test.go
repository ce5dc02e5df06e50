package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire"
	"quicklime/wire/pcr"
)

var (
	nonce = bytes.Repeat([]byte{0x11}, wire.NonceSize)
	epoch = bytes.Repeat([]byte{0x22}, 32)
)

// messages has one of each type.
var messages = []wire.Message{
	wire.Hello{Version: 1, Software: "1.0", Boot: wire.BootCounters{Reset: 3, Restart: 1}, Entries: 20014, Banks: []pcr.Bank{pcr.SHA1, pcr.SHA256}, Aggregate: pcr.SHA256},
	wire.Welcome{Version: 1, Nonce: nonce, Selection: pcr.Selection{{Bank: pcr.SHA256, PCRs: pcr.Range(0, 10)}}, IMABank: pcr.SHA256,
		Resume: wire.Resume{Epoch: epoch, Entries: 7}, WantBoot: true, MaxList: wire.MaxList, Session: 9},
	wire.Evidence{Envelope: []byte{1}, PCRs: [][]byte{make([]byte, 32)}, IMA: wire.Span{First: 7, Count: 1, Bytes: 100}, Boot: 5, Systemd: 6},
	wire.Verdict{Accepted: true, Trust: wire.Untrusted, Reason: wire.IMANotInPolicy, Failures: 2, Nonce: nonce, Resume: wire.Resume{Epoch: epoch, Entries: 8}},
	wire.Challenge{Nonce: nonce, Within: 5000},
	wire.Alive{},
	wire.Register{Version: 1, Software: "1.0", Label: "host", TokenID: "0123456789abcdef", TokenSecret: make([]byte, 32), EKPublic: []byte{1},
		EKCertificates: [][]byte{{2}}, AKPublic: []byte{3}, Transport: []byte{4}, Certify: []byte{5}, Signature: []byte{6}},
	wire.Credential{Object: []byte{1}, Secret: []byte{2}},
	wire.Proof{HMAC: make([]byte, 32)},
	wire.Registered{ID: strings.Repeat("a", 64), Outcome: wire.OutcomeNew},
	wire.Refused{Why: wire.RefusedToken},
	wire.Offers{Offers: []wire.Offer{{Manifest: []byte{1}, Object: []byte{2}, Secret: []byte{3}}}},
	wire.Fetch{Name: "db", Version: 20261128053311, Offset: 65536, Bytes: wire.MaxChunk},
	wire.Chunk{Name: "db", Version: 1, Offset: 65536, Bytes: 100},
	wire.Ask{Name: "db", Version: 1},
	wire.Release{Name: "db", Version: 1, Share: [32]byte{1}},
	wire.Receipt{Receipt: []byte{1}},
	wire.PayloadRefusal{Name: "db", Version: 1, Reason: "it has expired"},
	wire.Notice{Envelope: []byte{1}},
	wire.Noticed{Last: 7, Missing: 2},
	wire.Noticed{Last: 7, Key: strings.Repeat("0f", 32), Refused: wire.RefusedClock, Clock: 1},
}

func frame(t testing.TB, m wire.Message) []byte {
	t.Helper()
	b, err := wire.AppendFrame(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFramesRoundTrip(t *testing.T) {
	for _, m := range messages {
		got, err := wire.ReadFrame(bytes.NewReader(frame(t, m)))
		if err != nil {
			t.Errorf("%T: %v", m, err)
		} else if d := cmp.Diff(m, got, cmp.Exporter(nil), cmp.AllowUnexported(wire.BootCounters{}, pcr.BankSet{})); d != "" {
			t.Errorf("%T: %s", m, d)
		}
	}
}

// The example of the package comment.
func TestExample(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "wire.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(f.Doc.Text(), "# Example\n")
	var want string
	for line := range strings.Lines(example) {
		if dump, ok := strings.CutPrefix(line, "\t"); ok {
			dump, _, _ = strings.Cut(strings.TrimSpace(dump), "  ") // what it means stands right of the bytes
			want += strings.ReplaceAll(dump, " ", "")
		}
	}
	if got := hex.EncodeToString(frame(t, wire.Challenge{Nonce: nonce, Within: 5000})); got != want {
		t.Errorf("got  %s\nwant %s, as the comment says", got, want)
	}
}

func TestI04_FramesAreWhole(t *testing.T) {
	for _, m := range messages {
		b := frame(t, m)
		for cut := range b {
			_, err := wire.ReadFrame(bytes.NewReader(b[:cut]))
			if cut == 0 && err != io.EOF || cut > 0 && err != io.ErrUnexpectedEOF {
				t.Errorf("%T cut at %d: %v", m, cut, err)
			}
			// The same bytes, announced as the whole message.
			if cut > 5 {
				short := bytes.Clone(b[:cut])
				binary.BigEndian.PutUint32(short[1:], uint32(cut-5))
				if _, err := wire.ReadFrame(bytes.NewReader(short)); !errors.Is(err, wire.ErrMalformed) {
					t.Errorf("%T shortened to %d: %v", m, cut, err)
				}
			}
		}
	}
}

func TestI03_I04_ReadFrameRefusesOtherEncodings(t *testing.T) {
	challenge := "a2015820" + strings.Repeat("11", 32) + "02191388"
	for name, c := range map[string]string{
		"an unknown type":         "ff" + challenge,
		"an integer too long":     "05" + strings.Replace(challenge, "191388", "1a00001388", 1),
		"an indefinite map":       "05" + "bf" + challenge[2:] + "ff",
		"keys out of order":       "05" + "a202191388015820" + strings.Repeat("11", 32),
		"a key twice":             "05" + "a3" + challenge[2:] + "02191388",
		"an unknown key":          "05" + "a3" + challenge[2:] + "0300",
		"a missing key":           "05" + "a1015820" + strings.Repeat("11", 32),
		"null for bytes":          "05" + "a201f602191388",
		"a tag":                   "05" + "c1" + challenge,
		"bytes after it":          "05" + challenge + "00",
		"text for bytes":          "05" + strings.Replace(challenge, "5820", "7820", 1),
		"a short nonce":           "05" + "a201581f" + strings.Repeat("11", 31) + "02191388",
		"nesting":                 "05" + "8181818181818181818180",
		"an array of 2^32 - 1":    "05" + "9affffffff",
		"a byte string of 2^63":   "05" + "a2015b8000000000000000",
		"text that is not UTF-8":  "25" + "a10161ff",
		"a control character":     "25" + "a101611b",
		"an unknown outcome":      "24" + "a2017840" + strings.Repeat("61", 64) + "0263626164",
		"an id in capitals":       "24" + "a2017840" + strings.Repeat("41", 64) + "02636e6577",
		"a float for an integer":  "05" + strings.Replace(challenge, "191388", "fa459c4000", 1),
		"a negative for a length": "05" + strings.Replace(challenge, "191388", "20", 1),
	} {
		b, err := hex.DecodeString(c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f := binary.BigEndian.AppendUint32([]byte{b[0]}, uint32(len(b)-1))
		if m, err := wire.ReadFrame(bytes.NewReader(append(f, b[1:]...))); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// I04: a length beyond the limit is refused before anything is read for it.
func TestI04_OversizeFrameIsRefusedUnread(t *testing.T) {
	r := bytes.NewReader(append([]byte{5, 0xff, 0xff, 0xff, 0xff}, make([]byte, 100)...))
	if _, err := wire.ReadFrame(r); !errors.Is(err, wire.ErrMalformed) || r.Len() != 100 {
		t.Errorf("%v, %d bytes left", err, r.Len())
	}
}

func TestI03_I04_I15_AppendFrameRefusesWhatWouldBeRefused(t *testing.T) {
	for name, m := range map[string]wire.Message{
		"a nonce of another length": wire.Challenge{Nonce: nonce[1:]},
		"another version":           wire.Hello{Version: 2},
		"a label with a line break": func() wire.Message { m := messages[6].(wire.Register); m.Label = "a\nb"; return m }(),
		"five certificates": func() wire.Message {
			m := messages[6].(wire.Register)
			m.EKCertificates = [][]byte{{1}, {2}, {3}, {4}, {5}}
			return m
		}(),
		"an empty certificate":     func() wire.Message { m := messages[6].(wire.Register); m.EKCertificates = [][]byte{{}}; return m }(),
		"a token id of no grammar": func() wire.Message { m := messages[6].(wire.Register); m.TokenID = "0123456789abcde/"; return m }(),
		"a long certificate": func() wire.Message {
			m := messages[6].(wire.Register)
			m.EKCertificates = [][]byte{make([]byte, wire.MaxCertificate+1)}
			return m
		}(),
		"a long EK": func() wire.Message {
			m := messages[6].(wire.Register)
			m.EKPublic = make([]byte, wire.MaxPublic+1)
			return m
		}(),
		"more values than PCRs":        wire.Evidence{Envelope: []byte{1}, PCRs: make([][]byte, 97)},
		"a list over its limit":        wire.Evidence{Envelope: []byte{1}, IMA: wire.Span{Bytes: wire.MaxList + 1}},
		"a boot log over its limit":    wire.Evidence{Envelope: []byte{1}, Boot: wire.MaxBootLog + 1},
		"a systemd log over its limit": wire.Evidence{Envelope: []byte{1}, Systemd: wire.MaxSystemdLog + 1},
		"more entries than bytes":      wire.Evidence{Envelope: []byte{1}, IMA: wire.Span{Count: 2, Bytes: 1}},
		"an envelope over its limit":   wire.Evidence{Envelope: make([]byte, wire.MaxEnvelope+1)},
		"an unknown bank":              wire.Hello{Version: 1, Banks: []pcr.Bank{0x12}},
		"no bank":                      wire.Hello{Version: 1, Banks: []pcr.Bank{0}},
		"a bank twice":                 wire.Hello{Version: 1, Banks: []pcr.Bank{pcr.SHA256, pcr.SHA1, pcr.SHA256}},
		"an unknown aggregate":         wire.Hello{Version: 1, Aggregate: 0x12},
		"no trust":                     wire.Verdict{Nonce: nonce},
		"another word for trust":       wire.Verdict{Trust: "Trusted", Nonce: nonce},
		"a resume without an epoch":    wire.Verdict{Trust: wire.Trusted, Nonce: nonce, Resume: wire.Resume{Entries: 1}},
		"padding that says something":  wire.Alive{Padding: [wire.AlivePadding]byte{1}},
		"17 offers":                    wire.Offers{Offers: make([]wire.Offer, 17)},
		"an offer of nothing":          wire.Offers{Offers: make([]wire.Offer, 1)},
		"a long manifest":              wire.Offers{Offers: []wire.Offer{{Manifest: make([]byte, wire.MaxManifest+1), Object: []byte{2}, Secret: []byte{3}}}},
		"a path as name":               wire.Fetch{Name: "../db", Version: 1, Bytes: 1},
		"version 0":                    wire.Ask{Name: "db"},
		"a version too large":          wire.Release{Name: "db", Version: wire.MaxPayloadVersion + 1},
		"an offset over the limit":     wire.Fetch{Name: "db", Version: 1, Offset: wire.MaxSealedPayload, Bytes: 1},
		"a chunk over its limit":       wire.Chunk{Name: "db", Version: 1, Bytes: wire.MaxChunk + 1},
		"an empty chunk":               wire.Chunk{Name: "db", Version: 1},
		"a receipt over its limit":     wire.Receipt{Receipt: make([]byte, wire.MaxReceipt+1)},
		"a reason with a line break":   wire.PayloadRefusal{Name: "db", Version: 1, Reason: "a\nb"},
		"an empty selection":           wire.Welcome{Version: 1, Nonce: nonce, IMABank: pcr.SHA256, Session: 1},
		"a session without a number":   func() wire.Message { m := messages[1].(wire.Welcome); m.Session = 0; return m }(),
	} {
		if _, err := wire.AppendFrame(nil, m); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// As many offers as there may be, each as long as it may be, fit a frame.
func TestI04_OffersFitAFrame(t *testing.T) {
	o := wire.Offer{Manifest: make([]byte, wire.MaxManifest), Object: make([]byte, wire.MaxShareObject), Secret: make([]byte, wire.MaxShareSecret)}
	frame(t, wire.Offers{Offers: slices.Repeat([]wire.Offer{o}, wire.MaxPayloads)})
}

func TestNoShareInWords(t *testing.T) {
	r := wire.Release{Name: "db", Version: 1, Share: [32]byte{0xab, 0xcd}}
	for _, s := range []string{fmt.Sprint(r), fmt.Sprintf("%+v %#v", r, r)} {
		if strings.Contains(s, "171") || strings.Contains(s, "0xab") || strings.Contains(s, "205") {
			t.Errorf("a release in words is %q", s)
		}
	}
}

func TestAppendFrameTakesEveryWord(t *testing.T) {
	for _, trust := range []wire.Trust{wire.Pending, wire.Trusted, wire.Untrusted, wire.Stale, wire.Unjudged} {
		frame(t, wire.Verdict{Trust: trust, Nonce: nonce})
	}
	frame(t, wire.Hello{Version: 1, Banks: pcr.Banks})
	frame(t, wire.Hello{Version: 1}) // no bank is active, and there is no list
}

func TestI03_Grammars(t *testing.T) {
	id := strings.Repeat("0af", 21) + "0"
	for _, c := range []struct {
		valid bool
		is    func(string) bool
		s     string
	}{
		{true, wire.ValidID, id}, {false, wire.ValidID, id[1:]}, {false, wire.ValidID, id + "0"}, {false, wire.ValidID, strings.ToUpper(id)},
		{false, wire.ValidID, id[:63] + "/"}, {false, wire.ValidID, ""},
		{true, wire.ValidTokenID, "0123456789abcdef"}, {false, wire.ValidTokenID, "0123456789abcde"},
		{true, wire.ValidName, "web-1.0_x"}, {false, wire.ValidName, ""}, {false, wire.ValidName, ".."}, {false, wire.ValidName, "a/b"},
		{false, wire.ValidName, "-a"}, {false, wire.ValidName, "ä"}, {false, wire.ValidName, strings.Repeat("a", 65)},
	} {
		if c.is(c.s) != c.valid {
			t.Errorf("%q: valid is %v", c.s, !c.valid)
		}
	}
}

func TestI03_Printable(t *testing.T) {
	for s, want := range map[string]bool{"": true, "web-1 ü": true, "a\nb": false, "\x1b[2J": false, "\u202e": false, "\xff": false, "12345678": true, "123456789": false} {
		if got := wire.Printable(s, 8); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// I13: half a nonce is half as hard to guess.
func TestI13_NoncesAreWhole(t *testing.T) {
	welcome, verdict, challenge := messages[1].(wire.Welcome), messages[3].(wire.Verdict), messages[4].(wire.Challenge)
	for _, n := range [][]byte{nil, nonce[1:], append(bytes.Clone(nonce), 0)} {
		welcome.Nonce, verdict.Nonce, challenge.Nonce = n, n, n
		for _, m := range []wire.Message{welcome, verdict, challenge} {
			if err := m.Check(); !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("%T with a nonce of %d bytes: %v", m, len(n), err)
			}
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	for _, m := range messages {
		f.Add(frame(f, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := wire.ReadFrame(bytes.NewReader(b))
		if err != nil {
			return
		}
		if again := frame(t, m); !bytes.HasPrefix(b, again) {
			t.Errorf("%T encodes to other bytes", m)
		}
	})
}
