package payload_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/veraison/go-cose"

	"quicklime/wire/payload"
)

var (
	agentID = strings.Repeat("a1", 32)
	u       = payload.Share(bytes.Repeat([]byte{0x0f}, 32))
	v       = payload.Share(bytes.Repeat([]byte{0xf0}, 32))
)

func keys(t testing.TB) payload.Keys {
	t.Helper()
	k, err := payload.Derive(u, v, agentID, "db-password", 7)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// HKDF (RFC 5869, section 2) for one block of output, by hand.
func TestDerive(t *testing.T) {
	mac := func(key []byte, parts ...string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(strings.Join(parts, "")))
		return h.Sum(nil)
	}
	label := "quicklime-payload/1 receipt"
	info := "\x84\x78\x1b" + label + "\x78\x40" + agentID + "\x6bdb-password\x07"
	want := mac(mac(make([]byte, 32), string(bytes.Repeat([]byte{0xff}, 32))), info, "\x01")
	if got := keys(t).Receipt(); !bytes.Equal(got[:], want) {
		t.Errorf("receipt key %x, want %x", got[:], want)
	}
}

func TestI27_KeysAreOfOneAgentNameAndVersion(t *testing.T) {
	seen := map[payload.Keys]string{keys(t): "the first"}
	for name, derive := range map[string]func() (payload.Keys, error){
		"U":       func() (payload.Keys, error) { return payload.Derive(payload.Share{}, v, agentID, "db-password", 7) },
		"V":       func() (payload.Keys, error) { return payload.Derive(u, payload.Share{}, agentID, "db-password", 7) },
		"agent":   func() (payload.Keys, error) { return payload.Derive(u, v, strings.Repeat("b2", 32), "db-password", 7) },
		"name":    func() (payload.Keys, error) { return payload.Derive(u, v, agentID, "db-passwor", 7) },
		"version": func() (payload.Keys, error) { return payload.Derive(u, v, agentID, "db-password", 8) },
	} {
		k, err := derive()
		if err != nil {
			t.Fatal(err)
		}
		if other, there := seen[k]; there {
			t.Errorf("another %s: the keys of %s", name, other)
		}
		seen[k] = name
	}
}

func TestNoSecretInWords(t *testing.T) {
	k := keys(t)
	for _, s := range []string{fmt.Sprint(u), fmt.Sprintf("%v %+v %#v %s", u, u, u, u), fmt.Sprintf("%v %+v %#v", k, k, k), fmt.Sprintf("%v %#v", k.Receipt(), k.Receipt())} {
		if strings.ContainsAny(s, "0123456789") {
			t.Errorf("a secret in words is %q", s)
		}
	}
}

func key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func manifest() payload.Manifest {
	return payload.Manifest{
		Agent: agentID, Name: "db-password", Version: 7, Kind: payload.File, File: "password.txt", Size: 12,
		Content: sha256.Sum256([]byte("content")), Share: sha256.Sum256([]byte("share")),
		Issued: time.Date(2026, 11, 28, 5, 0, 0, 0, time.UTC), Expires: time.Date(2027, 11, 28, 5, 0, 0, 0, time.UTC),
	}
}

