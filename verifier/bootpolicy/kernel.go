package bootpolicy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"quicklime/verifier/eventlog"
	"quicklime/wire/pcr"
)

// kernelIs judges what was booted: all of it is of the one element.
func (j *judgement) kernelIs(k kernel, of [pcr.Count][]eventlog.Event, proven pcr.Set, pcr11 []pcr11Value) {
	if proven.Has(4) {
		j.applications(k, of[4])
	}
	if proven.Has(8) {
		j.lines(k, of[8], proven.Has(12) && len(of[12]) > 0)
	}
	if proven.Has(9) {
		j.files(k, of[9])
	}
	if proven.Has(7) {
		j.sbatIsThere(k, of[7])
	}
	if proven.Has(14) {
		j.mokIsThere(k, of[14])
	}
	if !j.judgesSections {
		return
	}
	j.sectionsAre(k, of[11], pcr11)
	if proven.Has(12) {
		j.loadOptions(k, of[12])
	}
	if proven.Has(13) {
		for _, e := range of[13] {
			j.unknownEvent(e)
		}
	}
}

const hintKernels = "if it was updated on purpose, add what is booted now to kernels: \"quicklime-tenant boot-policy create\" shows it"

// applications: the images in PCR 4 are shim, GRUB and the kernel, in this order and
// nothing between; the kernel may be there twice, because both shim and GRUB's
// verifier measure it.
func (j *judgement) applications(k kernel, events []eventlog.Event) {
	var want []digests
	var names []string
	for _, one := range []struct {
		name string
		of   digests
	}{{"shim", k.shim}, {"grub", k.grub}, {"kernel", k.kernel}} {
		if one.of != nil {
			want, names = append(want, one.of), append(names, one.name)
		}
	}
	n := 0
	for _, e := range events {
		switch {
		case action(e):
		case e.Type() != eventlog.EFIBootServicesApplication:
			j.unknownEvent(e)
		case n < len(want) && want[n].is(e):
			n++
		case n > 0 && n == len(want) && names[n-1] == "kernel" && k.kernel.is(e):
		case n < len(want):
			j.fail(e, digestText(e), texts(e, want[n]), hintKernels, "%s was booted where the reference state has another %s", says(e), names[n])
			n++
		default:
			j.fail(e, digestText(e), texts(e, want...), hintKernels, "%s was booted, and the reference state has nothing more", says(e))
		}
	}
	if n < len(want) {
		var lost []string
		for _, d := range want[n:] {
			lost = append(lost, d.shown()...)
		}
		j.lacks(4, lost, hintKernels, "%s was not booted", strings.Join(names[n:], ", "))
	}
}

// lines judges what GRUB measured as a string. What a line is, its text says: a
// command line begins with the path of a kernel, /… or (device)…, or with a block
// list; no command of GRUB does. GRUB's own word for it is a claim.
func (j *judgement) lines(k kernel, events []eventlog.Event, elsewhere bool) {
	seen := 0
	for _, e := range events {
		switch d := e.Data().(type) {
		case eventlog.Line:
			if !isPath(d.Text) {
				j.command(k, e, d.Text)
				continue
			}
			seen++
			j.commandLine(k, e, d.Text)
		case eventlog.LoadOptions:
			seen++
			j.commandLine(k, e, d.Text)
		default:
			j.unknownEvent(e)
		}
	}
	if k.commandLine != nil && seen == 0 && !elsewhere {
		j.lacks(8, []string{cut(k.expression)}, "the boot loader did not measure it: the machine was booted by another one", "no kernel command line was measured")
	}
}

// isPath reports whether a line begins with a path, and so is no command.
func isPath(line string) bool {
	return line == "" || strings.IndexByte("/(+0123456789", line[0]) >= 0
}

func (j *judgement) commandLine(k kernel, e eventlog.Event, line string) {
	switch {
	case k.commandLine == nil:
		j.fail(e, "", nil, "write it to kernel_cmdline", "a kernel command line, and the reference state has none")
	case !k.commandLine.MatchString(line):
		j.fail(e, line[:min(len(line), 4096)], []string{cut(k.expression)}, "if it was changed on purpose, change kernel_cmdline; if not, find out who edited the boot loader's menu", "the kernel command line is another one")
	}
}

