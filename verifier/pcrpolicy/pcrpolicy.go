// Package pcrpolicy is what single PCRs are compared with: Keylime's tpm_policy.
//
// # Format
//
// One JSON object of at most MaxText bytes:
//
//	{"<PCR>": "<hex>" or ["<hex>", …], …, "mask": "0x<hex>"}
//
// A PCR is a decimal number from 0 to 23, but not 10, which the measurement list
// is compared with. A value is in hexadecimal, with or without 0x; its length says
// of which bank it is. A PCR that has any of the values listed for it is accepted.
// The mask, of which Keylime makes the PCRs that it has quoted, means nothing here:
// those with values are quoted.
//
// # Banks
//
// The values of a PCR may be of several banks, so that one policy serves machines
// with different ones. It is quoted, and compared, in the strongest of them that
// the machine has; one that is weaker than the lowest bank of the enrolment does
// not count.
package pcrpolicy

import (
	"encoding/hex"
	"fmt"
	"slices"

	"quicklime/verifier/quote"
	"quicklime/wire"
	"quicklime/wire/pcr"
)

// Policy is a compiled tpm_policy. It is not changed once it is made.
type Policy struct {
	digest string
	values [pcr.Count][]value
}

// value is what a PCR may hold in a bank.
type value struct {
	bank pcr.Bank
	raw  string
}

// Digest is the SHA-256 of the text in hexadecimal.
func (p *Policy) Digest() string { return p.digest }

// PCRs are those that have values.
func (p *Policy) PCRs() (s pcr.Set) {
	for i, all := range p.values {
		if len(all) > 0 {
			s |= pcr.Of(i)
		}
	}
	return s
}

// Weak returns the PCRs that have no value of at least a bank.
func (p *Policy) Weak(lowest pcr.Bank) (s pcr.Set) {
	for i := range p.PCRs().All() {
		if p.strongest(i, lowest, pcr.Banks) == 0 {
			s |= pcr.Of(i)
		}
	}
	return s
}

// Wants returns which PCRs a quote has to cover in a bank, of those that the TPM
// has.
func (p *Policy) Wants(b, lowest pcr.Bank, active []pcr.Bank) (s pcr.Set) {
	for i := range p.PCRs().All() {
		if p.strongest(i, lowest, active) == b {
			s |= pcr.Of(i)
		}
	}
	return s
}

// strongest is the strongest of some banks that a PCR has a value in, 0 if there is
// none.
func (p *Policy) strongest(i int, lowest pcr.Bank, of []pcr.Bank) (b pcr.Bank) {
	for _, v := range p.values[i] {
		if v.bank >= lowest && slices.Contains(of, v.bank) { // the ids grow with the strength
			b = max(b, v.bank)
		}
	}
	return b
}

// Missing returns the PCRs that a quote covers in no bank that they have a value
// in.
func (p *Policy) Missing(q quote.Verified, lowest pcr.Bank) (s pcr.Set) {
	for i := range p.PCRs().All() {
		if p.quoted(q, i, lowest) == 0 {
			s |= pcr.Of(i)
		}
	}
	return s
}

// quoted is the strongest bank that a PCR has a value in and a quote covers it in.
func (p *Policy) quoted(q quote.Verified, i int, lowest pcr.Bank) pcr.Bank {
	var banks []pcr.Bank
	for _, s := range q.PCRs().Selection() {
		if s.PCRs.Has(i) {
			banks = append(banks, s.Bank)
		}
	}
	return p.strongest(i, lowest, banks)
}

// Judge returns what is wrong with the PCRs of a quote, none if nothing is. A PCR
// that it does not cover is.
func (p *Policy) Judge(q quote.Verified, lowest pcr.Bank) (fails []wire.Failure) {
	for i := range p.PCRs().All() {
		bank := p.quoted(q, i, lowest)
		got, ok := q.PCRs().Get(bank, i)
		if !ok {
			fails = append(fails, wire.Failure{
				ID: wire.PCRMissing, Message: fmt.Sprintf("PCR %d is not quoted in a bank that the TPM policy has values of: %v", i, p.banks(i)),
				Hint: "activate one of the banks in the machine's firmware setup, or list the PCR's value in a bank that it has",
			})
			continue
		}
		if !slices.Contains(p.values[i], value{bank, string(got)}) {
			fails = append(fails, wire.Failure{
				ID: wire.PCRInvalid(i), Message: fmt.Sprintf("PCR %d of bank %v has a value that the TPM policy does not list", i, bank),
				Got: show(bank, string(got)), Expected: p.texts(i, bank),
			})
		}
	}
	return fails
}

// Allows reports whether a value is among those listed for the PCR of a failure
// that Judge found: what was wrong is not, under this policy.
func (p *Policy) Allows(f wire.Failure) bool {
	for i, all := range p.values {
		if f.ID != wire.PCRInvalid(i) {
			continue
		}
		return len(all) == 0 || slices.ContainsFunc(all, func(v value) bool { return show(v.bank, v.raw) == f.Got })
	}
	return f.ID == wire.PCRMissing
}

func (p *Policy) banks(i int) (banks []pcr.Bank) {
	for _, v := range p.values[i] {
		if !slices.Contains(banks, v.bank) {
			banks = append(banks, v.bank)
		}
	}
	slices.Sort(banks)
	return banks
}

func (p *Policy) texts(i int, b pcr.Bank) (all []string) {
	for _, v := range p.values[i] {
		if v.bank == b {
			all = append(all, show(b, v.raw))
		}
	}
	return all
}

func show(b pcr.Bank, raw string) string { return b.String() + ":" + hex.EncodeToString([]byte(raw)) }
