package digsig_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"quicklime/ima"
	"quicklime/ima/digsig"
)

// signed is a signature as an entry has it, and the digest it is to be of.
type signed struct {
	path   string
	field  []byte
	digest digsig.Digest
}

// signedEntries returns the entries of a captured list that have a signature.
func signedEntries(t testing.TB, name string) (all []signed) {
	t.Helper()
	list := readFile(t, "testdata/"+name+"/binary_runtime_measurements")
	for len(list) > 0 {
		e, n, err := ima.ParseEntry(list)
		if err != nil {
			t.Fatal(err)
		}
		list = list[n:]
		f := templateFields(e.Data)
		if len(f[2]) > 0 {
			all = append(all, signed{string(f[1][:len(f[1])-1]), f[2], digestField(f[0])})
		}
	}
	return all
}

func templateFields(data []byte) (fields [][]byte) {
	for len(data) > 0 {
		n := 4 + binary.LittleEndian.Uint32(data)
		fields, data = append(fields, data[4:n]), data[n:]
	}
	return fields
}

// digestField reads d-ng and d-ngv2: [type:]hash: NUL digest.
func digestField(field []byte) digsig.Digest {
	name, digest, _ := bytes.Cut(field, []byte(":\x00"))
	h := strings.TrimPrefix(string(name), "ima:")
	return digsig.Digest{Type: digsig.File, Hash: digsig.ParseHash(h), Sum: digest}
}

var signedCaptures = []string{"direct-6.1-ima-sig-signed", "direct-6.1-ima-sigv2-signed"}

func TestSignaturesOfCapturesVerify(t *testing.T) {
	rsa, ec := parseKey(t, readFile(t, anchors+"x509_ima.der")), parseKey(t, readFile(t, anchors+"x509_ima_ec.der"))
	both := ring(t, rsa, ec)
	for _, name := range signedCaptures {
		t.Run(name, func(t *testing.T) {
			by := map[uint32]int{}
			for _, e := range signedEntries(t, name) {
				k, err := parse(t, e.field).Verify(e.digest, both)
				if err != nil {
					t.Fatalf("%s: %v", e.path, err)
				}
				by[k.ID]++
				other := ring(t, rsa)
				if k.ID == rsa.ID {
					other = ring(t, ec)
				}
				if _, err := parse(t, e.field).Verify(e.digest, other); !errors.Is(err, digsig.ErrUnknownKey) {
					t.Errorf("%s: with the other key alone: %v", e.path, err)
				}
			}
			if by[rsa.ID] == 0 || by[ec.ID] == 0 {
				t.Errorf("signatures by key: %v", by)
			}
		})
	}
}

// One bit of digest or signature, or another key under the same id, and it is
// not good.
func TestI17_SignaturesOfCapturesAreExact(t *testing.T) {
	rsa, ec := parseKey(t, readFile(t, anchors+"x509_ima.der")), parseKey(t, readFile(t, anchors+"x509_ima_ec.der"))
	both := ring(t, rsa, ec)
	bad := func(t *testing.T, what string, field []byte, d digsig.Digest, r digsig.Ring) {
		t.Helper()
		if _, err := parse(t, field).Verify(d, r); !errors.Is(err, digsig.ErrBadSignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, e := range signedEntries(t, signedCaptures[0]) {
		for i := range e.digest.Sum {
			d := e.digest
			d.Sum = flipped(d.Sum, i)
			bad(t, e.path+": digest", e.field, d, both)
		}
		for i := 9; i < len(e.field); i++ {
			bad(t, e.path+": signature", flipped(e.field, i), e.digest, both)
		}
		for _, s := range []string{"rsa2048", "p256", "p384"} {
			k, err := digsig.NewKey(parse(t, e.field).KeyID, spki(t, signers[s]()))
			if err != nil {
				t.Fatal(err)
			}
			bad(t, e.path+": key "+s, e.field, e.digest, ring(t, k))
		}
	}
}

func TestI04_EveryCutOfASignatureIsRefused(t *testing.T) {
	for _, e := range signedEntries(t, signedCaptures[0]) {
		for cut := range e.field {
			if s, err := digsig.Parse(e.field[:cut]); cut > 0 && !errors.Is(err, digsig.ErrMalformed) || err == nil {
				t.Errorf("%s: the first %d of %d bytes: %+v, %v", e.path, cut, len(e.field), s, err)
			}
		}
		if _, err := digsig.Parse(append(slices.Clone(e.field), 0)); !errors.Is(err, digsig.ErrMalformed) {
			t.Errorf("%s: with a byte more: %v", e.path, err)
		}
	}
}

// What evmctl 1.5 signs as fs-verity digests; the id of a key without
// certificate is the one that evmctl gave it.
func TestVeritySignaturesOfEvmctl(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(string(readFile(t, "testdata/evmctl-1.5/verity.txt"))), "\n")
	if len(lines) != 16 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, line := range lines {
		w := strings.Fields(line)
		hash, digest, _ := strings.Cut(w[1], ":")
		k := ring(t, parseKey(t, readFile(t, "testdata/evmctl-1.5/"+w[0]+".pem")))
		s := parse(t, must(hex.DecodeString(w[3])))
		d := digsig.Digest{Type: digsig.Verity, Hash: digsig.ParseHash(hash), Sum: must(hex.DecodeString(digest))}
		if _, err := s.Verify(d, k); err != nil {
			t.Errorf("%s %s: %v", w[0], hash, err)
		}
		plain := d
		plain.Type = digsig.File
		if _, err := s.Verify(plain, k); !errors.Is(err, digsig.ErrBadSignature) {
			t.Errorf("%s %s: as the digest of a file: %v", w[0], hash, err)
		}
		d.Sum = flipped(d.Sum, 0)
		if _, err := s.Verify(d, k); !errors.Is(err, digsig.ErrBadSignature) {
			t.Errorf("%s %s: of another digest: %v", w[0], hash, err)
		}
	}
}
