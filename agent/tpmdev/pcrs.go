package tpmdev

import (
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"quicklime/wire/pcr"
)

// ReadPCRs reads the PCRs of a selection, up to eight at a time: it is no
// snapshot, and what of it a quote covers only the quote's digest says. A bank
// that is not allocated is an error.
func (d *Device) ReadPCRs(sel pcr.Selection) (values pcr.Values, err error) {
	err = d.run("read PCRs", func() error {
		if err := sel.Check(); err != nil {
			return err
		}
		var digests [][]byte
		for _, e := range sel {
			bank, err := d.readBank(e)
			if err != nil {
				return err
			}
			digests = append(digests, bank...)
		}
		values, err = pcr.NewValues(sel, digests)
		return err
	})
	return values, err
}

// readBank reads PCRs of one bank in ascending order. The TPM answers each
// command with as many as it likes, from the lowest on.
func (d *Device) readBank(want pcr.BankSet) (digests [][]byte, err error) {
	for want.PCRs != 0 {
		rsp, err := tpm2.PCRRead{PCRSelectionIn: selection(pcr.Selection{want})}.Execute(d.conn)
		if err != nil {
			return nil, err
		}
		got := pcrs(rsp.PCRSelectionOut, want.Bank)
		if got == 0 {
			return nil, fmt.Errorf("bank %v is not allocated", want.Bank)
		}
		if got&^want.PCRs != 0 || got.Len() != len(rsp.PCRValues.Digests) {
			return nil, fmt.Errorf("bank %v: asked for PCRs 0x%x, got %d values for 0x%x", want.Bank, uint32(want.PCRs), len(rsp.PCRValues.Digests), uint32(got))
		}
		for _, v := range rsp.PCRValues.Digests {
			digests = append(digests, v.Buffer)
		}
		want.PCRs &^= got
	}
	return digests, nil
}

// ActiveBanks lists the banks that are allocated and that this project can
// replay, weakest first.
func (d *Device) ActiveBanks() (banks []pcr.Bank, err error) {
	err = d.run("list PCR banks", func() error {
		rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapPCRs, PropertyCount: 1}.Execute(d.conn)
		if err != nil {
			return err
		}
		assigned, err := rsp.CapabilityData.Data.AssignedPCR()
		if err != nil {
			return err
		}
		for _, b := range pcr.Banks {
			if pcrs(*assigned, b).Has(pcr.IMA) {
				banks = append(banks, b)
			}
		}
		return nil
	})
	return banks, err
}

// Extend extends a PCR in the banks that digests names, as one command.
func (d *Device) Extend(index int, digests map[pcr.Bank][]byte) error {
	return d.run(fmt.Sprintf("extend PCR %d", index), func() error {
		if !pcr.Of(index).Has(index) {
			return fmt.Errorf("there is no PCR %d", index)
		}
		var values []tpm2.TPMTHA
		for _, b := range pcr.Banks {
			digest, ok := digests[b]
			if !ok {
				continue
			}
			if len(digest) != b.Size() {
				return fmt.Errorf("a %v digest of %d bytes", b, len(digest))
			}
			values = append(values, tpm2.TPMTHA{HashAlg: tpm2.TPMIAlgHash(b), Digest: digest})
		}
		_, err := tpm2.PCRExtend{
			PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(index), Auth: tpm2.PasswordAuth(nil)},
			Digests:   tpm2.TPMLDigestValues{Digests: values},
		}.Execute(d.conn)
		return err
	})
}

// selection writes a selection as TPML_PCR_SELECTION, three octets of select
// each.
func selection(sel pcr.Selection) (l tpm2.TPMLPCRSelection) {
	for _, e := range sel {
		l.PCRSelections = append(l.PCRSelections, tpm2.TPMSPCRSelection{
			Hash:      tpm2.TPMIAlgHash(e.Bank),
			PCRSelect: []byte{byte(e.PCRs), byte(e.PCRs >> 8), byte(e.PCRs >> 16)},
		})
	}
	return l
}

// pcrs returns what a TPML_PCR_SELECTION selects of a bank.
func pcrs(l tpm2.TPMLPCRSelection, bank pcr.Bank) (s pcr.Set) {
	for _, e := range l.PCRSelections {
		if e.Hash != tpm2.TPMIAlgHash(bank) {
			continue
		}
		for i := range pcr.Count {
			if i/8 < len(e.PCRSelect) && e.PCRSelect[i/8]&(1<<(i%8)) != 0 {
				s |= pcr.Of(i)
			}
		}
	}
	return s
}
