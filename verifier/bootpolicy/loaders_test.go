package bootpolicy_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"quicklime/verifier/bootpolicy"
	"quicklime/verifier/eventlog"
	"quicklime/verifier/verifiertest"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

const (
	grub        = "ovmf-grub-6.1"
	systemdBoot = "ovmf-systemd-boot-6.1"
	uki         = "ovmf-uki-6.1"
)

// utf16 is ASCII as UEFI has it.
func utf16(text string) []byte {
	var b []byte
	for _, c := range []byte(text) {
		b = append(b, c, 0)
	}
	return b
}

// events9 are the places of what the kernel's EFI stub measures: its load options and
// the initrd.
func events9(t testing.TB, b []event) (options, initrd int) {
	return index(t, b, 9, "LoadOptions"), index(t, b, 9, "Linux initrd")
}

// sectionAt is the place of a section of a unified kernel image.
func sectionAt(t testing.TB, b []event, name string) int { return index(t, b, 11, name) + 1 }

// image is the place of the n-th image in PCR 4, from 0.
func image(t testing.TB, b []event, n int) int {
	t.Helper()
	for i, e := range b {
		if e.pcr == 4 && e.kind == eventlog.EFIBootServicesApplication {
			if n--; n < 0 {
				return i
			}
		}
	}
	t.Fatal("there is no such image")
	return 0
}

func configured(t testing.TB, b []event, name string, value func(data []byte) []byte) []event {
	at := index(t, b, 7, name)
	b[at].data = value(bytes.Clone(b[at].data))
	b[at].digest = pcr.SHA256.Sum(b[at].data)
	return b
}

// I20: of each way to boot, a changed one is refused in words that say what changed.
func TestI20_ChangedBootsOfEachLoader(t *testing.T) {
	for _, c := range []struct {
		name, of string
		do       func(b []event) []event
		says     []string // each in a failure
	}{
		{"command line", systemdBoot, func(b []event) []event {
			at := index(t, b, 12, "initrd=")
			b[at].data = utf16("init=/bin/sh")
			b[at].digest = pcr.SHA256.Sum(b[at].data)
			options, _ := events9(t, b)
			return other(b, options)
		}, []string{"PCR 12, event 25: the kernel command line is another one", "PCR 9, event 26: a kernel command line, as Linux' EFI stub measures it, was loaded"}},
		{"command line that is not measured", systemdBoot, func(b []event) []event {
			at := index(t, b, 12, "initrd=")
			return slices.Delete(b, at, at+1)
		}, []string{"no kernel command line was measured"}},
		{"initrd", systemdBoot, func(b []event) []event { _, at := events9(t, b); return other(b, at) }, []string{"PCR 9, event 27", "initrd of the reference state was not loaded"}},
		{"kernel", systemdBoot, func(b []event) []event { return other(b, image(t, b, 1)) }, []string{"PCR 4, event 24", "another kernel"}},
		{"systemd-boot", systemdBoot, func(b []event) []event { return other(b, image(t, b, 0)) }, []string{"PCR 4, event 23", "another grub"}},
		{"a unified kernel image in its place", systemdBoot, func(b []event) []event {
			return slices.Insert(b, image(t, b, 1)+1, event{11, eventlog.IPL, pcr.SHA256.Sum([]byte(".linux\x00")), utf16(".linux\x00")})
		}, []string{"PCR 11: it is"}},
		{"Secure Boot on", systemdBoot, func(b []event) []event {
			return configured(t, b, "SecureBoot", func(d []byte) []byte { d[len(d)-1] = 1; return d })
		}, []string{"Secure Boot is on"}},

		{"command line", grub, func(b []event) []event {
			b[index(t, b, 8, "kernel_cmdline")] = line("kernel_cmdline", "/vmlinuz init=/bin/sh")
			return b
		}, []string{"PCR 8, event 34: the kernel command line is another one"}},
		{"kernel", grub, func(b []event) []event { return other(b, index(t, b, 9, "/vmlinuz")) }, []string{"PCR 9, event 33", "vmlinuz of the reference state was not loaded"}},
		{"initrd", grub, func(b []event) []event { return other(b, index(t, b, 9, "/initramfs")) }, []string{"PCR 9, event 36"}},
		{"GRUB", grub, func(b []event) []event { return other(b, image(t, b, 1)) }, []string{"another grub"}},

		{"kernel", uki, func(b []event) []event { return other(other(b, image(t, b, 0)), sectionAt(t, b, ".linux")) },
			[]string{"PCR 4, event 24", "PCR 11, event 26: section \".linux\" of the unified kernel image is another one: the kernel"}},
		{"command line", uki, func(b []event) []event {
			options, _ := events9(t, b)
			return other(other(other(b, image(t, b, 0)), sectionAt(t, b, ".cmdline")), options)
		}, []string{"PCR 4, event 24", "section \".cmdline\" of the unified kernel image is another one: the kernel command line", "PCR 9, event 33"}},
		{"initrd", uki, func(b []event) []event {
			_, initrd := events9(t, b)
			return other(other(other(b, image(t, b, 0)), sectionAt(t, b, ".initrd")), initrd)
		}, []string{"section \".initrd\" of the unified kernel image is another one: the initrd", "PCR 9, event 34"}},
		{"a section more", uki, func(b []event) []event {
			at := sectionAt(t, b, ".initrd")
			return slices.Insert(b, at+1, event{11, eventlog.IPL, pcr.SHA256.Sum([]byte(".dtb\x00")), utf16(".dtb\x00")}, measured(11, eventlog.IPL, "tree"))
		}, []string{"has a section that the reference state does not list: \".dtb\""}},
		{"a section less", uki, func(b []event) []event {
			at := sectionAt(t, b, ".osrel")
			return slices.Delete(b, at-1, at+1)
		}, []string{"section \".osrel\" of the unified kernel image was not measured"}},
		{"sections in another order", uki, func(b []event) []event {
			at := sectionAt(t, b, ".osrel")
			return append(slices.Delete(slices.Clone(b), at-1, at+1), b[at-1], b[at])
		}, []string{"PCR 11: it is"}},
		{"a command line beside it", uki, func(b []event) []event {
			return append(b, event{12, eventlog.IPL, pcr.SHA256.Sum(utf16("init=/bin/sh")), utf16("init=/bin/sh")})
		}, []string{"PCR 12, event 37: a kernel command line, and the reference state has none"}},
		{"credentials", uki, func(b []event) []event {
			return append(b, event{12, eventlog.IPL, pcr.SHA256.Sum([]byte("cpio")), utf16("Credentials initrd")})
		}, []string{"PCR 12, event 37: no rule accepts"}},
		{"a system extension", uki, func(b []event) []event {
			return append(b, event{13, eventlog.IPL, pcr.SHA256.Sum([]byte("cpio")), utf16("System extension initrd")})
		}, []string{"PCR 13, event 37: no rule accepts"}},
		{"Secure Boot off", uki, func(b []event) []event {
			return configured(t, b, "SecureBoot", func(d []byte) []byte { d[len(d)-1] = 0; return d })
		}, []string{"Secure Boot is off"}},
		{"an entry of dbx removed", uki, func(b []event) []event {
			return configured(t, b, "dbx", func(d []byte) []byte {
				d = d[:len(d)-76]
				copy(d[24:], make([]byte, 8))
				return d
			})
		}, []string{"dbx lacks 1 of the 1 entries"}},
		{"an unsigned image, with Secure Boot off", uki, func(b []event) []event {
			b = configured(t, b, "SecureBoot", func(d []byte) []byte { d[len(d)-1] = 0; return d })
			at := slices.IndexFunc(b, func(e event) bool { return e.kind == eventlog.EFIVariableAuthority })
			return slices.Delete(other(b, image(t, b, 0)), at, at+1)
		}, []string{"Secure Boot is off", "PCR 4, event 23"}},

		{"loader.conf", unified, func(b []event) []event { return other(b, index(t, b, 5, "loader.conf")) }, []string{"PCR 5, event 25: no rule accepts EV_EVENT_TAG, which the log calls \"tag 0xf5bc582a loader.conf\""}},
		{"systemd-boot", unified, func(b []event) []event { return other(b, image(t, b, 0)) }, []string{"PCR 4, event 24"}},
	} {
		t.Run(c.of+"/"+c.name, func(t *testing.T) {
			p := edited(t, c.of, "runtime", nil)
			b := events(t, verifiertest.BootLog(t, c.of))
			if fails := p.Judge(booted(t, b, nil)); len(fails) > 0 {
				t.Fatalf("the unchanged boot: %+v", fails)
			}
			fails := p.Judge(booted(t, c.do(b), nil))
			for _, says := range c.says {
				if !slices.ContainsFunc(fails, func(f wire.Failure) bool { return f.ID == example && strings.Contains(f.Message, says) && f.Hint != "" }) {
					t.Errorf("no failure says %q:", says)
					for _, f := range fails {
						t.Errorf("%s %s", f.ID, f.Message)
					}
				}
			}
		})
	}
}

