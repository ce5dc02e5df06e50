package emulator

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"quicklime/ima"
	"quicklime/wire"
	"quicklime/wire/daemon"
	"quicklime/wire/pcr"
)

// Captured is a boot that was recorded on another machine.
type Captured struct {
	Log  []byte // the firmware's log; nil: PCRs 0–9 stay as they are
	List []byte // the kernel's list; nil: one with nothing but boot_aggregate
}

// Booted says what a boot did.
type Booted struct {
	Events   int           `json:"events"`  // of the firmware's log that extended a PCR
	Entries  int           `json:"entries"` // of the list
	Duration time.Duration `json:"nanoseconds"`
}

// ReadList reads a binary measurement list from a file, which may be compressed
// with gzip.
func ReadList(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if filepath.Ext(path) == ".gz" {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return readAtMost(r, path, wire.MaxList)
}

// ReadBootLog reads a firmware's log from a file.
func ReadBootLog(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAtMost(f, path, wire.MaxBootLog)
}

func readAtMost(r io.Reader, path string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// Boot brings a machine whose TPM was just started into the state of a captured
// one. progress is called while PCRs are extended. If it fails in the middle, the
// TPM must be restarted before it can be tried again.
func (m *Machine) Boot(ctx context.Context, c Captured, progress func(done, total int)) (Booted, error) {
	start := time.Now()
	booting := &boot{Machine: m, captured: c, progress: progress}
	if err := booting.parse(); err != nil {
		return Booted{}, err
	}
	if err := m.alone(ctx, func() error { return booting.run(ctx) }); err != nil {
		return Booted{}, err
	}
	return Booted{len(booting.events), len(booting.entries), time.Since(start)}, nil
}

// boot is a boot under way.
type boot struct {
	*Machine
	captured Captured
	events   []event
	entries  []ima.Entry
	progress func(done, total int)
}

// parse reads log and list before anything is changed.
func (b *boot) parse() (err error) {
	if b.captured.Log != nil {
		if b.events, err = parseBootLog(b.captured.Log, b.banks); err != nil {
			return err
		}
	}
	for rest := b.captured.List; len(rest) > 0; {
		e, n, err := ima.ParseEntry(rest)
		if err != nil {
			return fmt.Errorf("entry %d: %w", len(b.entries), err)
		}
		if e.PCR != pcr.IMA {
			return fmt.Errorf("entry %d: %w: PCR %d", len(b.entries), ima.ErrOtherPCR, e.PCR)
		}
		b.entries, rest = append(b.entries, e), rest[n:]
	}
	return nil
}

func (b *boot) run(ctx context.Context) error {
	if err := b.checkReset(); err != nil {
		return err
	}
	for _, name := range []string{listName, countName, bootLogName} {
		if err := os.Remove(filepath.Join(b.root, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := b.firmware(); err != nil {
		return err
	}
	if b.captured.List == nil {
		aggregate, err := b.aggregate()
		if err != nil {
			return err
		}
		b.entries = []ima.Entry{aggregate}
	}
	return b.kernel(ctx)
}

// checkReset refuses a TPM that has seen a boot.
func (b *boot) checkReset() error {
	fresh := pcr.Of(pcr.IMA)
	if b.captured.Log != nil {
		fresh |= pcr.Range(0, 9)
	}
	ok, err := b.atReset(fresh)
	if err == nil && !ok {
		err = daemon.WithHint(errors.New("this machine has booted: PCRs are extended already"), "restart the TPM: end %q and run it again", program+" tpm run")
	}
	return err
}

// firmware extends PCRs 0–9 as the log says, and shows the log.
func (b *boot) firmware() error {
	if b.captured.Log == nil {
		return nil
	}
	for i, e := range b.events {
		if err := b.dev.Extend(e.index, e.digests); err != nil {
			return fmt.Errorf("event %d of the boot log: %w", i, err)
		}
	}
	return replace(filepath.Join(b.root, bootLogName), b.captured.Log)
}

// kernel shows the list and extends what is in it.
func (b *boot) kernel(ctx context.Context) error {
	var raw bytes.Buffer
	for _, e := range b.entries {
		raw.Write(e.AppendTo(nil))
	}
	if err := replace(filepath.Join(b.root, listName), raw.Bytes()); err != nil {
		return err
	}
	if err := replace(filepath.Join(b.root, countName), formatCount(uint64(len(b.entries)))); err != nil {
		return err
	}
	for i, e := range b.entries {
		if err := ctx.Err(); err != nil {
			return daemon.WithHint(fmt.Errorf("interrupted at entry %d of %d: %w", i, len(b.entries), err), "restart the TPM before the next boot")
		}
		if err := b.extend(uint64(i), e); err != nil {
			return err
		}
		b.progress(i+1, len(b.entries))
	}
	return nil
}

// aggregate makes the entry with which the kernel begins a list: the hash of PCRs
// 0–9 in the SHA-256 bank, or of PCRs 0–7 if there is only a SHA-1 bank (kernel:
// security/integrity/ima/ima_crypto.c, ima_calc_boot_aggregate_tfm).
func (b *boot) aggregate() (ima.Entry, error) {
	bank, last := pcr.SHA256, 9
	if len(b.banks) == 1 {
		bank = b.banks[0]
	}
	if bank == pcr.SHA1 {
		last = 7
	}
	values, err := b.dev.ReadPCRs(pcr.Selection{{Bank: bank, PCRs: pcr.Range(0, last)}})
	if err != nil {
		return ima.Entry{}, err
	}
	return ima.NewFileEntry(bank, bank.Sum(values.Digests()...), ima.BootAggregate), nil
}
