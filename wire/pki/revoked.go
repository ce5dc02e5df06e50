package pki

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"quicklime/wire"
	"quicklime/wire/throttle"
)

const (
	// revokedFile is the file's name in the directory of the authority.
	revokedFile = "revoked"

	// maxRevoked bounds the file: some ten thousand certificates, and an
	// installation has a few clients.
	maxRevoked = 1 << 20 // bytes

	// refusalsShown is how many refusals of revoked certificates are logged a
	// minute.
	refusalsShown = 10

	// RoleRevoked is the role of a client whose certificate is revoked. No route
	// asks for it.
	RoleRevoked = "revoked"
)

// fingerprint is the SHA-256 of a certificate, DER.
type fingerprint [sha256.Size]byte

func fingerprintOf(c *x509.Certificate) fingerprint { return sha256.Sum256(c.Raw) }

// Revocations are the client certificates that count no more: those in the file
// "revoked" of the authority's directory. Each line is the SHA-256 of a
// certificate's DER in 64 lower case hex digits, as sha256sum(1) prints it, and
// after a blank a comment. Empty lines, and lines that begin with "#", count for
// nothing; any other is an error.
//
// The file is read for every request. What was read from it once stays revoked
// until the process ends, so that no edit gone wrong lets anybody in.
type Revocations struct {
	file     string
	log      *slog.Logger
	refusals *slog.Logger // whoever has a stolen key asks as often as he likes

	mu      sync.Mutex
	text    []byte // that was read last
	unread  bool   // the last time it could not be read
	failure string // of the last reading
	revoked map[fingerprint]bool
	used    map[fingerprint]bool // that were seen in force
}

// Revocations reads the revoked certificates. A file that is malformed, or that
// others may write, is an error now; later it goes to the log, and what it says
// readably counts.
func (a *Authority) Revocations(log *slog.Logger) (*Revocations, error) {
	text, revoked, err := a.readRevoked()
	if err != nil {
		return nil, err
	}
	return &Revocations{file: a.revokedFile(), log: log, refusals: throttle.New(log, refusalsShown), text: text, revoked: revoked, used: map[fingerprint]bool{}}, nil
}

// RoleOf is the role of a client at this moment: RoleRevoked, or what its verified
// certificate says. A certificate is logged when it is first used.
func (r *Revocations) RoleOf(c *x509.Certificate) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reload()
	f := fingerprintOf(c)
	if r.revoked[f] {
		r.refusals.Warn("a revoked client certificate is refused", "name", c.Subject.CommonName, "sha256", hex.EncodeToString(f[:]))
		return RoleRevoked
	}
	role := RoleOf(c)
	if !r.used[f] {
		r.used[f] = true
		r.log.Info("a client certificate is in use", "name", c.Subject.CommonName, "sha256", hex.EncodeToString(f[:]),
			"role", role, "until", c.NotAfter.Format(time.DateOnly))
	}
	return role
}

// reload adds what the file says now. Its caller holds mu.
func (r *Revocations) reload() {
	text, err := readRevokedText(r.file)
	if err == nil && bytes.Equal(text, r.text) && !r.unread {
		return
	}
	r.unread = err != nil
	revoked, malformed := parseRevoked(r.file, text)
	if n := len(r.revoked); err == nil {
		maps.Copy(r.revoked, revoked)
		r.text = text
		r.log.Info("revocations were read again", "file", r.file, "new", len(r.revoked)-n, "revoked", len(r.revoked))
	}
	if err = errors.Join(err, malformed); err == nil {
		r.failure = ""
	} else if r.failure != err.Error() {
		r.failure = err.Error()
		r.log.Error("revocations cannot be read: those read before stay in force, others may be missing", "err", err)
	}
}

func (a *Authority) revokedFile() string { return filepath.Join(a.dir, revokedFile) }

func (a *Authority) readRevoked() ([]byte, map[fingerprint]bool, error) {
	text, err := readRevokedText(a.revokedFile())
	if err != nil {
		return nil, nil, fmt.Errorf("revocations: %w", err)
	}
	revoked, err := parseRevoked(a.revokedFile(), text)
	if err != nil {
		return nil, nil, fmt.Errorf("revocations: %w", err)
	}
	return text, revoked, nil
}

// readRevokedText reads a file that need not exist.
func readRevokedText(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not make us wait
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if perm := st.Mode().Perm(); !st.Mode().IsRegular() || perm&0o022 != 0 {
		return nil, fmt.Errorf("%s has mode %v: it must be a file that only its owner may write; run: chmod go-w %[1]s", file, st.Mode())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxRevoked+1))
	if err == nil && len(b) > maxRevoked {
		err = fmt.Errorf("%s is larger than %d bytes", file, maxRevoked)
	}
	return b, err
}

// parseRevoked returns what can be read, and the first line that cannot.
func parseRevoked(file string, text []byte) (map[fingerprint]bool, error) {
	revoked := map[fingerprint]bool{}
	var failed error
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		f, err := parseFingerprint(line)
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s:%d: %w", file, number, err)
		}
		if err == nil {
			revoked[f] = true
		}
	}
	return revoked, failed
}

func parseFingerprint(line string) (f fingerprint, err error) {
	digits, _, _ := strings.Cut(line, " ")
	if !wire.ValidID(digits) { // the same form
		return f, errors.New("want the SHA-256 of a certificate, 64 lower case hex digits, and perhaps a blank and a comment: correct or remove the line")
	}
	_, err = hex.Decode(f[:], []byte(digits))
	return f, err
}
