package digsig_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quicklime/ima/digsig"
)

// evmctl runs the reference implementation, which knows no kernel: its keys are
// files, and so are its signatures. It is the package ima-evm-utils of Debian.
func evmctl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	c := exec.Command("evmctl", args...)
	var stderr bytes.Buffer
	c.Stdin, c.Stderr = strings.NewReader(stdin), &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("evmctl %s: %v (make deps installs it)\n%s", strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// privateKey returns the name of a file with the key.
func privateKey(t *testing.T, s crypto.Signer) string {
	return write(t, filepath.Join(t.TempDir(), "key.pem"), block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(s))))
}

// signFile returns what evmctl writes as the signature of a file.
func signFile(t *testing.T, content []byte, args ...string) []byte {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "file"), content)
	evmctl(t, "", append(append([]string{"ima_sign", "-n", "--sigfile"}, args...), file)...)
	return readFile(t, file+".sig")
}

func TestEvmctlSignsFiles(t *testing.T) {
	content := []byte("what is signed\n")
	for name, signer := range signers {
		t.Run(name, func(t *testing.T) {
			key := privateKey(t, signer())
			r := ring(t, parseKey(t, spki(t, signer())))
			for h := range functions {
				s := parse(t, signFile(t, content, "-a", h.String(), "-k", key))
				d := digsig.Digest{Type: digsig.File, Hash: h, Sum: sum(h, content)}
				if _, err := s.Verify(d, r); err != nil {
					t.Errorf("%v: %v", h, err)
				}
				d.Sum = sum(h, []byte("another file\n"))
				if _, err := s.Verify(d, r); !errors.Is(err, digsig.ErrBadSignature) {
					t.Errorf("%v, of another file: %v", h, err)
				}
			}
		})
	}
}

func TestEvmctlTakesTheIDOfACertificate(t *testing.T) {
	content, signer := []byte("what is signed\n"), signers["p256"]()
	der := certify(t, signer, []byte("an identifier"))
	cert := write(t, filepath.Join(t.TempDir(), "cert.der"), der)
	s := parse(t, signFile(t, content, "-k", privateKey(t, signer), "--keyid-from-cert", cert))
	d := digsig.Digest{Type: digsig.File, Hash: digsig.SHA256, Sum: sum(digsig.SHA256, content)}
	if _, err := s.Verify(d, ring(t, parseKey(t, der))); err != nil {
		t.Errorf("by its certificate: %v", err)
	}
	if _, err := s.Verify(d, ring(t, parseKey(t, spki(t, signer)))); !errors.Is(err, digsig.ErrUnknownKey) {
		t.Errorf("by the bare key: %v", err)
	}
}

func TestEvmctlSignsWithAHashThatIsNotSupported(t *testing.T) {
	signer := signers["p256"]()
	s := parse(t, signFile(t, []byte("content"), "-a", "sm3", "-k", privateKey(t, signer)))
	d := digsig.Digest{Type: digsig.File, Hash: digsig.ParseHash("sm3"), Sum: make([]byte, 32)}
	_, err := s.Verify(d, ring(t, parseKey(t, spki(t, signer))))
	if !errors.Is(err, digsig.ErrUnsupported) || !strings.Contains(err.Error(), "sm3") {
		t.Errorf("Verify() = %v", err)
	}
}

func TestEvmctlSignsVerityDigests(t *testing.T) {
	if help := evmctl(t, "", "--help"); !strings.Contains(help, "--veritysig") {
		t.Skip("an evmctl before 1.5")
	}
	for name, signer := range signers {
		key := privateKey(t, signer())
		for _, h := range []digsig.Hash{digsig.SHA256, digsig.SHA512} {
			d := digsig.Digest{Type: digsig.Verity, Hash: h, Sum: sum(h, []byte("content"))}
			out := evmctl(t, fmt.Sprintf("%v:%x file\n", h, d.Sum), "sign_hash", "--veritysig", "-a", h.String(), "-k", key)
			s := parse(t, must(hex.DecodeString(strings.Fields(out)[2])))
			if _, err := s.Verify(d, ring(t, parseKey(t, spki(t, signer())))); err != nil {
				t.Errorf("%s, %v: %v", name, h, err)
			}
		}
	}
}

func TestEvmctlSignsMetadata(t *testing.T) {
	content := []byte("what is signed\n")
	d := digsig.Digest{Type: digsig.File, Hash: digsig.SHA256, Sum: sum(digsig.SHA256, content)}
	ima := "\x04\x04" + string(d.Sum)
	file := write(t, filepath.Join(t.TempDir(), "file"), content)
	m := metadata(1000, 70000, 0o104755,
		attribute{"security.selinux", "system_u:object_r:bin_t:s0\x00"},
		attribute{"security.ima", ima},
		attribute{"security.capability", "capabilities"})
	for name, signer := range signers {
		t.Run(name, func(t *testing.T) {
			key, r := privateKey(t, signer()), ring(t, parseKey(t, spki(t, signer())))
			for h := range functions {
				out := evmctl(t, "", "sign", "-n", "--portable", "--m64", "--generation", "0", "-a", h.String(), "-k", key,
					"--uid", "1000", "--gid", "70000", "--mode", strconv.Itoa(0o104755),
					"--selinux=system_u:object_r:bin_t:s0", "--caps=capabilities", "--ima", hex.EncodeToString([]byte(ima)), file)
				s := parse(t, must(hex.DecodeString(strings.TrimSpace(out))))
				if _, err := m.Verify(s, d, r); err != nil {
					t.Errorf("%v: %v", h, err)
				}
				other := m
				other.UID = 0
				if _, err := other.Verify(s, d, r); !errors.Is(err, digsig.ErrBadSignature) {
					t.Errorf("%v, of another owner: %v", h, err)
				}
			}
		})
	}
}
