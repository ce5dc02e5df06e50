package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quicklime/wire/pcr"
)

func mustLoad(t testing.TB, form []byte) *Policy {
	t.Helper()
	p, err := Load(form, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLoadedPolicyIsTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	texts := []string{whole, around(`"digests": {}`), `{"meta": {"version": 1}}`, "\n" + around(`"excludes": ["/x"]`) + "\n"}
	for range 50 {
		texts = append(texts, randomPolicy(r))
	}
	for _, text := range texts {
		p := mustParse(t, text)
		form := p.Compiled()
		loaded := mustLoad(t, form)
		if d := cmp.Diff(contents(p), contents(loaded)); d != "" {
			t.Fatalf("%s: %s", text, d)
		}
		if !bytes.Equal(form, loaded.Compiled()) {
			t.Fatalf("%s: compiled again it is something else", text)
		}
		if p.Empty() != loaded.Empty() || !slices.Equal(p.BootAggregates(), loaded.BootAggregates()) {
			t.Fatalf("%s: empty %v, boot_aggregate %v", text, loaded.Empty(), loaded.BootAggregates())
		}
		for _, name := range names {
			for _, digest := range values {
				sum := sha256.Sum256(ShapeNGv2.appendData(nil, pcr.SHA256, digest, []byte(name)))
				a, b := p.Unlisted(ShapeNGv2, [][sha256.Size]byte{sum}, nil), loaded.Unlisted(ShapeNGv2, [][sha256.Size]byte{sum}, nil)
				if len(a) != len(b) {
					t.Fatalf("%s: %q %x is listed: %v, loaded %v", text, name, digest, len(a) == 0, len(b) == 0)
				}
				if d := cmp.Diff(p.JudgeFile([]byte(name), pcr.SHA256, digest), loaded.JudgeFile([]byte(name), pcr.SHA256, digest)); d != "" {
					t.Fatalf("%s: %q %x: %s", text, name, digest, d)
				}
			}
		}
	}
}

// A policy may be as large as its limits allow and loads.
func TestLoadLargestText(t *testing.T) {
	p := mustParse(t, around(`"digests": {"/x": []}`)+string(bytes.Repeat([]byte(" "), 1<<20)))
	if got := mustLoad(t, p.Compiled()).Paths(); got != 1 {
		t.Errorf("%d paths", got)
	}
}

func TestEveryCutOfACompiledPolicyFails(t *testing.T) {
	form := mustParse(t, whole).Compiled()
	mustLoad(t, form)
	for n := range form {
		if _, err := Load(form[:n], nil); !errors.Is(err, ErrForm) {
			t.Fatalf("the first %d of %d bytes load: %v", n, len(form), err)
		}
	}
	if _, err := Load(append(slices.Clone(form), 0), nil); !errors.Is(err, ErrForm) {
		t.Errorf("a byte more loads: %v", err)
	}
}

// No sealed form that is cut or longer is taken for a whole one either.
func TestEveryCutOfASealedPolicyFails(t *testing.T) {
	form := mustParse(t, whole).Compiled()
	for n := formHeader; n < len(form); n++ {
		if _, err := Load(seal(slices.Clone(form[:n])), nil); !errors.Is(err, ErrForm) {
			t.Fatalf("the first %d of %d bytes load: %v", n, len(form), err)
		}
	}
	if _, err := Load(seal(append(slices.Clone(form), 0)), nil); !errors.Is(err, ErrForm) {
		t.Errorf("a byte more loads: %v", err)
	}
}

func TestEveryFlippedBitOfACompiledPolicyFails(t *testing.T) {
	form := mustParse(t, around(`"digests": {"/bin/a": ["`+hex64+`"]}, "excludes": ["/tmp/.*"]`)).Compiled()
	for i := range form {
		for bit := range 8 {
			form[i] ^= 1 << bit
			if _, err := Load(form, nil); !errors.Is(err, ErrForm) {
				t.Fatalf("byte %d with bit %d flipped loads: %v", i, bit, err)
			}
			form[i] ^= 1 << bit
		}
	}
}

func TestLoadRefusesAnotherVersion(t *testing.T) {
	form := mustParse(t, whole).Compiled()
	binary.LittleEndian.PutUint32(form[8:], FormVersion+1)
	if _, err := Load(seal(form), nil); !errors.Is(err, ErrForm) {
		t.Errorf("error %v", err)
	}
}

// ask asks a policy all there is to ask.
func ask(p *Policy) {
	p.BootAggregates()
	for _, name := range append(names, BootAggregate, "/usr/bin/bash") {
		p.JudgeFile([]byte(name), pcr.SHA256, values[2])
		p.JudgeFile([]byte(name), 0, nil)
	}
	for shape := range shapes {
		p.Unlisted(shape, digests(3, 1), nil)
	}
}

// Whatever a form holds, nothing is read that is not there.
func TestDamagedPartsAreHarmless(t *testing.T) {
	form := mustParse(t, whole).Compiled()
	sets := 2 * len(mustParse(t, whole).set(ShapeNG).bytes)
	for i := 48; i < len(form); i++ {
		if i == formHeader {
			i += sets
		}
		for _, b := range []byte{0, 1, 0x7f, 0xff, form[i] + 1} {
			damaged := slices.Clone(form)
			damaged[i] = b
			if p, err := Load(seal(damaged), nil); err == nil {
				ask(p)
			}
		}
	}
}

// A file is allowed only if a record says so that names its algorithm: the digest
// that is of no algorithm, and empty, equals none.
func TestI24_DamagedRecordAllowsNothing(t *testing.T) {
	for _, bad := range []string{"\xff", "\x04", "\x01", "\x01short"} {
		p := mustParse(t, whole)
		p.files.put([]byte("/x"), sums(bad))
		if got := mustLoad(t, p.Compiled()).JudgeFile([]byte("/x"), 0, nil); got.Verdict.OK() {
			t.Errorf("%q allows a file", bad)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, text := range []string{whole, around(`"digests": {"/a b": ["` + hex64 + `"], "/a_b": []}, "excludes": ["/b.*"]`), `{"meta":{"version":1}}`} {
		f.Add(mustParse(f, text).Compiled())
	}
	f.Fuzz(func(t *testing.T, form []byte) {
		if _, err := Load(form, nil); err != nil && !errors.Is(err, ErrForm) {
			t.Fatal(err)
		}
		if len(form) < formHeader {
			return
		}
		if p, err := Load(seal(form), nil); err == nil {
			ask(p)
			mustLoad(t, p.Compiled())
		}
	})
}
