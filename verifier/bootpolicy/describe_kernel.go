package bootpolicy

import (
	"fmt"
	"regexp"
	"strings"

	"quicklime/verifier/eventlog"
)

// nameImages says which of shim, boot loader and kernel the images in PCR 4 are: the
// last of them, but of one or two images none is the kernel if GRUB starts that itself.
func (d *describer) nameImages() error {
	images := d.images
	if n := len(images); n > 1 && string(images[n-1].Digest()) == string(images[n-2].Digest()) {
		images = images[:n-1] // the kernel, by shim and by GRUB
	}
	names := []string{"shim_authcode_", "grub_authcode_", "kernel_authcode_"}
	switch {
	case len(images) > len(names):
		return fmt.Errorf("PCR 4 has %d images, and a reference state is of at most shim, boot loader and kernel", len(images))
	case len(images) < len(names) && len(d.commands) > 0 && !d.SecureBoot:
		names = names[:2]
	}
	names = names[len(names)-len(images):]
	for i, e := range images {
		d.kernel[names[i]+e.Bank().String()] = hexText(e.Digest())
	}
	return nil
}

// line takes a command of GRUB or a kernel command line.
func (d *describer) line(e eventlog.Event) bool {
	text := ""
	switch l := e.Data().(type) {
	case eventlog.Line:
		if text = l.Text; !isPath(text) {
			d.commands = append(d.commands, regexp.QuoteMeta(text))
			return true
		}
	case eventlog.LoadOptions:
		text = l.Text
	default:
		return false
	}
	x := regexp.QuoteMeta(text)
	if before, ok := d.kernel["kernel_cmdline"].(string); ok && before != x {
		x = before + "|" + x
	}
	d.kernel["kernel_cmdline"] = x
	return true
}

// file takes what was loaded by the name that it has; of each name the first, the
// others as files that may be there.
func (d *describer) file(e eventlog.Event) {
	name, _ := claimedName(e)
	member := ""
	switch {
	case strings.Contains(name, "initrd"), strings.Contains(name, "initramfs"):
		member = "initrd_plain_" + e.Bank().String()
	case strings.Contains(name, "vmlinuz"):
		member = "vmlinuz_plain_" + e.Bank().String()
	case strings.HasSuffix(name, "LoadOptions"):
		member = "load_options_" + e.Bank().String()
	}
	value := hexText(e.Digest())
	if _, there := d.kernel[member]; !there && member != "" {
		d.kernel[member] = value
	} else if d.kernel[member] != value {
		d.files = union(d.files, []digestJSON{of(e)})
	}
}

// partOfImage takes an event of PCR 11: the name of a section, or the section behind it.
func (d *describer) partOfImage(e eventlog.Event) {
	bank := e.Bank()
	if d.sections == nil {
		d.sections = make([]byte, bank.Size())
	}
	d.sections = bank.Extend(d.sections, e.Digest())
	d.kernel["pcr_11_"+bank.String()] = hexText(d.sections)
	if name, ok := e.Data().(eventlog.SectionName); ok {
		d.section = name.Name
		return
	}
	if d.section != "" {
		d.image = append(d.image, map[string]string{"name": d.section, bank.String(): hexText(e.Digest())})
		d.kernel["uki_sections"] = d.image
	}
	d.section = ""
}