// I20: a reference state of several machines accepts each of them, and nothing that is
// put together from two.
func TestI20_AnyOfSeveralMachines(t *testing.T) {
	names := []string{grub, systemdBoot, "ovmf-6.1-ima-ng"}
	var logs []bootpolicy.Log
	for _, name := range names {
		logs = append(logs, captured(t, name))
	}
	p := created(t, logs...)
	if p.Kernels() != len(names) {
		t.Errorf("%d kernels", p.Kernels())
	}
	booting := pcr.Of(4, 8, 9, 11, 12, 13)
	for _, one := range names {
		a := events(t, verifiertest.BootLog(t, one))
		if fails := p.Judge(captured(t, one)); len(fails) > 0 {
			t.Errorf("%s: %+v", one, fails)
		}
		for _, two := range names {
			if one == two {
				continue
			}
			b := events(t, verifiertest.BootLog(t, two))
			for i := range booting.All() {
				mixed := slices.DeleteFunc(slices.Clone(a), func(e event) bool { return e.pcr == i })
				changed := len(mixed) < len(a)
				for _, e := range b {
					if e.pcr == i {
						mixed, changed = append(mixed, e), true
					}
				}
				if fails := p.Judge(booted(t, mixed, nil)); changed && len(fails) == 0 {
					t.Errorf("%s with PCR %d of %s is accepted", one, i, two)
				}
			}
		}
	}
	for _, stranger := range []string{secureBoot, uki, unified, "direct-6.1-ima-ng", "ovmf-6.1-ima-sig"} {
		if len(p.Judge(captured(t, stranger))) == 0 {
			t.Errorf("%s is accepted", stranger)
		}
	}
}

// I20: a reference state of one boot accepts the machine's next ones.
func TestI20_Reboots(t *testing.T) {
	p := created(t, captured(t, "reboot-1"))
	if fails := p.Judge(captured(t, "reboot-2")); len(fails) > 0 {
		t.Errorf("%+v", fails)
	}
}
