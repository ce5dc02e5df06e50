package digsig_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/ima/digsig"
)

// keyOf returns a key under an id.
func keyOf(t testing.TB, signer string, id uint32) *digsig.Key {
	t.Helper()
	k, err := digsig.NewKey(id, spki(t, signers[signer]()))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signedBy returns a signature by the key that names an id of somebody's choice.
func signedBy(t testing.TB, signer string, id uint32) (digsig.Signature, digsig.Digest) {
	t.Helper()
	d := digsig.Digest{Type: digsig.File, Hash: digsig.SHA256, Sum: sum(digsig.SHA256, []byte("content"))}
	f := field(t, signers[signer](), digsig.File, 2, d.Hash, d.Sum)
	binary.BigEndian.PutUint32(f[3:], id)
	return parse(t, f), d
}

func TestI17_AllKeysOfAnIDAreTried(t *testing.T) {
	keys := []string{"p256", "p384", "p521", "rsa2048"}
	one := ring(t, keyOf(t, "p256", 7), keyOf(t, "p384", 7), keyOf(t, "p521", 8))
	two := ring(t, keyOf(t, "rsa2048", 7))
	for _, name := range keys {
		s, d := signedBy(t, name, 7)
		k, err := s.Verify(d, one, two)
		if name == "p521" {
			if !errors.Is(err, digsig.ErrBadSignature) {
				t.Errorf("%s, which has another id: %v", name, err)
			}
		} else if err != nil || k.Fingerprint != keyOf(t, name, 7).Fingerprint {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
	s, d := signedBy(t, "p256", 9)
	if _, err := s.Verify(d, one, two); !errors.Is(err, digsig.ErrUnknownKey) {
		t.Errorf("of no key's id: %v", err)
	}
}

func TestRingsDoNotChange(t *testing.T) {
	var none digsig.Rings
	one, err := none.With(".ima", keyOf(t, "p256", 5))
	if err != nil {
		t.Fatal(err)
	}
	before, after := keyOf(t, "p384", 1), keyOf(t, "p384", 9)
	left, err1 := one.With(".ima", before)
	right, err2 := one.With(".ima", after)
	again, err3 := left.With(".ima", keyOf(t, "p384", 1))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		rings digsig.Rings
		ids   []uint32
	}{"none": {none, nil}, "one": {one, []uint32{5}}, "left": {left, []uint32{1, 5}}, "right": {right, []uint32{5, 9}}, "again": {again, []uint32{1, 5}}} {
		var ids []uint32
		for _, k := range c.rings[".ima"].Keys() {
			ids = append(ids, k.ID)
		}
		if !slices.Equal(ids, c.ids) {
			t.Errorf("%s: ids %v, want %v", name, ids, c.ids)
		}
	}
}

func TestI04_RingsAreBounded(t *testing.T) {
	r := digsig.Rings{}
	var alone digsig.Ring
	var err error
	for i := range uint32(digsig.MaxKeys) {
		k := keyOf(t, "p256", i)
		if r, err = r.With([]string{".ima", ".platform"}[i%2], k); err != nil {
			t.Fatal(err)
		}
		if alone, err = alone.With(k); err != nil {
			t.Fatal(err)
		}
	}
	more := keyOf(t, "p256", digsig.MaxKeys)
	if got, err := r.With(".machine", more); err == nil || len(got) != 2 {
		t.Errorf("a key too many: %v, %v", got, err)
	}
	if got, err := alone.With(more); err == nil || len(got.Keys()) != digsig.MaxKeys {
		t.Errorf("a key too many in a ring: %d, %v", len(got.Keys()), err)
	}
	if _, err := alone.With(keyOf(t, "p256", 3)); err != nil {
		t.Errorf("a key that is there: %v", err)
	}
	for _, name := range []string{"", strings.Repeat("r", digsig.MaxRingName+1)} {
		if _, err := (digsig.Rings{}).With(name, more); err == nil {
			t.Errorf("a name of %d bytes is taken", len(name))
		}
	}
}

// A key that the machine was told not to use vouches for nothing, whoever else
// has it.
func TestI17_BlacklistedKeysDoNotVouch(t *testing.T) {
	policy := ring(t, keyOf(t, "p384", 2))
	for _, c := range []struct {
		name   string
		places map[string]*digsig.Key
		want   [2]error // of p256 under 1, and p384 under 2
	}{
		{"nothing", nil, [2]error{digsig.ErrUnknownKey, nil}},
		{"learned", map[string]*digsig.Key{".ima": keyOf(t, "p256", 1)}, [2]error{nil, nil}},
		{"blacklisted alone", map[string]*digsig.Key{".ima_blacklist": keyOf(t, "p256", 1)}, [2]error{digsig.ErrUnknownKey, nil}},
		{"revoked alone", map[string]*digsig.Key{".blacklist": keyOf(t, "p256", 1)}, [2]error{digsig.ErrUnknownKey, nil}},
		{"learned and blacklisted", map[string]*digsig.Key{".ima": keyOf(t, "p256", 1), ".ima_blacklist": keyOf(t, "p521", 1)}, [2]error{digsig.ErrUnknownKey, nil}},
		{"the policy's, blacklisted", map[string]*digsig.Key{".ima": keyOf(t, "p256", 1), ".blacklist": keyOf(t, "p384", 2)}, [2]error{nil, digsig.ErrUnknownKey}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r digsig.Rings
			for name, k := range c.places {
				var err error
				if r, err = r.With(name, k); err != nil {
					t.Fatal(err)
				}
			}
			for i, signer := range []string{"p256", "p384"} {
				s, d := signedBy(t, signer, uint32(i+1))
				if _, err := s.Verify(d, r.Vouching(policy)...); !errors.Is(err, c.want[i]) || (err == nil) != (c.want[i] == nil) {
					t.Errorf("%s: %v, want %v", signer, err, c.want[i])
				}
			}
		})
	}
}

func TestI04_StoredRingsAreTheSame(t *testing.T) {
	var r digsig.Rings
	var err error
	for name, k := range map[string]*digsig.Key{
		".ima": keyOf(t, "p256", 1), "_ima": keyOf(t, "rsa2048", 1), ".machine": keyOf(t, "p521", 0xffffffff),
	} {
		if r, err = r.With(name, k); err != nil {
			t.Fatal(err)
		}
	}
	got, err := digsig.Restore(r.Stored())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Stored(), got.Stored()); diff != "" || len(got) != 3 {
		t.Errorf("stored and restored:\n%s", diff)
	}
	for name, s := range map[string]digsig.StoredKey{
		"no ring": {ID: 1, SPKI: keyOf(t, "p256", 1).SPKI()},
		"no key":  {Ring: ".ima", ID: 1, SPKI: []byte("key")},
	} {
		if _, err := digsig.Restore([]digsig.StoredKey{s}); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
}
