package notice_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/veraison/go-cose"

	"quicklime/wire/notice"
	"quicklime/wire/strictcbor"
)

func succession(t testing.TB, number uint64, from *ecdsa.PrivateKey, to notice.Key) []byte {
	t.Helper()
	b, err := notice.Succession{Number: number, To: to, At: issued}.Sign(from, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSuccessionRoundTrip(t *testing.T) {
	private, k := newKey(t)
	_, to := newKey(t)
	b := succession(t, 3, private, to)
	got, err := notice.OpenSuccession(b, k)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(notice.Succession{Number: 3, To: to, At: issued}, got); diff != "" {
		t.Error(diff)
	}
	if from, ok := notice.SuccessionFrom(b); !ok || from != k.ID() {
		t.Errorf("%s, %v", from, ok)
	}
	if _, ok := notice.SuccessionFrom(sign(t, example(), private)); ok {
		t.Error("a notice is a succession")
	}
}

// I28: a succession is by the key whose place is taken, whole, and nothing else that it
// signs is one; nor is a succession a notice.
func TestI28_ForgedSuccessions(t *testing.T) {
	private, k := newKey(t)
	other, otherKey := newKey(t)
	good := succession(t, 1, private, otherKey)
	for name, b := range map[string][]byte{
		"by the new key":        succession(t, 1, other, otherKey),
		"under this one's name": bytes.Replace(succession(t, 1, other, otherKey), kidOf(t, succession(t, 1, other, otherKey)), kidOf(t, good), 1),
		"a notice":              sign(t, example(), private),
		"with a byte after it":  append(bytes.Clone(good), 0),
		"nothing":               {},
		"to another key":        bytes.Replace(good, otherKey[:], k[:], 1),
	} {
		if p, err := (notice.Pin{Key: k}).Follow(b); !errors.Is(err, notice.ErrInvalid) || p != (notice.Pin{Key: k}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range good {
		bent := bytes.Clone(good)
		bent[i] ^= 1
		if _, err := notice.OpenSuccession(bent, k); !errors.Is(err, notice.ErrInvalid) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := notice.OpenSuccession(good[:i], k); !errors.Is(err, notice.ErrInvalid) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, err := notice.Open(good, k); !errors.Is(err, notice.ErrInvalid) {
		t.Errorf("a succession is a notice: %v", err)
	}
	if _, err := notice.OpenSuccession(good, notice.Key{}); !errors.Is(err, notice.ErrInvalid) {
		t.Errorf("without a pinned key: %v", err)
	}
}

// I28: a pin follows what is newer, and nothing twice.
func TestI28_SuccessionsOnlyGrow(t *testing.T) {
	first, k1 := newKey(t)
	second, k2 := newKey(t)
	there, back := succession(t, 1, first, k2), succession(t, 2, second, k1)
	p, err := notice.Pin{Key: k1}.Follow(there)
	if err != nil || p != (notice.Pin{Key: k2, Number: 1}) {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err = p.Follow(back); err != nil || p != (notice.Pin{Key: k1, Number: 2}) {
		t.Fatalf("%+v, %v", p, err)
	}
	if q, err := p.Follow(there); !errors.Is(err, notice.ErrReplayed) || q != p {
		t.Errorf("led back by an old succession: %+v, %v", q, err)
	}
}

func TestI04_SuccessionsOutOfBounds(t *testing.T) {
	private, k := newKey(t)
	for name, s := range map[string]notice.Succession{
		"number 0":            {To: k, At: issued},
		"no key":              {Number: 1, At: issued},
		"before 1970":         {Number: 1, To: k, At: time.Unix(-1, 0)},
		"after the year 9999": {Number: 1, To: k, At: time.Unix(1<<40, 0)},
	} {
		if _, err := s.Sign(private, rand.Reader); err == nil {
			t.Errorf("%s is signed", name)
		}
	}
}

func FuzzSuccession(f *testing.F) {
	private, k := newKey(f)
	f.Add(succession(f, 1, private, k))
	f.Fuzz(func(t *testing.T, b []byte) {
		notice.SuccessionFrom(b)
		if s, err := notice.OpenSuccession(b, k); err == nil && s.Number == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// I28: what the key signed in the same form for another purpose is no succession.
func TestI28_OtherStatementsAreNoSuccessions(t *testing.T) {
	private, k := newKey(t)
	_, to := newKey(t)
	var m cose.Sign1Message
	if err := m.UnmarshalCBOR(succession(t, 1, private, to)); err != nil {
		t.Fatal(err)
	}
	for context, good := range map[string]bool{"quicklime-succession/1": true, "quicklime-notice/1": false} {
		aad, err := strictcbor.Marshal([]string{context})
		if err != nil {
			t.Fatal(err)
		}
		signer, err := cose.NewSigner(cose.AlgorithmES256, private)
		if err != nil {
			t.Fatal(err)
		}
		m.Signature = nil
		if err := m.Sign(rand.Reader, aad, signer); err != nil {
			t.Fatal(err)
		}
		b, err := m.MarshalCBOR()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := notice.OpenSuccession(b, k); (err == nil) != good {
			t.Errorf("%s: %v", context, err)
		}
	}
}
