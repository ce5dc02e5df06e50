package tenant

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"quicklime/registrar/ekcert"
	"quicklime/verifier/identity"
	"quicklime/wire/daemon"
	"quicklime/wire/payload"
	"quicklime/wire/rest"
)

// sealedPayload is a version of a payload that is ready to be sent.
type sealedPayload struct {
	manifest payload.Manifest
	upload   rest.PayloadUpload
	content  []byte // ciphertext
	sent     sentFile
}

// seal seals contents for one machine.
func (c Config) seal(to recipient, what contents) (s sealedPayload, err error) {
	m := to.manifest
	u, err := payload.NewShare(rand.Reader)
	if err != nil {
		return s, err
	}
	v, err := payload.NewShare(rand.Reader)
	if err != nil {
		return s, err
	}
	share, err := payload.SealShare(rand.Reader, to.identity.EK(), to.identity.AK(), u)
	if err != nil {
		return s, err
	}
	keys, err := payload.Derive(u, v, m.Agent, m.Name, m.Version)
	if err != nil {
		return s, err
	}
	m.Kind, m.File = what.kind, what.file
	if s.content, m.Size, err = encrypt(what, keys); err != nil {
		return s, err
	}
	m.Content = sha256.Sum256(s.content)
	if m.Share, err = share.Digest(); err != nil {
		return s, err
	}
	s.manifest = m
	s.upload = rest.PayloadUpload{Object: share.Object, Secret: share.Secret, Share: v[:]}
	if s.upload.Manifest, err = m.Sign(rand.Reader, to.signer); err != nil {
		return s, err
	}
	signed, err := payload.Verify(s.upload.Manifest, &to.signer.PublicKey, m.Agent)
	if err != nil {
		return s, err
	}
	digest, receipt := signed.Digest(), keys.Receipt()
	s.sent = sentFile{Version: m.Version, Manifest: hex.EncodeToString(digest[:]), Key: hex.EncodeToString(receipt[:]), SentAt: m.Issued}
	return s, nil
}

func encrypt(what contents, keys payload.Keys) (content []byte, size uint64, err error) {
	plain, err := what.open()
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	var b bytes.Buffer
	size, err = payload.Seal(&b, plain, keys)
	return b.Bytes(), size, err
}

// nextVersion returns a version that is greater than any that is known: the time, as
// a person reads it, so that it grows also where nobody remembers the one before.
func nextVersion(now time.Time, known ...uint64) uint64 {
	stamp, err := strconv.ParseUint(now.UTC().Format("20060102150405"), 10, 64)
	if err != nil {
		stamp = 1 // a year of more than four digits
	}
	return max(stamp, slices.Max(append(known, 0))+1)
}

// checkEK sees for itself that the EK, to which a payload is sealed, is a TPM's: its
// certificate chains to an anchor, whatever the registrar says, or the operator
// accepts it by its hash.
func (c Config) checkEK(m rest.Machine, i identity.Identity, accepted string, now time.Time) error {
	if accepted != "" {
		return acceptEK(m, i.ID(), accepted)
	}
	anchors, err := readAnchors(c.EKAnchors)
	if err != nil {
		return err
	}
	hint := fmt.Sprintf("put the TPM maker's CA certificates into %s (ek_trust_anchors in tenant.toml); or, if the machine itself shows this hash, accept it with --accept-ek %s", c.EKAnchors, i.ID())
	if len(m.EKCertificate) == 0 {
		return daemon.WithHint(fmt.Errorf("the EK of %s has no certificate: a payload sealed to it could be opened by a TPM emulator", short(i.ID())), "%s", hint)
	}
	if _, err := ekcert.Check([][]byte{m.EKCertificate}, i.EK().Key(), anchors, now); err != nil {
		return daemon.WithHint(fmt.Errorf("the EK of %s: %w", short(i.ID()), err), "%s", hint)
	}
	return nil
}

// maxAnchorFile bounds a file of CA certificates.
const maxAnchorFile = 1 << 20 // bytes

// readAnchors reads the CA certificates in dir. A directory that is not there holds
// none.
func readAnchors(dir string) (a ekcert.Anchors, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return a, err
	}
	for _, e := range entries {
		if !slices.Contains([]string{".pem", ".crt", ".cer", ".der"}, strings.ToLower(filepath.Ext(e.Name()))) {
			continue
		}
		file := filepath.Join(dir, e.Name())
		f, err := os.Open(file)
		if err != nil {
			return a, err
		}
		b, err := readAll(f, file, maxAnchorFile)
		f.Close()
		if err == nil {
			err = a.Add(b)
		}
		if err != nil {
			return a, fmt.Errorf("EK trust anchor %s: %w", file, err)
		}
	}
	return a, nil
}
