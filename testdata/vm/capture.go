package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"quicklime/agent/swtpm"
	"quicklime/wire/pcr"
)

// captured are the files of a guest that a capture has, by their names there.
var captured = map[string]string{
	"binary_bios_measurements":    "/sys/kernel/security/tpm0/binary_bios_measurements",
	"binary_runtime_measurements": kernelList,
	"ascii_runtime_measurements":  "/sys/kernel/security/ima/ascii_runtime_measurements",
	"runtime_measurements_count":  "/sys/kernel/security/ima/runtime_measurements_count",
	"violations":                  "/sys/kernel/security/ima/violations",
	"cmdline":                     "/proc/cmdline",
	"version":                     "/proc/version",
}

// capture boots a machine once and keeps what it measured, in the form of
// testdata/captures, in the directory dir.
func (m *machine) capture(ctx context.Context, out io.Writer, dir string) error {
	if err := swtpm.Create(ctx, m.file(tpmDir), []pcr.Bank{pcr.SHA1, pcr.SHA256}); err != nil {
		return err
	}
	if _, err := m.on(ctx, measuring); err != nil {
		return err
	}
	err := m.keep(ctx, dir)
	if off := m.off(); err == nil {
		err = off
	}
	if err == nil {
		fmt.Fprintf(out, "     captured to %s\n", dir)
	}
	return err
}

// keep runs some programs, so that there is something in the list, and reads the files.
// The guest's init reads them, whose reading nothing measures.
func (m *machine) keep(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range allStrangers {
		if _, err := m.run(ctx, nil, stranger(i)); err != nil {
			return err
		}
	}
	for name, from := range captured {
		b, err := m.read(ctx, from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	text := ""
	for _, bank := range []pcr.Bank{pcr.SHA1, pcr.SHA256} {
		text += bank.String() + ":\n"
		for i := range pcr.Count {
			v, err := m.read(ctx, fmt.Sprintf("/sys/class/tpm/tpm0/pcr-%v/%d", bank, i))
			if err != nil {
				return err
			}
			text += fmt.Sprintf("  %-2d: 0x%s", i, v)
		}
	}
	return os.WriteFile(filepath.Join(dir, "pcrs.txt"), []byte(text), 0o644)
}
