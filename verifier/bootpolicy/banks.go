package bootpolicy

import (
	"cmp"
	"slices"

	"quicklime/wire/pcr"
)

// Banks returns the banks that the reference state has digests of, that with the
// most first, of as many the stronger: in that order a boot is best judged.
func (p *Policy) Banks() []pcr.Bank {
	count := map[pcr.Bank]int{}
	note := func(all ...digests) {
		for _, d := range all {
			for b := range d {
				count[b]++
			}
		}
	}
	for _, f := range p.firmware {
		note(f.scrtm)
		note(f.blobs...)
	}
	note(p.mok...)
	note(p.mokX...)
	note(p.optionROMs...)
	for _, all := range p.events {
		note(all...)
	}
	for _, k := range p.kernels {
		note(k.shim, k.grub, k.kernel, k.vmlinuz, k.initrd, k.options, k.sections)
		note(k.files...)
	}
	var banks []pcr.Bank
	for b := range count {
		banks = append(banks, b)
	}
	slices.SortFunc(banks, func(a, b pcr.Bank) int {
		return cmp.Or(count[b]-count[a], int(b)-int(a)) // the ids grow with the strength
	})
	return banks
}
