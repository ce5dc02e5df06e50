package doctor

import (
	"bytes"
	"fmt"
	"slices"

	"quicklime/ima"
	"quicklime/wire/pcr"
)

// tpm looks at the TPM, and whether the list is of its boot.
func (m Machine) tpm(r *Report, aggregate *ima.Event) {
	device, err := m.OpenTPM()
	if err != nil {
		r.add("TPM", Lacking, err.Error(), "")
		return
	}
	defer device.Close()
	r.add("TPM", OK, m.TPMDevice+" answers", "")
	banks, err := device.ActiveBanks()
	switch {
	case err != nil:
		r.add("PCR banks", Lacking, err.Error(), "")
		return
	case len(banks) == 0 || slices.Max(banks) == pcr.SHA1:
		r.add("PCR banks", Lacking, fmt.Sprintf("active are %v, of which none is strong enough", banks), "activate sha256 in the firmware's setup, or with tpm2_pcrallocate")
	default:
		r.add("PCR banks", OK, fmt.Sprint(banks), "")
	}
	if aggregate != nil && slices.Contains(banks, aggregate.Algorithm) {
		sameBoot(r, device, *aggregate)
	}
}

// sameBoot compares boot_aggregate with PCRs 0 to 9, or 0 to 7 as sha1 and kernels
// before 5.8 have it (kernel: ima_crypto.c, ima_calc_boot_aggregate_tfm).
func sameBoot(r *Report, device TPM, aggregate ima.Event) {
	bank := aggregate.Algorithm
	v, err := device.ReadPCRs(pcr.Selection{{Bank: bank, PCRs: pcr.Range(0, 9)}})
	if err != nil {
		r.add("boot_aggregate", Lacking, err.Error(), "")
		return
	}
	d := v.Digests()
	if bytes.Equal(aggregate.Digest, bank.Sum(d...)) || bytes.Equal(aggregate.Digest, bank.Sum(d[:8]...)) {
		r.add("boot_aggregate", OK, "it is that of the TPM's PCRs", "")
		return
	}
	r.add("boot_aggregate", Lacking, "the TPM's PCRs 0 to 9 say otherwise: the list is of another boot, or of another TPM", "reboot; in a virtual machine, see that the TPM's state belongs to it")
}

// event looks at whether the agent can be woken at once.
func (m Machine) event(r *Report) {
	if err := m.Probe(); err != nil {
		r.add("watching", Note, "by the timer: "+err.Error(), "")
		return
	}
	r.add("watching", OK, "the kernel's event can be had: [watch] perf = \"try\"", "")
}
