package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"quicklime/wire/conf"
	"quicklime/wire/daemon"
	"quicklime/wire/jointoken"
)

// readMembership reads what "join" wrote. The file says whom to trust: it is
// refused if others than its owner may write it, or something else is in its
// place (I05).
func readMembership(path string) (jointoken.Membership, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not make us wait
	if errors.Is(err, fs.ErrNotExist) {
		return jointoken.Membership{}, daemon.WithHint(
			fmt.Errorf("this machine has not joined an installation: there is no %s", path),
			"get a token from an operator (quicklime-tenant join-token create), then run: %s join < token", name)
	}
	if err != nil {
		return jointoken.Membership{}, err
	}
	defer f.Close()
	if err := checkMembershipFile(f); err != nil {
		return jointoken.Membership{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, jointoken.MaxMembership+1))
	if err != nil {
		return jointoken.Membership{}, err
	}
	m, err := jointoken.ParseMembership(b)
	if err != nil {
		return jointoken.Membership{}, daemon.WithHint(fmt.Errorf("%s: %w", path, err), "correct it, or join again")
	}
	return m, nil
}

func checkMembershipFile(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return daemon.WithHint(fmt.Errorf("%s is not a regular file", f.Name()), "remove it and join again")
	}
	if perm := st.Mode().Perm(); perm&0o022 != 0 {
		return daemon.WithHint(
			fmt.Errorf("%s has mode %04o: whoever may write it decides whom this agent trusts", f.Name(), perm),
			"look whether it was changed, then run: chmod 600 %s", f.Name())
	}
	return nil
}

func writeMembership(path string, m jointoken.Membership) error {
	b, err := m.Encode()
	if err != nil {
		return err
	}
	return conf.ReplaceFile(path, 0o600, b)
}
