package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// kernel is one of Debian's, ready to boot.
type kernel struct {
	name      string // "6.1"
	image     string // files
	initramfs string
	cache     string // directory of packages, which have what firmware loads before it
}

// unpacked returns the directory with the contents of a package of Debian's.
func (k kernel) unpacked(ctx context.Context, debian, name string) (string, error) {
	return newSource(k.cache, debian).unpacked(ctx, name)
}

// suite is a kernel series and the suite of Debian that has it.
type suite struct{ name, debian string }

// series are the kernels of the matrix.
var series = []suite{
	{"6.1", "bookworm"},
	{"6.12", "bookworm-backports"},
}

// The suites that have what firmware loads before the kernel. The later one has GRUB
// 2.12: without Secure Boot 2.06 does not start the kernel by its EFI stub, which hands
// the firmware's log on, and such a machine has none.
const (
	debian      = "bookworm"
	laterDebian = "trixie"
)

// kernelPackage depends on the current kernel for virtual machines, which has what a
// guest needs built in and the rest in few modules.
const kernelPackage = "linux-image-cloud-amd64"

// prepareKernel fetches the kernel of a series and makes its initramfs in file.
func prepareKernel(ctx context.Context, cache string, of suite, guest, file string) (k kernel, err error) {
	dir, err := newSource(cache, of.debian).unpacked(ctx, kernelPackage)
	if err != nil {
		return k, err
	}
	images, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return k, fmt.Errorf("%s has %d kernels", dir, len(images))
	}
	tree, err := moduleDir(dir)
	if err != nil {
		return k, err
	}
	t, err := readModuleTree(tree)
	if err != nil {
		return k, err
	}
	modules, err := t.load(ctx, drivers)
	if err != nil {
		return k, err
	}
	archive, err := initramfs(guest, modules)
	if err != nil {
		return k, err
	}
	k = kernel{name: of.name, image: images[0], initramfs: file, cache: cache}
	return k, os.WriteFile(file, archive, 0o600)
}

// moduleDir is where a package has its modules: Debian 13 moved them below usr.
func moduleDir(dir string) (string, error) {
	for _, pattern := range []string{"lib/modules/*", "usr/lib/modules/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) == 1 {
			return found[0], err
		}
	}
	return "", fmt.Errorf("%s has no modules", dir)
}

// bootPath is a way from power-on to the kernel.
type bootPath struct {
	name      string
	title     string
	measured  bool   // a PCR of boot_aggregate covers the kernel's command line
	sleepless string // why it does not come back from suspend to RAM; empty: it does
	firmware  func(ctx context.Context, m *machine, options string) (args []string, err error)
}

var bootPaths = []bootPath{
	{"direct", "SeaBIOS, -kernel", false, "", direct},
	{"ovmf", "OVMF, -kernel", true, "", ovmf},
	{"secureboot", "OVMF with Secure Boot, Debian's signed shim, grub and kernel", true, "", secureBoot},
	{"grub", "OVMF, Debian 13's shim and grub, and the kernel", true, "", grub},
	{"systemd-boot", "OVMF, systemd-boot", true, "", systemdBoot},
	{"uki", "OVMF with Secure Boot and keys of its own, a unified kernel image", true, "", unified},
}

// direct has QEMU load the kernel. SeaBIOS measures neither the kernel nor its command
// line.
func direct(_ context.Context, m *machine, options string) ([]string, error) {
	return append([]string{"-machine", "pc", "-global", "PIIX4_PM.disable_s3=0"}, m.loaded(options)...), nil
}

// loaded has QEMU load the kernel.
func (m *machine) loaded(options string) []string {
	return []string{"-kernel", m.from.image, "-initrd", m.from.initramfs, "-append", options}
}

// ovmf has QEMU give the kernel to UEFI firmware, which measures it, and whose loader in
// the kernel (EFI stub) measures initramfs and command line to PCR 9.
func ovmf(_ context.Context, m *machine, options string) ([]string, error) {
	if err := m.variables("OVMF_VARS_4M.fd"); err != nil {
		return nil, err
	}
	args := append([]string{"-machine", "q35", "-global", "ICH9-LPC.disable_s3=0"}, flash("OVMF_CODE_4M.fd")...)
	return append(args, m.loaded(options)...), nil
}

// secureBoot has UEFI firmware with Microsoft's keys boot a disk as Debian's.
func secureBoot(ctx context.Context, m *machine, options string) ([]string, error) {
	return m.fromDisk(ctx, "OVMF_VARS_4M.ms.fd", debianFiles(debian), options)
}

// grub has UEFI firmware without keys boot such a disk, with a later GRUB.
func grub(ctx context.Context, m *machine, options string) ([]string, error) {
	return m.fromDisk(ctx, "OVMF_VARS_4M.fd", debianFiles(laterDebian), options)
}

// systemdBoot has UEFI firmware without keys boot a disk with systemd-boot, which
// measures the kernel's command line to PCR 12.
func systemdBoot(ctx context.Context, m *machine, options string) ([]string, error) {
	return m.fromDisk(ctx, "OVMF_VARS_4M.fd", systemdBootFiles, options)
}

// unified has UEFI firmware with keys that everybody has boot a unified kernel image
// that is signed with one of them; its stub measures what is in it to PCR 11.
func unified(ctx context.Context, m *machine, options string) ([]string, error) {
	return m.fromDisk(ctx, "OVMF_VARS_4M.snakeoil.fd", unifiedFiles, options)
}

// fromDisk has UEFI firmware that can do Secure Boot boot a disk with the files. It is
// on if the variables have keys.
func (m *machine) fromDisk(ctx context.Context, variables string, files espFiles, options string) ([]string, error) {
	if err := m.variables(variables); err != nil {
		return nil, err
	}
	onDisk, err := files(ctx, m, options)
	if err != nil {
		return nil, err
	}
	if err := makeESP(ctx, m, onDisk); err != nil {
		return nil, err
	}
	args := append([]string{"-machine", "q35,smm=on", "-global", "ICH9-LPC.disable_s3=0", "-global", "driver=cfi.pflash01,property=secure,value=on"},
		flash("OVMF_CODE_4M.secboot.fd")...)
	return append(args, "-drive", "file="+espFile+",if=none,id=esp,format=raw,snapshot=on", "-device", "ide-hd,drive=esp,bootindex=1"), nil
}

// firmwareDir is that of Debian's package ovmf.
const firmwareDir = "/usr/share/OVMF"

// flash is firmware of that name, with the machine's own variables.
func flash(code string) []string {
	return []string{"-drive", "if=pflash,format=raw,readonly=on,file=" + filepath.Join(firmwareDir, code), "-drive", "if=pflash,format=raw,file=" + varsFile}
}

// variables gives the machine firmware variables as they leave the factory, unless it has
// some.
func (m *machine) variables(name string) error {
	err := copyFile(filepath.Join(firmwareDir, name), m.file(varsFile), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
