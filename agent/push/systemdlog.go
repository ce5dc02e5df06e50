package push

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"quicklime/wire"
	"quicklime/wire/pcr"
)

// errLocked says that the lock of systemd's log is not to be had.
var errLocked = errors.New("something holds its lock")

// systemdLog returns systemd's own log if the verifier is to have it with the evidence
// that is sent next, and its digest: beside the boot log, and if a PCR is quoted that
// systemd extends and the log is not what this session's evidence has brought already.
// It is read after the quote, under the lock that systemd holds from before it extends a
// PCR until the record is written (systemd: src/shared/tpm2-util.c, tpm2_pcr_extend_bytes),
// so that it has a record of all that the quote covers. Without the lock it could lack one,
// which would be a failure that stands: the session ends, and the next one tries again.
func (s *session) systemdLog(boot []byte) (log []byte, digest [sha256.Size]byte, err error) {
	quoted := quotesSystemd(s.welcome.Selection)
	if !quoted && len(boot) == 0 {
		return nil, s.systemd, nil
	}
	log, err = readSystemdLog(s.cfg.SystemdLog)
	if errors.Is(err, errLocked) && quoted {
		return nil, s.systemd, err
	}
	if err != nil && !s.unread {
		s.cfg.Log.Warn("systemd's log is not sent", "error", err)
		s.unread = true
	}
	if len(log) == 0 {
		return nil, s.systemd, nil
	}
	if digest = sha256.Sum256(log); digest == s.systemd && len(boot) == 0 {
		return nil, digest, nil
	}
	return log, digest, nil
}

// quotesSystemd reports whether a selection has a PCR that systemd extends.
func quotesSystemd(s pcr.Selection) bool {
	for _, e := range s {
		if e.PCRs&pcr.Systemd != 0 {
			return true
		}
	}
	return false
}

// readSystemdLog reads systemd's log. A machine without one has an empty log; one longer
// than wire.MaxSystemdLog is an error.
func readSystemdLog(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("systemd's log: %w", err)
	}
	defer f.Close()
	if err := lockShared(f); err != nil {
		return nil, fmt.Errorf("systemd's log %s: %w", path, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, wire.MaxSystemdLog+1))
	if err != nil {
		return nil, fmt.Errorf("systemd's log: %w", err)
	}
	if len(b) > wire.MaxSystemdLog {
		return nil, fmt.Errorf("systemd's log %s: more than %d bytes", path, wire.MaxSystemdLog)
	}
	return b, nil
}

// lockShared waits for a file's lock until it is closed.
func lockShared(f *os.File) error {
	for range lockTries {
		err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return err
		}
		time.Sleep(lockPause)
	}
	return errLocked
}
