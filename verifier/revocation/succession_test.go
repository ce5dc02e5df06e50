package revocation

import (
	"bytes"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quicklime/wire/notice"
	"quicklime/wire/pki"
	"quicklime/wire/rest"
)

var rotatedAt = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// rotating is a CA with a revocation key.
type rotating struct {
	t   *testing.T
	dir string
	ca  *pki.Authority
}

func newRotating(t *testing.T) rotating {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return rotating{t, dir, ca}
}

func (r rotating) open() Keys {
	r.t.Helper()
	k, err := OpenKeys(r.ca, false)
	if err != nil {
		r.t.Fatal(err)
	}
	return k
}

func (r rotating) rotate() Rotated {
	r.t.Helper()
	done, err := Rotate(r.ca, rotatedAt)
	if err != nil {
		r.t.Fatal(err)
	}
	return done
}

func (r rotating) file() string { return filepath.Join(r.dir, noticeKey+".key") }

func (r rotating) read() []byte {
	r.t.Helper()
	b, err := os.ReadFile(r.file())
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// I28: whoever pinned any of the keys is led to the newest, by what each of them signed,
// and the old ones are gone.
func TestI28_RotatedKeysLeadToTheNewest(t *testing.T) {
	r := newRotating(t)
	first := r.open()
	pins := []notice.Pin{}
	var secret []byte
	for n := uint64(1); n <= 3; n++ {
		block, _ := pem.Decode(r.read())
		secret = block.Bytes
		done := r.rotate()
		if done.Number != n || done.Dropped != 0 {
			t.Errorf("%+v", done)
		}
		pins = append(pins, notice.Pin{Key: done.Was})
	}
	now := r.open()
	if bytes.Contains(r.read(), secret) || now.Notice.Equal(first.Notice) {
		t.Error("an old key is still there")
	}
	f := NewFeed(nil, now, quiet)
	for i, p := range pins {
		envelopes, stands := f.Successions(p.Key.ID())
		if stands != rest.NoticeKeyEarlier || len(envelopes) != 3-i {
			t.Fatalf("key %d: %d successions, %s", i, len(envelopes), stands)
		}
		for _, e := range envelopes {
			var err error
			if p, err = p.Follow(e); err != nil {
				t.Fatalf("key %d: %v", i, err)
			}
		}
		want, err := notice.KeyOf(&now.Notice.PublicKey)
		if err != nil || p != (notice.Pin{Key: want, Number: 3}) {
			t.Errorf("key %d leads to %+v, %v", i, p, err)
		}
	}
	if all, stands := f.Successions(""); len(all) != 3 || stands != "" {
		t.Errorf("an agent that does not say its key: %d successions, %q", len(all), stands)
	}
	k, err := notice.KeyOf(&now.Notice.PublicKey)
	if none, stands := f.Successions(k.ID()); err != nil || len(none) != 0 || stands != rest.NoticeKeyCurrent {
		t.Errorf("the newest key: %d successions, %s, %v", len(none), stands, err)
	}
	if none, stands := f.Successions(strings.Repeat("0", 64)); len(none) != 0 || stands != rest.NoticeKeyUnknown {
		t.Errorf("a key of somebody else: %d successions, %s", len(none), stands)
	}
	public, err := now.Public()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(r.dir, "revocation.pub"))
	if block, _ := pem.Decode(b); err != nil || block == nil || !bytes.Equal(block.Bytes, public.Notice) {
		t.Errorf("revocation.pub is of another key: %v", err)
	}
	if st, err := os.Stat(r.file()); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// I04: of keys that were changed very often the oldest are forgotten.
func TestI04_SuccessionsAreBounded(t *testing.T) {
	r := newRotating(t)
	r.open()
	first := r.rotate().Was
	for range maxSuccessions - 1 {
		if done := r.rotate(); done.Dropped != 0 {
			t.Fatalf("%+v", done)
		}
	}
	f := NewFeed(nil, r.open(), quiet)
	if all, stands := f.Successions(first.ID()); len(all) != maxSuccessions || stands != rest.NoticeKeyEarlier {
		t.Fatalf("%d, %s", len(all), stands)
	}
	if done := r.rotate(); done.Dropped != 1 {
		t.Errorf("%+v", done)
	}
	f = NewFeed(nil, r.open(), quiet)
	if _, stands := f.Successions(first.ID()); stands != rest.NoticeKeyUnknown {
		t.Errorf("a key that is too old: %s", stands)
	}
	if all, _ := f.Successions(""); len(all) != maxSuccessions {
		t.Errorf("%d", len(all))
	}
}

// A verifier does not start with successions that lead nowhere, or that somebody made
// up: its agents would follow none of its notices.
func TestI28_SuccessionsThatDoNotLeadToTheKey(t *testing.T) {
	r := newRotating(t)
	r.open()
	before := r.read()
	r.rotate()
	r.rotate()
	good := r.read()
	var blocks []*pem.Block
	for rest := good; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	join := func(all ...*pem.Block) (out []byte) {
		for _, b := range all {
			out = append(out, pem.EncodeToMemory(b)...)
		}
		return out
	}
	bent := *blocks[1]
	bent.Bytes = bytes.Clone(bent.Bytes)
	bent.Bytes[len(bent.Bytes)-1] ^= 1
	key, _ := pem.Decode(before)
	for name, text := range map[string][]byte{
		"another key":     join(key, blocks[1], blocks[2]),
		"one is missing":  join(blocks[0], blocks[1]),
		"the wrong order": join(blocks[0], blocks[2], blocks[1]),
		"one that is not": join(blocks[0], &bent, blocks[2]),
		"another type":    join(blocks[0], &pem.Block{Type: "CERTIFICATE", Bytes: blocks[1].Bytes}, blocks[2]),
		"no key":          join(blocks[1], blocks[2]),
		"two keys":        join(blocks[0], key),
		"garbage":         append(bytes.Clone(good), "garbage"...),
	} {
		if err := os.WriteFile(r.file(), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeys(r.ca, false); err == nil {
			t.Errorf("%s is taken", name)
		}
		if _, err := Rotate(r.ca, rotatedAt); err == nil {
			t.Errorf("%s is rotated", name)
		}
		if after := r.read(); !bytes.Equal(after, text) {
			t.Errorf("%s was changed", name)
		}
	}
}

// A key that was lost is made anew, and nothing leads to it.
func TestLostKey(t *testing.T) {
	r := newRotating(t)
	if _, err := Rotate(r.ca, rotatedAt); err == nil || !strings.Contains(err.Error(), "no revocation key yet") {
		t.Errorf("%v", err)
	}
	r.open()
	was := r.rotate().Is
	if err := os.Remove(r.file()); err != nil {
		t.Fatal(err)
	}
	if _, stands := NewFeed(nil, r.open(), quiet).Successions(was.ID()); stands != rest.NoticeKeyUnknown {
		t.Errorf("%s", stands)
	}
}
