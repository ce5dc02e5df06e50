package ekcert

import (
	"bytes"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
)

func TestI23_Anchors(t *testing.T) {
	issuer, root := captured(t, "ca/issuercert.pem"), captured(t, "ca/swtpm-localca-rootca-cert.pem")
	for name, c := range map[string]struct {
		file []byte
		want int
	}{
		"PEM":                {issuer, 1},
		"two PEM":            {append(bytes.Clone(issuer), root...), 2},
		"text and PEM":       {append([]byte("issuer of the lab's TPMs\n"), issuer...), 1},
		"DER":                {newVendor(t).ca.Raw, 1},
		"EK, no CA":          {captured(t, rsaCapture), 0},
		"empty":              {nil, 0},
		"text":               {[]byte("none yet\n"), 0},
		"a private key":      {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}), 0},
		"cut PEM":            {issuer[:len(issuer)-10], 0},
		"one whole, one cut": {append(bytes.Clone(issuer), root[:len(root)-10]...), 0},
		"one cut, one whole": {append(bytes.Clone(issuer[:100]), root...), 0},
		"one whole, one EK":  {append(bytes.Clone(issuer), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: captured(t, rsaCapture)})...), 0},
		"not DER":            {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}}), 0},
	} {
		var a Anchors
		err := a.Add(c.file)
		if a.Len() != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%s: %d anchors, error %v, want %d", name, a.Len(), err, c.want)
		}
	}
}

func TestAnchorsEveryCut(t *testing.T) {
	for name, file := range map[string][]byte{
		"PEM": bytes.TrimSpace(captured(t, "ca/issuercert.pem")),
		"DER": newVendor(t).ca.Raw,
	} {
		for n := range file {
			var a Anchors
			if err := a.Add(file[:n]); err == nil || a.Len() != 0 {
				t.Errorf("%s: the first %d of %d bytes: %d anchors, error %v", name, n, len(file), a.Len(), err)
			}
		}
	}
}

func FuzzAnchors(f *testing.F) {
	issuer := captured(f, "ca/issuercert.pem")
	f.Add(issuer)
	f.Add(append(bytes.Clone(issuer), captured(f, "ca/swtpm-localca-rootca-cert.pem")...))
	block, _ := pem.Decode(issuer)
	f.Add(block.Bytes)
	f.Add(captured(f, rsaCapture))
	f.Fuzz(func(t *testing.T, file []byte) {
		var a Anchors
		err := a.Add(file)
		if (err == nil) != (a.Len() > 0) {
			t.Errorf("%d anchors, error %v", a.Len(), err)
		}
		if begins := bytes.Count(file, []byte("-----BEGIN")); a.Len() > max(begins, 1) {
			t.Errorf("%d anchors of %d blocks", a.Len(), begins)
		}
		for _, c := range a.certificates {
			if !c.IsCA || !c.BasicConstraintsValid {
				t.Errorf("%q is no CA's", c.Subject)
			}
		}
	})
}

func TestExpiredAnchor(t *testing.T) {
	v := newVendor(t)
	old := caTemplate("vendor")
	old.NotAfter = now.AddDate(0, 0, -1)
	v.ca = v.certify(t, old, v.key.Public(), nil)
	if _, err := Check([][]byte{v.endorse(t, nil)}, v.ek.Public(), anchorsOf(t, v.ca.Raw), now); !errors.Is(err, ErrUntrusted) {
		t.Errorf("an anchor that expired: %v, want ErrUntrusted", err)
	}
}

func TestAnchorsRefuseKeys(t *testing.T) {
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: newVendor(t).ca.Raw})
	if err := new(Anchors).Add(key); err == nil || !strings.Contains(err.Error(), "PRIVATE KEY") {
		t.Errorf("a file with a private key: %v", err)
	}
}
