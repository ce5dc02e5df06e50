package digsig_test

import (
	"bytes"
	"crypto/x509"
	"testing"

	"quicklime/ima/digsig"
)

// Whatever a field holds, it is read to the last byte or refused, and no key
// vouches for it.
func FuzzParse(f *testing.F) {
	d := digsig.Digest{Type: digsig.File, Hash: digsig.SHA256, Sum: sum(digsig.SHA256, []byte("content"))}
	for _, typ := range []digsig.Type{digsig.File, digsig.Portable, digsig.Verity} {
		f.Add(field(f, signers["p256"](), typ, 3, d.Hash, d.Sum))
		f.Add(field(f, signers["rsa2048"](), typ, 2, d.Hash, d.Sum))
	}
	for _, e := range signedEntries(f, signedCaptures[1]) {
		f.Add(e.field)
	}
	f.Add([]byte("\x04\x04" + string(d.Sum)))
	f.Add([]byte("\x01" + string(d.Sum[:20])))
	keys := []string{"p256", "p384", "p521", "rsa2048"}
	spkis := map[string][]byte{}
	for _, name := range keys {
		spkis[name] = spki(f, signers[name]())
	}
	d.Sum = sum(d.Hash, []byte("other content"))
	f.Fuzz(func(t *testing.T, field []byte) {
		s, err := digsig.Parse(field)
		if err != nil {
			return
		}
		if !bytes.Equal(field[len(field)-len(s.Bytes):], s.Bytes) || len(field) != 9+len(s.Bytes) {
			t.Errorf("%x: of it %x", field, s.Bytes)
		}
		d := digsig.Digest{Type: s.Type, Hash: d.Hash, Sum: d.Sum}
		for _, name := range keys {
			k, err := digsig.NewKey(s.KeyID, spkis[name])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Verify(d, ring(t, k)); err == nil {
				t.Errorf("%x: good by %s", field, name)
			}
		}
	})
}

// Whatever is taken as a key is one within the bounds, and the same when it is
// written and read again.
func FuzzParseKey(f *testing.F) {
	f.Add(readFile(f, anchors+"x509_ima.der"))
	f.Add(readFile(f, anchors+"x509_ima_ec.der"))
	f.Add(block("CERTIFICATE", readFile(f, anchors+"x509_ima_ec.der")))
	f.Add(spki(f, signers["p521"]()))
	f.Add(block("PUBLIC KEY", spki(f, signers["p384"]())))
	f.Add(must(x509.MarshalPKCS8PrivateKey(signers["p256"]())))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := digsig.ParseKey(b)
		if err != nil {
			return
		}
		again, err := digsig.NewKey(k.ID, k.SPKI())
		if err != nil || again.Fingerprint != k.Fingerprint || again.ID != k.ID {
			t.Errorf("%x: %+v, %+v, %v", b, k, again, err)
		}
		s := digsig.Signature{Type: digsig.File, Version: 2, Hash: digsig.SHA256, KeyID: k.ID, Bytes: make([]byte, 256)}
		if _, err := s.Verify(digsig.Digest{Type: digsig.File, Hash: digsig.SHA256, Sum: make([]byte, 32)}, ring(t, k)); err == nil {
			t.Errorf("%x: a signature of zeros is good", b)
		}
	})
}

// Whatever lengths and names say, nothing outside the values is read.
func FuzzMetadata(f *testing.F) {
	d := digsig.Digest{Type: digsig.File, Hash: digsig.SHA256, Sum: sum(digsig.SHA256, []byte("content"))}
	good := metadata(0, 0, 0, attribute{"security.selinux", "label"}, attribute{"security.ima", "\x04\x04" + string(d.Sum)})
	f.Add(good.Names, good.Lengths, good.Values)
	s := digsig.Signature{Type: digsig.Portable, Version: 2, Hash: digsig.SHA256, KeyID: 1, Bytes: []byte{0}}
	r := ring(f, keyOf(f, "p256", 1))
	f.Fuzz(func(t *testing.T, names, lengths, values []byte) {
		m := digsig.Metadata{Names: names, Lengths: lengths, Values: values}
		if k, err := m.Verify(s, d, r); err == nil {
			t.Errorf("%q, %x, %x: good by %v", names, lengths, values, k)
		}
	})
}
