package keychain_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quicklime/agent/keep"
	"quicklime/agent/keychain"
	"quicklime/wire"
	"quicklime/wire/notice"
)

func newKey(t *testing.T) (*ecdsa.PrivateKey, notice.Key) {
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

func TestI28_StateRoundTrip(t *testing.T) {
	_, joined := newKey(t)
	_, now := newKey(t)
	path := filepath.Join(t.TempDir(), "last-notice")
	for _, want := range []keychain.State{keychain.New(joined), {Last: 7, Joined: joined, Pin: notice.Pin{Key: now, Number: 3}}, {Last: 8, Joined: joined, Pin: notice.Pin{Key: joined, Number: 4}}} {
		if err := want.Write(path); err != nil {
			t.Fatal(err)
		}
		got, err := keychain.Read(path, "", joined)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(err, diff)
		}
	}
	if s, err := keychain.Read(path, "", now); !errors.Is(err, keychain.ErrOtherKey) || s.Last != 8 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A state that cannot be read is an error, never the beginning.
func TestStateIsReadOrRefused(t *testing.T) {
	_, joined := newKey(t)
	for _, kept := range []string{"{", "{}", `{"last":1,"key":"02"}`, `{"last":-1,"key":""}`, `{"last":1,"key":"zz"}`} {
		path := filepath.Join(t.TempDir(), "last-notice")
		if err := keep.Write(path, kept); err != nil {
			t.Fatal(err)
		}
		if s, err := keychain.Read(path, "", joined); err == nil || errors.Is(err, keychain.ErrOtherKey) {
			t.Errorf("%s: %+v, %v", kept, s, err)
		}
	}
}

// The successions that are kept are bounded, and the oldest go. Whoever began within
// the bound is led to the newest key.
func TestI04_SuccessionsAreBounded(t *testing.T) {
	const many = 70
	dir := filepath.Join(t.TempDir(), "keys")
	var pins []notice.Pin
	key, k := newKey(t)
	pins = append(pins, notice.Pin{Key: k})
	for n := uint64(1); n <= many; n++ {
		next, to := newKey(t)
		b, err := notice.Succession{Number: n, To: to, At: time.Now()}.Sign(key, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := keychain.Add(dir, n, b); err != nil {
			t.Fatal(err)
		}
		key = next
		pins = append(pins, notice.Pin{Key: to, Number: n})
	}
	if kept, err := os.ReadDir(dir); err != nil || len(kept) != 64 || !strings.HasPrefix(kept[0].Name(), "00000000000000000007.") {
		t.Fatalf("%d are kept, %v", len(kept), err)
	}
	now := time.Now().Truncate(time.Second)
	b, err := notice.Sign(notice.Notice{Sequence: 1, Issued: now, Expires: now.Add(time.Hour), ID: strings.Repeat("0a", 16), Kind: wire.EventLost,
		Subject: strings.Repeat("b1", 32), Was: wire.Trusted, Trust: wire.Untrusted, At: now}, key, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for began, pin := range pins {
		_, by, err := keychain.Open(dir, pin, b)
		if led := err == nil && by == pins[many]; led != (began >= many-64) {
			t.Errorf("from number %d: %+v, %v", began, by.Number, err)
		}
	}
}
