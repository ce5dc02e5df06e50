package emulator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"quicklime/agent/tpmdev"
	"quicklime/ima"
	"quicklime/wire/daemon"
	"quicklime/wire/pcr"
)

// Machine is an emulated machine.
type Machine struct {
	root  string
	dev   *tpmdev.Device
	banks []pcr.Bank
	lock  *os.File
	list  list
}

// Config names the parts of a machine.
type Config struct {
	Device        string // as tpmdev names it
	Root          string // made if need be
	AllowHardware bool   // do it to a TPM that is not swtpm
}

// Open opens a machine. It refuses a hardware TPM unless that is allowed: what
// is extended stays until the real machine reboots.
func Open(cfg Config) (*Machine, error) {
	if err := os.MkdirAll(cfg.Root, 0o755); err != nil {
		return nil, err
	}
	root, err := filepath.Abs(cfg.Root)
	if err != nil {
		return nil, err
	}
	dev, err := tpmdev.OpenShared(cfg.Device)
	if err != nil {
		return nil, err
	}
	m := &Machine{root: root, dev: dev, list: list{dir: root}}
	if err := m.prepare(cfg); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *Machine) prepare(cfg Config) (err error) {
	maker, err := m.dev.Manufacturer()
	if err != nil {
		return err
	}
	if soft := strings.HasPrefix(cfg.Device, tpmdev.SocketPrefix) && maker == swtpmMaker; !soft && !cfg.AllowHardware {
		return daemon.WithHint(fmt.Errorf("%s is a hardware TPM (%s): the emulator would spoil what it says of this machine until it reboots", cfg.Device, maker),
			"make a software TPM with %q, or insist with --allow-hardware-tpm", program+" tpm create")
	}
	if m.banks, err = m.dev.ActiveBanks(); err != nil {
		return err
	}
	m.lock, err = os.OpenFile(filepath.Join(m.root, "emulator.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	return err
}

// swtpmMaker is what swtpm's library says its manufacturer is.
const swtpmMaker = "IBM"

// Close closes the machine. It does not power it off.
func (m *Machine) Close() error {
	err := errors.Join(m.dev.Close(), m.list.close())
	if m.lock != nil {
		err = errors.Join(err, m.lock.Close())
	}
	return err
}

// lockPause is how often a lock that another holds is asked for again.
const lockPause = 2 * time.Millisecond

// alone runs do while nobody else changes list and TPM.
func (m *Machine) alone(ctx context.Context, do func() error) error {
	for {
		err := syscall.Flock(int(m.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock %s: %w", m.lock.Name(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another emulator: %w", ctx.Err())
		case <-time.After(lockPause):
		}
	}
	defer func() { _ = syscall.Flock(int(m.lock.Fd()), syscall.LOCK_UN) }()
	return do()
}

// atReset reports whether every one of the PCRs has its reset value in every
// bank.
func (m *Machine) atReset(pcrs pcr.Set) (bool, error) {
	var sel pcr.Selection
	for _, b := range m.banks {
		sel = append(sel, pcr.BankSet{Bank: b, PCRs: pcrs})
	}
	values, err := m.dev.ReadPCRs(sel)
	if err != nil {
		return false, err
	}
	for _, v := range values.Digests() {
		if strings.Trim(string(v), "\x00") != "" {
			return false, nil
		}
	}
	return true, nil
}

// extend extends the PCR of an entry that is in the list.
func (m *Machine) extend(index uint64, e ima.Entry) error {
	digests := make(map[pcr.Bank][]byte, len(m.banks))
	for _, b := range m.banks {
		digests[b] = e.Extends(b)
	}
	if err := m.dev.Extend(int(e.PCR), digests); err != nil {
		return daemon.WithHint(fmt.Errorf("%w: entry %d is in the list and not in PCR %d: %w", ErrOutOfStep, index, e.PCR, err),
			"the list can no longer replay to the PCR, so no verifier will trust this machine until it reboots: restart the TPM and run %q", program+" boot")
	}
	return nil
}

// ErrOutOfStep says that the list has an entry that the TPM has not.
var ErrOutOfStep = errors.New("list and TPM are out of step")