func (j *judgement) command(k kernel, e eventlog.Event, line string) {
	if k.pinCommands && !slices.ContainsFunc(k.commands, func(x *regexp.Regexp) bool { return x.MatchString(line) }) {
		j.fail(e, "", nil, "if the boot loader's menu was changed on purpose, add it to grub_commands", "a command of the boot loader that grub_commands does not list")
	}
}

// files judges PCR 9. What a file is, its digest says; without boot_files, which
// lists the boot loader's own, their names do.
func (j *judgement) files(k kernel, events []eventlog.Event) {
	seen := map[string]bool{}
	for _, e := range events {
		switch {
		case k.initrd.is(e):
			seen["initrd"] = true
		case k.vmlinuz.is(e):
			seen["vmlinuz"] = true
		case k.options.is(e):
			seen["load options"] = true
		case k.pinFiles && !anyOf(e, k.files):
			j.fail(e, digestText(e), texts(e, k.initrd, k.vmlinuz, k.options), hintKernels, "%s, and the reference state does not list it", loaded(e))
		case !k.pinFiles:
			j.fileByName(k, e)
		}
	}
	for _, want := range []struct {
		name string
		of   digests
	}{{"initrd", k.initrd}, {"vmlinuz", k.vmlinuz}, {"load options", k.options}} {
		if want.of != nil && !seen[want.name] {
			j.lacks(9, want.of.shown(), hintKernels, "%s of the reference state was not loaded", want.name)
		}
	}
}

// claimedName is what the log calls the file that an event of PCR 9 is of: a claim.
func claimedName(e eventlog.Event) (name string, ok bool) {
	if e.Type() == eventlog.EventTag {
		_, name, ok = e.Claim().Tag()
		return name, ok
	}
	return e.Claim().Label()
}

// loaded says what an event of PCR 9 is of. Its name is a claim, and good for a message.
func loaded(e eventlog.Event) string {
	name, _ := claimedName(e)
	what := ""
	switch {
	case strings.HasSuffix(name, "LoadOptions"):
		what = "a kernel command line, as Linux' EFI stub measures it,"
	case strings.Contains(name, "initramfs"), strings.Contains(name, "initrd"):
		what = "an initrd"
	case strings.Contains(name, "vmlinuz"):
		what = "a kernel"
	default:
		return says(e) + " was loaded"
	}
	return fmt.Sprintf("%s was loaded: %s", what, says(e))
}

// fileByName is Keylime's rule for a file that no digest of the reference state is
// of.
func (j *judgement) fileByName(k kernel, e eventlog.Event) {
	name, ok := claimedName(e)
	switch {
	case !ok:
		j.unknownEvent(e)
	case strings.Contains(name, "initrd"), strings.Contains(name, "initramfs"):
		j.fail(e, digestText(e), texts(e, k.initrd), hintKernels, "the initrd is another one: %s", quote(name))
	case strings.Contains(name, "/vmlinuz"):
		if k.vmlinuz != nil || k.kernel == nil {
			j.fail(e, digestText(e), texts(e, k.vmlinuz), hintKernels, "the kernel is another one: %s", quote(name))
		}
	case e.Type() == eventlog.IPL && (strings.Contains(name, "/grub") || strings.Contains(name, "/loader/entries")), strings.HasSuffix(name, "/grub.cfg"):
	default:
		j.unknownEvent(e)
	}
}

// loadOptions judges PCR 12: a kernel command line that systemd-boot or systemd-stub
// was given.
func (j *judgement) loadOptions(k kernel, events []eventlog.Event) {
	for _, e := range events {
		if d, ok := e.Data().(eventlog.LoadOptions); ok {
			j.commandLine(k, e, d.Text)
			continue
		}
		j.unknownEvent(e)
	}
}
