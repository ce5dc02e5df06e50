package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// espFiles makes what is on a machine's EFI system partition, with options for the
// kernel: files by their places there.
type espFiles func(ctx context.Context, m *machine, options string) (map[string]string, error)

// removable is what firmware boots from a disk that it does not know (UEFI 2.10,
// section 3.5.1.1).
const removable = "/EFI/BOOT/BOOTX64.EFI"

// debianFiles are shim, which Microsoft signed, grub and kernel, which Debian signed, the
// initramfs, and a configuration with the kernel's command line, which grub measures to
// PCR 8. suite has grub.
func debianFiles(suite string) espFiles {
	return func(ctx context.Context, m *machine, options string) (map[string]string, error) {
		shim, err := m.from.unpacked(ctx, debian, "shim-signed")
		if err != nil {
			return nil, err
		}
		grub, err := m.from.unpacked(ctx, suite, "grub-efi-amd64-signed")
		if err != nil {
			return nil, err
		}
		config := m.file("grub.cfg")
		text := "set timeout=0\nlinux /vmlinuz " + options + "\ninitrd /initramfs\nboot\n"
		return map[string]string{
			removable:               filepath.Join(shim, "usr/lib/shim/shimx64.efi.signed"),
			"/EFI/BOOT/grubx64.efi": filepath.Join(grub, "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"),
			"/vmlinuz":              m.from.image,
			"/initramfs":            m.from.initramfs,
			"/EFI/debian/grub.cfg":  config,
		}, os.WriteFile(config, []byte(text), 0o600)
	}
}

// systemdBootFiles are systemd-boot and one entry of its menu (UAPI.1, "Type #1 Boot
// Loader Specification Entries").
func systemdBootFiles(ctx context.Context, m *machine, options string) (map[string]string, error) {
	systemd, err := m.from.unpacked(ctx, debian, systemdPackage)
	if err != nil {
		return nil, err
	}
	config, entry := m.file("loader.conf"), m.file("guest.conf")
	if err := os.WriteFile(config, []byte("timeout 0\n"), 0o600); err != nil {
		return nil, err
	}
	text := "title guest\nlinux /vmlinuz\ninitrd /initramfs\noptions " + options + "\n"
	return map[string]string{
		removable:                    filepath.Join(systemd, systemdEFI, "systemd-bootx64.efi"),
		"/loader/loader.conf":        config,
		"/loader/entries/guest.conf": entry,
		"/vmlinuz":                   m.from.image,
		"/initramfs":                 m.from.initramfs,
	}, os.WriteFile(entry, []byte(text), 0o600)
}

// systemdPackage has systemd-boot and the stub of unified kernel images, in systemdEFI.
const (
	systemdPackage = "systemd-boot-efi"
	systemdEFI     = "usr/lib/systemd/boot/efi"
)

// unifiedFiles are one image with all that is booted, signed with the key of which
// OVMF's variables "snakeoil" have the certificate.
func unifiedFiles(ctx context.Context, m *machine, options string) (map[string]string, error) {
	unsigned, signed := m.file("unsigned.efi"), m.file("signed.efi")
	systemd, err := m.from.unpacked(ctx, debian, systemdPackage)
	if err != nil {
		return nil, err
	}
	stub, err := os.ReadFile(filepath.Join(systemd, systemdEFI, "linuxx64.efi.stub"))
	if err != nil {
		return nil, err
	}
	sections := []section{{".osrel", []byte("ID=guest\n")}, {".cmdline", []byte(options)}}
	for _, one := range [][2]string{{".initrd", m.from.initramfs}, {".linux", m.from.image}} {
		content, err := os.ReadFile(one[1])
		if err != nil {
			return nil, err
		}
		sections = append(sections, section{one[0], content})
	}
	image, err := withSections(stub, sections)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(unsigned, image, 0o600); err != nil {
		return nil, err
	}
	if err := sign(ctx, unsigned, signed); err != nil {
		return nil, err
	}
	return map[string]string{removable: signed}, nil
}

// sign signs an EFI image with the key that Debian's package ovmf has for tests, and
// everybody.
func sign(ctx context.Context, from, to string) error {
	key := to + ".key"
	if _, err := output(ctx, "", "openssl", "pkey", "-in", snakeoil+".key", "-passin", "pass:snakeoil", "-out", key); err != nil {
		return err
	}
	if _, err := output(ctx, "", "sbsign", "--key", key, "--cert", snakeoil+".pem", "--output", to, from); err != nil {
		return fmt.Errorf("sign %s: %w", from, err)
	}
	return nil
}

const snakeoil = "/usr/share/ovmf/PkKek-1-snakeoil"
