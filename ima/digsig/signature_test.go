package digsig_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"quicklime/ima/digsig"
	"quicklime/wire/pcr"
)

func TestI04_I17_SignatureFieldIsReadToTheLastByte(t *testing.T) {
	digest := strings.Repeat("d", 32)
	for name, c := range map[string]struct {
		field string
		want  error
	}{
		"nothing":                            {"", digsig.ErrNoSignature},
		"an MD5 digest":                      {"\x01" + digest[:16], digsig.ErrNoSignature},
		"a SHA-1 digest":                     {"\x01" + digest[:20], digsig.ErrNoSignature},
		"a digest of another length":         {"\x01" + digest[:21], digsig.ErrMalformed},
		"an HMAC":                            {"\x02" + digest[:20], digsig.ErrNoSignature},
		"an HMAC of another length":          {"\x02" + digest, digsig.ErrMalformed},
		"a SHA-256 digest":                   {"\x04\x04" + digest, digsig.ErrNoSignature},
		"a Streebog digest":                  {"\x04\x12" + digest, digsig.ErrNoSignature},
		"a SHA-256 digest of 31 bytes":       {"\x04\x04" + digest[1:], digsig.ErrMalformed},
		"a digest of no hash":                {"\x04\x17" + digest, digsig.ErrMalformed},
		"a digest of 65 bytes":               {"\x04\x12" + digest + digest + "d", digsig.ErrMalformed},
		"a type alone":                       {"\x03", digsig.ErrMalformed},
		"no such type":                       {"\x07\x02\x04idid\x00\x04abcd", digsig.ErrMalformed},
		"text":                               {"not a signature", digsig.ErrMalformed},
		"version 1":                          {"\x03\x01" + digest, digsig.ErrUnsupported},
		"version 4":                          {"\x03\x04\x04idid\x00\x04abcd", digsig.ErrUnsupported},
		"version 2 of an fs-verity digest":   {"\x06\x02\x04idid\x00\x04abcd", digsig.ErrMalformed},
		"no bytes":                           {"\x03\x02\x04idid\x00\x00", digsig.ErrMalformed},
		"a byte less than the size":          {"\x03\x02\x04idid\x00\x04abc", digsig.ErrMalformed},
		"a byte more than the size":          {"\x03\x02\x04idid\x00\x04abcde", digsig.ErrMalformed},
		"the size in the other byte order":   {"\x03\x02\x04idid\x04\x00abcd", digsig.ErrMalformed},
		"a signature":                        {"\x03\x02\x04idid\x00\x04abcd", nil},
		"a portable signature":               {"\x05\x02\x04idid\x00\x04abcd", nil},
		"a signature of an fs-verity digest": {"\x06\x03\x04idid\x00\x04abcd", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := digsig.Parse([]byte(c.field)); !errors.Is(err, c.want) || err == nil != (c.want == nil) {
				t.Errorf("Parse() = %+v, %v; want %v", s, err, c.want)
			}
		})
	}
}

func TestI17_EveryHashAndKeyVerifies(t *testing.T) {
	for name, signer := range signers {
		r := ring(t, parseKey(t, spki(t, signer())))
		for h := range functions {
			for _, of := range []struct {
				typ     digsig.Type
				version byte
			}{{digsig.File, 2}, {digsig.File, 3}, {digsig.Verity, 3}} {
				d := digsig.Digest{Type: of.typ, Hash: h, Sum: sum(h, []byte("content"))}
				s := parse(t, field(t, signer(), of.typ, of.version, h, d.Sum))
				if _, err := s.Verify(d, r); err != nil {
					t.Errorf("%s, %v, %+v: %v", name, h, of, err)
				}
				s.Version ^= 1
				if _, err := s.Verify(d, r); !errors.Is(err, digsig.ErrBadSignature) {
					t.Errorf("%s, %v, %+v as the other version: %v", name, h, of, err)
				}
			}
		}
	}
}

// A signature vouches for the kind of digest and the hash it was made for. With
// ECDSA nothing but the comparison tells two hashes of one length apart.
func TestI17_SignatureIsOfOneKindOfDigest(t *testing.T) {
	signer := signers["p256"]()
	r := ring(t, parseKey(t, spki(t, signer)))
	d := digsig.Digest{Type: digsig.File, Hash: digsig.SHA256, Sum: sum(digsig.SHA256, []byte("content"))}
	good := parse(t, field(t, signer, digsig.File, 2, d.Hash, d.Sum))
	verity := parse(t, field(t, signer, digsig.Verity, 3, d.Hash, d.Sum))
	portable := parse(t, field(t, signer, digsig.Portable, 2, d.Hash, d.Sum))
	streebog := good
	streebog.Hash = digsig.ParseHash("streebog256")
	for name, c := range map[string]struct {
		s    digsig.Signature
		d    digsig.Digest
		want error
	}{
		"good":                         {good, d, nil},
		"an fs-verity digest":          {good, digsig.Digest{Type: digsig.Verity, Hash: d.Hash, Sum: d.Sum}, digsig.ErrBadSignature},
		"of an fs-verity digest":       {verity, d, digsig.ErrBadSignature},
		"of metadata":                  {portable, d, digsig.ErrUnsupported},
		"a digest of another hash":     {good, digsig.Digest{Type: digsig.File, Hash: digsig.ParseHash("sm3"), Sum: d.Sum}, digsig.ErrBadSignature},
		"a digest of an unknown hash":  {good, digsig.Digest{Type: digsig.File, Hash: digsig.ParseHash("none"), Sum: d.Sum}, digsig.ErrBadSignature},
		"a digest with a byte more":    {good, digsig.Digest{Type: digsig.File, Hash: d.Hash, Sum: append(slices.Clone(d.Sum), 0)}, digsig.ErrBadSignature},
		"a hash that is not supported": {streebog, digsig.Digest{Type: digsig.File, Hash: streebog.Hash, Sum: d.Sum}, digsig.ErrUnsupported},
		"no digest":                    {good, digsig.Digest{}, digsig.ErrBadSignature},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := c.s.Verify(c.d, r)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (k == nil) != (err != nil) {
				t.Errorf("Verify() = %v, %v; want %v", k, err, c.want)
			}
			if name == "a hash that is not supported" && !strings.Contains(err.Error(), "streebog256") {
				t.Errorf("the text names no hash: %v", err)
			}
		})
	}
}

func TestHashesHaveTheirKernelNames(t *testing.T) {
	for _, b := range pcr.Banks {
		if h := digsig.HashOf(b); h.String() != b.String() || h.Size() != b.Size() {
			t.Errorf("HashOf(%v) = %v, %d bytes", b, h, h.Size())
		}
	}
	for h, name := range map[digsig.Hash]string{2: "sha1", 4: "sha256", 7: "sha224", 17: "sm3", 18: "streebog256", 19: "streebog512", 22: "sha3-512", 23: "hash-23"} {
		if h.String() != name {
			t.Errorf("%d is %v, not %s", uint8(h), h, name)
		}
	}
	if h := digsig.HashOf(0); h.Size() != 0 {
		t.Errorf("the hash of no bank is %v", h)
	}
}
