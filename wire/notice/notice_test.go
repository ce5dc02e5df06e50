package notice_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/veraison/go-cose"

	"quicklime/wire"
	"quicklime/wire/notice"
	"quicklime/wire/strictcbor"
)

var issued = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func example() notice.Notice {
	return notice.Notice{
		Sequence: 7, Issued: issued, Expires: issued.Add(time.Hour), ID: strings.Repeat("0a", 16), Kind: wire.EventLost, Subject: strings.Repeat("b1", 32),
		Label: "web-17", Epoch: strings.Repeat("c2", 32), Was: wire.Trusted, Trust: wire.Untrusted, Failure: wire.IMANotInPolicy, Severity: "emergency",
		At: issued.Add(-time.Millisecond),
	}
}

func marker() notice.Notice {
	return notice.Notice{Sequence: 7, Issued: issued, Expires: issued.Add(time.Hour), Kind: notice.Dropped, Was: wire.Removed, Trust: wire.Removed, At: issued, Dropped: 3}
}

func newKey(t testing.TB) (*ecdsa.PrivateKey, notice.Key) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := notice.KeyOf(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return private, k
}

func sign(t testing.TB, n notice.Notice, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := notice.Sign(n, key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	private, k := newKey(t)
	for _, n := range []notice.Notice{example(), marker()} {
		b := sign(t, n, private)
		o, err := notice.Open(b, k)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(n, o.Notice()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestParseKey(t *testing.T) {
	_, k := newKey(t)
	if again, err := notice.ParseKey(k[:]); err != nil || again != k {
		t.Error(again, err)
	}
	for _, bad := range [][]byte{nil, k[:32], make([]byte, 33), bytes.Repeat([]byte{2}, 34), append([]byte{4}, k[1:]...)} {
		if got, err := notice.ParseKey(bad); err == nil {
			t.Errorf("%x is %x", bad, got)
		}
	}
}

// I28: what another key signed, or nobody, is no notice.
func TestI28_ForgedNotices(t *testing.T) {
	private, k := newKey(t)
	other, otherKey := newKey(t)
	good := sign(t, example(), private)
	forged := sign(t, example(), other)
	renamed := bytes.Replace(forged, kidOf(t, forged), kidOf(t, good), 1) // the pinned key's name on another's signature
	for name, b := range map[string][]byte{
		"another key": forged, "another key under this one's name": renamed, "nothing": {}, "no CBOR": []byte("{}"),
		"too long": bytes.Repeat([]byte{0}, wire.MaxNotice+1), "with a byte after it": append(bytes.Clone(good), 0),
	} {
		if _, err := notice.Open(b, k); !errors.Is(err, notice.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := notice.Open(good, otherKey); !errors.Is(err, notice.ErrInvalid) {
		t.Error(err)
	}
	if _, err := notice.Open(good, notice.Key{}); !errors.Is(err, notice.ErrInvalid) {
		t.Errorf("opened without a pinned key: %v", err)
	}
	for i := range good {
		bent := bytes.Clone(good)
		bent[i] ^= 1
		if _, err := notice.Open(bent, k); !errors.Is(err, notice.ErrInvalid) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := notice.Open(good[:i], k); !errors.Is(err, notice.ErrInvalid) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// kidOf is the key id in a notice: the one byte string of 32 bytes in its header.
func kidOf(t *testing.T, b []byte) []byte {
	t.Helper()
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(b); err != nil {
		t.Fatal(err)
	}
	return m.Headers.Protected[cose.HeaderLabelKeyID].([]byte)
}

// I28: what the key signed for another purpose is no notice: another context, media
// type or algorithm.
func TestI28_OtherSignaturesOfTheKey(t *testing.T) {
	private, k := newKey(t)
	good := sign(t, example(), private)
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(good); err != nil {
		t.Fatal(err)
	}
	aad := func(context string) []byte {
		b, err := strictcbor.Marshal([]string{context})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	signed := func(change func(*cose.Sign1Message), context []byte) []byte {
		again := cose.Sign1Message{Headers: cose.Headers{Protected: cose.ProtectedHeader{}, Unprotected: cose.UnprotectedHeader{}}, Payload: m.Payload}
		for label, value := range m.Headers.Protected {
			if label != cose.HeaderLabelCritical {
				again.Headers.Protected[label] = value
			}
		}
		change(&again)
		signer, err := cose.NewSigner(cose.AlgorithmES256, private)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Sign(rand.Reader, context, signer); err != nil {
			t.Fatal(err)
		}
		b, err := again.MarshalCBOR()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if _, err := notice.Open(signed(func(*cose.Sign1Message) {}, aad("quicklime-notice/1")), k); err != nil {
		t.Fatalf("the test signs something else: %v", err)
	}
	for name, b := range map[string][]byte{
		"no context":             signed(func(*cose.Sign1Message) {}, nil),
		"another context":        signed(func(*cose.Sign1Message) {}, aad("quicklime-payload/1")),
		"another media type":     signed(func(m *cose.Sign1Message) { m.Headers.Protected[cose.HeaderLabelType] = "application/cwt" }, aad("quicklime-notice/1")),
		"something not signed":   signed(func(m *cose.Sign1Message) { m.Headers.Unprotected[int64(99)] = "x" }, aad("quicklime-notice/1")),
		"more in the header":     signed(func(m *cose.Sign1Message) { m.Headers.Protected[int64(99)] = "x" }, aad("quicklime-notice/1")),
		"no key id":              signed(func(m *cose.Sign1Message) { delete(m.Headers.Protected, cose.HeaderLabelKeyID) }, aad("quicklime-notice/1")),
		"a payload that is none": signed(func(m *cose.Sign1Message) { m.Payload = []byte{0xa0} }, aad("quicklime-notice/1")),
	} {
		if _, err := notice.Open(b, k); !errors.Is(err, notice.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// I03, I04: nobody signs, and so nobody opens, what is outside its grammar.
func TestI03_I04_NoticesOutOfBounds(t *testing.T) {
	private, _ := newKey(t)
	for name, change := range map[string]func(*notice.Notice){
		"no number":                  func(n *notice.Notice) { n.Sequence = 0 },
		"an unknown kind":            func(n *notice.Notice) { n.Kind = "praised" },
		"no subject":                 func(n *notice.Notice) { n.Subject = "" },
		"a subject in another form":  func(n *notice.Notice) { n.Subject = "d432fbb3-d2f1-4a97-9ef7-75bd81c00000" },
		"a short subject":            func(n *notice.Notice) { n.Subject = n.Subject[:12] },
		"a long subject":             func(n *notice.Notice) { n.Subject += "00" },
		"a path for a subject":       func(n *notice.Notice) { n.Subject = "../../etc/passwd" },
		"a short id":                 func(n *notice.Notice) { n.ID = "0a" },
		"a short epoch":              func(n *notice.Notice) { n.Epoch = "0a" },
		"a label for a terminal":     func(n *notice.Notice) { n.Label = "\x1b[2J" },
		"a long label":               func(n *notice.Notice) { n.Label = strings.Repeat("x", wire.MaxLabel+1) },
		"a failure of two lines":     func(n *notice.Notice) { n.Failure = "a\nb" },
		"a severity that is not":     func(n *notice.Notice) { n.Severity = "\xff" },
		"no trust":                   func(n *notice.Notice) { n.Trust = "" },
		"an unknown trust":           func(n *notice.Notice) { n.Was = "good" },
		"times the wrong way round":  func(n *notice.Notice) { n.Expires = n.Issued.Add(-time.Second) },
		"before all time":            func(n *notice.Notice) { n.Issued = time.Unix(-1, 0) },
		"dropped without a marker":   func(n *notice.Notice) { n.Dropped = 1 },
		"a marker about a machine":   func(n *notice.Notice) { n.Kind, n.Dropped = notice.Dropped, 1 },
		"a marker that drops none":   func(n *notice.Notice) { *n = marker(); n.Dropped = 0 },
		"a marker that drops itself": func(n *notice.Notice) { *n = marker(); n.Dropped = 8 },
	} {
		n := example()
		change(&n)
		if _, err := notice.Sign(n, private, rand.Reader); err == nil {
			t.Errorf("%s is signed", name)
		}
	}
}

// I28: numbers only grow, times are kept, and what is missing is counted.
func TestI28_Follow(t *testing.T) {
	private, k := newKey(t)
	opened := func(n notice.Notice) notice.Opened {
		o, err := notice.Open(sign(t, n, private), k)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	notice7, marker5to7 := opened(example()), opened(marker())
	for _, tt := range []struct {
		name    string
		o       notice.Opened
		last    uint64
		now     time.Time
		missing uint64
		want    error
	}{
		{"the next", notice7, 6, issued, 0, nil},
		{"the first of all", notice7, 0, issued, 0, nil},
		{"after a gap", notice7, 3, issued, 3, nil},
		{"the same again", notice7, 7, issued, 0, notice.ErrReplayed},
		{"out of order", notice7, 8, issued, 0, notice.ErrReplayed},
		{"as late as may be", notice7, 6, issued.Add(65 * time.Minute), 0, nil},
		{"expired", notice7, 6, issued.Add(66 * time.Minute), 0, notice.ErrUntimely},
		{"as early as may be", notice7, 6, issued.Add(-5 * time.Minute), 0, nil},
		{"from the future", notice7, 6, issued.Add(-6 * time.Minute), 0, notice.ErrUntimely},
		{"a marker for all that is missing", marker5to7, 4, issued, 0, nil},
		{"a marker for more", marker5to7, 6, issued, 0, nil},
		{"a marker for less", marker5to7, 2, issued, 2, nil},
		{"a marker again", marker5to7, 7, issued, 0, notice.ErrReplayed},
	} {
		missing, err := tt.o.Follow(tt.last, tt.now)
		if missing != tt.missing || !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s: %d missing, %v", tt.name, missing, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	private, k := newKey(f)
	f.Add(sign(f, example(), private))
	f.Add(sign(f, marker(), private))
	f.Fuzz(func(t *testing.T, b []byte) { notice.Open(b, k) })
}
