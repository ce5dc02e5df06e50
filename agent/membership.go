package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"quicklime/wire/jointoken"
)

// readMembership reads what "join" wrote. The file says whom to trust: it is
// refused if others than its owner may write it (I05).
func readMembership(path string) (jointoken.Membership, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return jointoken.Membership{}, withHint(
			fmt.Errorf("this machine has not joined an installation: there is no %s", path),
			"get a token from an operator (quicklime-tenant join-token create), then run: %s join < token", name)
	}
	if err != nil {
		return jointoken.Membership{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return jointoken.Membership{}, err
	}
	if perm := st.Mode().Perm(); perm&0o022 != 0 {
		return jointoken.Membership{}, withHint(
			fmt.Errorf("%s has mode %04o: whoever may write it decides whom this agent trusts", path, perm),
			"look whether it was changed, then run: chmod 600 %s", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, jointoken.MaxMembership+1))
	if err != nil {
		return jointoken.Membership{}, err
	}
	m, err := jointoken.ParseMembership(b)
	if err != nil {
		return jointoken.Membership{}, withHint(fmt.Errorf("%s: %w", path, err), "correct it, or join again")
	}
	return m, nil
}

// writeMembership replaces the file, so that it is whole whatever happens.
func writeMembership(path string, m jointoken.Membership) (err error) {
	b, err := m.Encode()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "membership-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename in dir last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
