// Package imalist certifies measurement lists: a replay counts if it goes on
// from the point that was certified before and ends exactly at the quoted PCR 10.
// It is the only maker of Certified.
//
// That the PCR certifies the list is by the kernel, which extends it once with
// each entry, in their order (kernel: security/integrity/ima/ima_queue.c,
// ima_add_template_entry), and by the TPM: an extended PCR depends on all that it
// was extended with (TPM 2.0 Library part 1, section 11.4.7), and TPM2_Quote signs
// its value (part 3, section 18.4).
package imalist

import (
	"errors"
	"fmt"

	"quicklime/ima"
	"quicklime/verifier/quote"
	"quicklime/wire/pcr"
)

var (
	// ErrMismatch says that the list does not replay to the quoted PCR.
	ErrMismatch = errors.New("the list does not replay to the quoted PCR 10")
	// ErrNotQuoted says that the quote does not cover PCR 10 of the replay's
	// bank.
	ErrNotQuoted = errors.New("the quote does not cover PCR 10 of the list's bank")
)

// Certified is a part of a measurement list that a quote covers. Only Certify
// fills one; the zero Certified has no entry and no quote.
type Certified struct {
	replayed ima.Replayed
	quote    quote.Verified
}

// Certify fills c if r begins at resume, the point certified before, and ends at
// the quoted value of PCR 10. The match is exact: what was appended after the
// quote belongs to the next one. The error is ErrMismatch or ErrNotQuoted, and c
// then stays what it was.
func Certify(resume *ima.State, r *ima.Replayed, q *quote.Verified, c *Certified) error {
	if err := check(resume, r, q); err != nil {
		return err
	}
	c.replayed, c.quote = *r, *q
	return nil
}

func check(resume *ima.State, r *ima.Replayed, q *quote.Verified) error {
	if !r.GoesOnFrom(resume) {
		return fmt.Errorf("%w: it begins after entry %d, not after entry %d", ErrMismatch, r.Entries()-r.Count(), resume.Entries())
	}
	want, ok := q.PCRs().Get(r.Bank(), pcr.IMA)
	if !ok {
		return ErrNotQuoted
	}
	if !r.Reaches(want) {
		to := r.To()
		return fmt.Errorf("%w: %v:%x after %d entries, quoted %x", ErrMismatch, to.Bank(), to.PCR(), to.Entries(), want)
	}
	return nil
}

// Replayed returns the certified part of the list: a copy, so that nobody else can write
// into a Certified.
func (c *Certified) Replayed() ima.Replayed { return c.replayed }

// Quote returns the quote that covers it.
func (c *Certified) Quote() quote.Verified { return c.quote }