func sign(t testing.TB, k *ecdsa.PrivateKey, m payload.Manifest) []byte {
	t.Helper()
	b, err := m.Sign(rand.Reader, k)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestManifest(t *testing.T) {
	k := key(t)
	b := sign(t, k, manifest())
	s, err := payload.Verify(b, &k.PublicKey, agentID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(manifest(), s.Manifest()); d != "" {
		t.Error(d)
	}
	read, err := payload.Read(b)
	if d := cmp.Diff(manifest(), read); err != nil || d != "" {
		t.Error(err, d)
	}
	again, err := payload.Verify(sign(t, k, manifest()), &k.PublicKey, agentID)
	if err != nil || again.Digest() != s.Digest() {
		t.Errorf("signed again it has another digest, %v", err)
	}
	point, err := payload.EncodeKey(&k.PublicKey)
	if err != nil || len(point) != payload.KeySize {
		t.Fatalf("%d bytes, %v", len(point), err)
	}
	if parsed, err := payload.ParseKey(point); err != nil || !parsed.Equal(&k.PublicKey) {
		t.Errorf("%v, %v", parsed, err)
	}
	if _, err := payload.ParseKey(point[:64]); !errors.Is(err, payload.ErrInvalid) {
		t.Errorf("a cut key: %v", err)
	}
}

func TestI27_ManifestOnlyUnderTheOperatorsKey(t *testing.T) {
	k, other := key(t), key(t)
	b := sign(t, k, manifest())
	if _, err := payload.Verify(b, &other.PublicKey, agentID); !errors.Is(err, payload.ErrInvalid) {
		t.Errorf("under another key: %v", err)
	}
	if _, err := payload.Verify(b, &k.PublicKey, strings.Repeat("b2", 32)); !errors.Is(err, payload.ErrInvalid) {
		t.Errorf("for another agent: %v", err)
	}
}

func TestI27_EveryCutAndEveryOtherByteOfAManifestFails(t *testing.T) {
	k := key(t)
	b := sign(t, k, manifest())
	for cut := range b {
		if _, err := payload.Verify(b[:cut], &k.PublicKey, agentID); !errors.Is(err, payload.ErrInvalid) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if _, err := payload.Read(b[:cut]); !errors.Is(err, payload.ErrInvalid) {
			t.Fatalf("read, cut at %d: %v", cut, err)
		}
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 1
		if _, err := payload.Verify(c, &k.PublicKey, agentID); !errors.Is(err, payload.ErrInvalid) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if _, err := payload.Verify(append(b, 0), &k.PublicKey, agentID); !errors.Is(err, payload.ErrInvalid) {
		t.Fatalf("a trailing byte: %v", err)
	}
}

func TestI03_I04_ManifestRefuses(t *testing.T) {
	for name, change := range map[string]func(*payload.Manifest){
		"agent":             func(m *payload.Manifest) { m.Agent = "../../etc" },
		"name":              func(m *payload.Manifest) { m.Name = "../x" },
		"no name":           func(m *payload.Manifest) { m.Name = "" },
		"version 0":         func(m *payload.Manifest) { m.Version = 0 },
		"version too large": func(m *payload.Manifest) { m.Version = payload.MaxVersion + 1 },
		"kind":              func(m *payload.Manifest) { m.Kind = "program" },
		"file":              func(m *payload.Manifest) { m.File = "a/b" },
		"no file":           func(m *payload.Manifest) { m.File = "" },
		"file of archive":   func(m *payload.Manifest) { m.Kind = payload.Archive },
		"size":              func(m *payload.Manifest) { m.Size = payload.MaxSize + 1 },
		"expired at once":   func(m *payload.Manifest) { m.Expires = m.Issued },
		"before 1970":       func(m *payload.Manifest) { m.Issued = time.Unix(-1, 0) },
		"after 9999":        func(m *payload.Manifest) { m.Expires = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"nanoseconds":       func(m *payload.Manifest) { m.Issued = m.Issued.Add(1) },
	} {
		m := manifest()
		change(&m)
		if _, err := m.Sign(rand.Reader, key(t)); !errors.Is(err, payload.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := manifest().Sign(rand.Reader, p384); !errors.Is(err, payload.ErrInvalid) {
		t.Errorf("by a key on P-384: %v", err)
	}
}

// Each header is refused although the key has signed it.
func TestI27_VerifyRefusesOtherHeaders(t *testing.T) {
	k := key(t)
	var good cose.Sign1Message
	if err := good.UnmarshalCBOR(sign(t, k, manifest())); err != nil {
		t.Fatal(err)
	}
	signer, err := cose.NewSigner(cose.AlgorithmES256, k)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*cose.Headers){
		"none":            func(*cose.Headers) {},
		"another kid":     func(h *cose.Headers) { h.Protected[cose.HeaderLabelKeyID] = make([]byte, 32) },
		"no kid":          func(h *cose.Headers) { delete(h.Protected, cose.HeaderLabelKeyID) },
		"another typ":     func(h *cose.Headers) { h.Protected[cose.HeaderLabelType] = "application/eat+cwt" },
		"one more":        func(h *cose.Headers) { h.Protected[int64(33)] = []byte("certificate") },
		"one unprotected": func(h *cose.Headers) { h.Unprotected[cose.HeaderLabelKeyID] = make([]byte, 32) },
	} {
		h := cose.Headers{Protected: cose.ProtectedHeader{}, Unprotected: cose.UnprotectedHeader{}}
		for label, v := range good.Headers.Protected {
			h.Protected[label] = v
		}
		change(&h)
		m := cose.Sign1Message{Headers: h, Payload: good.Payload}
		if err := m.Sign(rand.Reader, []byte("\x73quicklime-payload/1"), signer); err != nil {
			t.Fatal(name, err)
		}
		b, err := m.MarshalCBOR()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := payload.Verify(b, &k.PublicKey, agentID); (err == nil) != (name == "none") {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := cose.Sign1Message{Headers: good.Headers, Payload: good.Payload}
	if err := m.Sign(rand.Reader, nil, signer); err != nil {
		t.Fatal(err)
	}
	b, err := m.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := payload.Verify(b, &k.PublicKey, agentID); !errors.Is(err, payload.ErrInvalid) {
		t.Errorf("signed for another use: %v", err)
	}
}
