package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// kernel is one of Debian's, ready to boot.
type kernel struct {
	name      string // "6.1"
	image     string // files
	initramfs string
}

// suite is a kernel series and the suite of Debian that has it.
type suite struct{ name, debian string }

// series are the kernels of the matrix.
var series = []suite{
	{"6.1", "bookworm"},
	{"6.12", "bookworm-backports"},
}

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
	return kernel{of.name, images[0], file}, os.WriteFile(file, archive, 0o600)
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
}

// direct has QEMU load the kernel. SeaBIOS measures neither the kernel nor its command
// line.
func direct(_ context.Context, m *machine, options string) ([]string, error) {
	return []string{"-machine", "pc", "-global", "PIIX4_PM.disable_s3=0",
		"-kernel", m.from.image, "-initrd", m.from.initramfs, "-append", options}, nil
}
